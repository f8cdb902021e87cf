import type { Command } from "commander";
import { type Cli, type CommonOptions, leaf, wholeNumber } from "../cli.ts";
import { ago, facts, table } from "../output.ts";

interface BreakGlassOptions extends CommonOptions {
  reason?: string;
  role: "viewer" | "operator" | "fleet-engineer" | "auditor";
  minutes: number;
  end?: boolean;
  list?: boolean;
}

/** `vautn tenant break-glass`: how an operator of the platform comes to see a tenant's data. */
export function breakGlassCommand(tenant: Command, cli: Cli): void {
  leaf(tenant, {
    usage: "break-glass",
    summary: "as an operator of the platform, enter a tenant for a reason and a while",
    example: 'vautn tenant break-glass --tenant acme --reason "ticket 4711: devices offline"',
    data: true,
    tenant: true,
  })
    .option("--reason <text>", "read by the tenant's administrators and auditors")
    .option("--role <role>", "viewer, operator, fleet-engineer or auditor", "viewer")
    .option("--minutes <count>", "how long", wholeNumber("--minutes", 5, 480), 60)
    .option("--end", "leave before the time is over")
    .option("--list", "who has come in, for the tenant's administrators and auditors")
    .action((options: BreakGlassOptions) => breakGlass(cli, options));
}

async function breakGlass(cli: Cli, options: BreakGlassOptions): Promise<void> {
  const session = cli.session(options);
  if (options.list) {
    const page = await session.call("listBreakGlass");
    const render = (items: typeof page.items) =>
      table(
        ["BY", "AS", "OPENED", "UNTIL", "ENDED", "REASON"],
        items.map((entry) => [
          ...[entry.by, entry.role, ago(entry.openedAt), entry.expiresAt],
          ...[ago(entry.endedAt), entry.reason],
        ]),
      );
    return cli.printList(options, page, render, "No operator of the platform has come in.");
  }
  if (options.end) {
    const ended = await session.call("endBreakGlass");
    return cli.print(options, ended, () => `you have left ${session.tenant}\n`);
  }
  const { reason = "", role, minutes } = options;
  const opened = await session.call("breakGlass", { body: { reason, role, minutes } });
  cli.print(options, opened, () =>
    facts([
      ["tenant", opened.tenantId],
      ["as", opened.role],
      ["until", opened.expiresAt],
    ]),
  );
  cli.note("The tenant has been told, with your reason.");
  cli.note(`Next: vautn fleet --tenant ${opened.tenantId}; vautn tenant break-glass --end`);
}
