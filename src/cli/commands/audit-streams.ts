import fs from "node:fs";
import type { Command } from "commander";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { ago, table } from "../output.ts";

type StreamOptions = CommonOptions & { authority?: string; fromStart?: boolean };

/** Where the audit log is sent on to. */
export function auditStreamCommands(audit: Command, cli: Cli): void {
  const stream = group(
    audit,
    "stream",
    "send the audit log on to a webhook or a syslog server",
    "vautn audit stream list",
  );

  leaf(stream, {
    usage: "list",
    summary: "where to, how far, and what went wrong last",
    example: "vautn audit stream list",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session(options).call("listAuditStreams");
    cli.printList(
      options,
      page,
      (items) =>
        table(
          ["STREAM", "TO", "ENTRY", "DELIVERED", "FAILED", "LAST ERROR"],
          items.map((one) => [
            ...[one.id, one.url, String(one.seq), ago(one.deliveredAt)],
            ...[String(one.attempts), one.lastError ?? ""],
          ]),
        ),
      "No streams yet. Next: vautn audit stream add syslog+tls://HOST:6514",
    );
  });

  leaf(stream, {
    usage: "add <url>",
    summary: "https://…, syslog+tcp://host:port or syslog+tls://host:port (RFC 5424)",
    example: "vautn audit stream add syslog+tls://logs.example.com:6514 --from-start",
    data: true,
    tenant: true,
  })
    .option("--authority <file>", "certificate of the syslog server's own authority, PEM")
    .option("--from-start", "also what is in the log already")
    .action(async (url: string, options: StreamOptions) => {
      const body = {
        url,
        ...(options.authority ? { authorityPem: fs.readFileSync(options.authority, "utf8") } : {}),
        ...(options.fromStart ? { fromStart: true } : {}),
      };
      const made = await cli.session(options).call("createAuditStream", { body });
      cli.print(options, made, () => `${made.secret ?? made.id}\n`);
      if (made.secret) cli.note("that is the webhook's secret; it is not shown again");
    });

  leaf(stream, {
    usage: "remove <stream>",
    summary: "send nothing more there",
    example: "vautn audit stream remove 0199…",
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    await cli.session(options).call("deleteAuditStream", { params: { auditStream: id } });
    cli.note("the stream has ended");
  });
}
