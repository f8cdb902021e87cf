import fs from "node:fs";
import type { Command } from "commander";
import { type Cli, type CommonOptions, leaf, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { momentOption } from "../moments.ts";

interface ExportOptions extends CommonOptions {
  platform?: boolean;
  format: "csv" | "jsonl";
  out?: string;
  from?: string;
  to?: string;
  outcome?: "done" | "refused";
  limit: number;
}

const PAGE = 500;
const MAX_ENTRIES = 10_000_000;

export function auditExport(audit: Command, cli: Cli): void {
  leaf(audit, {
    usage: "export",
    summary: "the audit log as CSV or JSON Lines, newest first, with the hashes of the chain",
    example: "vautn audit export --format csv --from 2026-01-01 --out audit.csv",
    tenant: true,
  })
    .option("--platform", "the platform's own log")
    .option("--format <format>", "csv or jsonl", "jsonl")
    .option("--out <file>", "file to write; standard output where left out")
    .option("--from <time>", "not older: ISO 8601, or such as 7d", momentOption("--from", "before"))
    .option("--to <time>", "older: ISO 8601, or such as 1d", momentOption("--to", "before"))
    .option("--outcome <outcome>", "done or refused")
    .option("--limit <n>", "at most so many", wholeNumber("--limit", 1, MAX_ENTRIES), MAX_ENTRIES)
    .action(async (options: ExportOptions) => {
      if (!["csv", "jsonl"].includes(options.format)) throw misuse("--format is csv or jsonl");
      const session = cli.session(options);
      const { from, to, outcome } = options;
      const operation = options.platform ? "listPlatformAudit" : "listAudit";
      const write = writerTo(cli, options.out);
      let left = options.limit;
      let cursor: string | null = null;
      try {
        if (options.format === "csv") write(`${COLUMNS.join(",")}\r\n`);
        do {
          const query = { from, to, outcome, limit: Math.min(left, PAGE) };
          const answer: AuditPage = await session.call(operation, {
            query: cursor === null ? query : { ...query, cursor },
          });
          for (const entry of answer.items) write(lineOf(options.format, entry));
          left -= answer.items.length;
          cursor = answer.nextCursor;
        } while (cursor !== null && left > 0);
        write.keep();
      } finally {
        write.close();
      }
      const count = options.limit - left;
      if (options.out !== undefined) cli.note(`${count} entries: ${options.out}`);
    });
}

type AuditPage = import("../../client/index.ts").Operations["listAudit"]["answer"];
type Entry = AuditPage["items"][number];

/** Whole or not at all: a file that was begun bears another name until it is done. */
function writerTo(cli: Cli, out: string | undefined) {
  if (out === undefined) {
    return Object.assign((text: string) => cli.io.out(text), { keep() {}, close() {} });
  }
  const partial = `${out}.partial`;
  const file = fs.openSync(partial, "w", 0o600);
  return Object.assign((text: string) => void fs.writeSync(file, text), {
    keep() {
      fs.fsyncSync(file);
      fs.renameSync(partial, out);
    },
    close: () => fs.closeSync(file),
  });
}

const COLUMNS = [
  ...["seq", "at", "actorKind", "actorId", "actorName", "action", "targetKind", "targetId"],
  ...["outcome", "address", "traceId", "details", "hash"],
];

function lineOf(format: "csv" | "jsonl", entry: Entry): string {
  if (format === "jsonl") return `${JSON.stringify(entry)}\n`;
  const { actor, details, ...rest } = entry;
  const row: Record<string, unknown> = {
    ...rest,
    ...{ actorKind: actor.kind, actorId: actor.id, actorName: actor.name },
    details: JSON.stringify(details),
  };
  return `${COLUMNS.map((name) => field(row[name])).join(",")}\r\n`;
}

/** RFC 4180. What a spreadsheet would take for a formula is marked as text. */
function field(value: unknown): string {
  const text = value === null || value === undefined ? "" : String(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
