import type { Command } from "commander";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { ago, table } from "../output.ts";

export function sessionCommands(program: Command, cli: Cli): void {
  const session = group(program, "session", "where you are signed in", "vautn session list");

  leaf(session, {
    usage: "list",
    summary: "browsers that you are signed in with",
    example: "vautn session list",
    data: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session().call("listOwnSessions");
    cli.printList(
      options,
      page,
      (items) =>
        table(
          ["SESSION", "BY", "ADDRESS", "LAST USED", "EXPIRES", "BROWSER"],
          items.map((one) => [
            one.id,
            [one.method, one.provider].filter(Boolean).join(" "),
            one.address,
            ago(one.lastUsedAt),
            one.expiresAt,
            one.userAgent?.slice(0, 40),
          ]),
        ),
      "You are signed in with no browser.",
    );
  });

  leaf(session, {
    usage: "end [session]",
    summary: "end one session, or all of them with --all",
    example: "vautn session end --all",
  })
    .option("--all", "every session of yours in a browser")
    .action(async (id: string | undefined, options: { all?: boolean }) => {
      const client = cli.session();
      if (options.all) {
        const { ended } = await client.call("endOtherSessions");
        cli.note(ended === 1 ? "one session has ended" : `${ended} sessions have ended`);
        return;
      }
      if (!id) throw misuse("which session?", "vautn session list, or --all");
      await client.call("endOwnSession", { params: { session: id } });
      cli.note("the session has ended");
    });
}
