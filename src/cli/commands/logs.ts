import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import type { LogLine, LogSearchFilter } from "../../client/index.ts";
import { type Cli, type CommonOptions, leaf, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { momentOf } from "../moments.ts";
import { printable } from "../printable.ts";
import type { Session } from "../session.ts";
import { printBody, writeFile } from "../write-file.ts";
import { savedFilter } from "./log-searches.ts";

type Level = "trace" | "debug" | "info" | "warn" | "error" | "fatal";

/** What says which lines are meant, in a search and in one that is kept. */
export interface LogFilterOptions extends CommonOptions {
  level?: Level;
  device?: string;
  query?: string;
  group?: string;
  logger?: string;
  field?: string;
  trace?: string;
}

interface LogOptions extends LogFilterOptions {
  saved?: string;
  since?: string;
  until?: string;
  limit: number;
  follow?: boolean;
  context?: number;
  export?: "csv" | "jsonl";
  output?: string;
}

/** A saved search without its range. */
type LineFilter = Omit<LogSearchFilter, "rangeSeconds">;

const FOLLOW_EVERY_MS = 1_000;
const MAX_CONTEXT = 100;
/** Each asks for its neighbours. */
const MAX_WITH_CONTEXT = 100;

export function logCommand(program: Command, cli: Cli): void {
  const command = leaf(program, {
    usage: "logs [words...]",
    summary: "devices' log lines by words, level, device, time and trace",
    example: `vautn logs --level warn --device hub-001 checksum
  vautn logs checksum --context 5
  vautn logs --level error --since 7d --export csv --output errors.csv`,
    data: true,
    tenant: true,
  });
  filterOptions(command)
    .option("--saved <name>", "as a saved search says; what is given besides goes before it")
    .option("--since <time>", "ISO 8601, or such as 15m, 2h, 7d")
    .option("--until <time>", "likewise (default: now)")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 10_000), 100)
    .option(
      "-C, --context <lines>",
      "with so many lines of the same device before and after each",
      wholeNumber("--context", 1, MAX_CONTEXT),
    )
    .option("--follow", "go on printing what comes in, until Ctrl-C")
    .option("--export <format>", "all that match (at most a million), as csv or jsonl")
    .option("-o, --output <file>", "file for the export; standard output where left out")
    .action((words: string[], options: LogOptions) => logs(cli, words, options));
}

export function filterOptions(command: Command): Command {
  return command
    .option("--level <level>", "this level and what is more severe")
    .option("-d, --device <id>", "of one device")
    .option("-q, --query <query>", "of devices that a fleet query finds")
    .option("--group <name>", "of a group's devices")
    .option("--logger <name>", "by one logger, such as a program's part")
    .option("--field <name=value>", "with this attribute")
    .option("--trace <id>", "of one trace");
}

/** The filter as the API has it, without what was not given. */
export function filterOf(words: readonly string[], options: LogFilterOptions): LineFilter {
  const { level, device, query: q, group, logger, field, trace } = options;
  const given = { level, device, q, group, logger, field, trace };
  const text = words.length > 0 ? words.join(" ") : undefined;
  const filter = Object.entries({ words: text, ...given }).filter(([, value]) => value);
  return Object.fromEntries(filter) as LineFilter;
}

async function logs(cli: Cli, words: string[], options: LogOptions): Promise<void> {
  checkOptions(options);
  const session = cli.session(options);
  const saved = options.saved === undefined ? {} : await savedFilter(session, options.saved);
  const { rangeSeconds, ...kept } = saved;
  const filter = { ...kept, ...filterOf(words, options) };
  const back = rangeSeconds === undefined ? undefined : String(Date.now() - rangeSeconds * 1_000);
  const from = options.since ? momentOf(options.since) : back;
  if (options.follow) return follow(cli, session, options, { filter, from });
  const to = options.until ? momentOf(options.until) : undefined;
  if (options.export) return exportTo(cli, session, options, { ...filter, from, to });
  const page = await session.collect(
    "searchLogs",
    { query: { ...filter, from, to } },
    options.limit,
  );
  if (options.context && page.items.length > 0) {
    return printWithContext(cli, session, options, page.items);
  }
  cli.printList(
    options,
    page,
    (items) => items.toReversed().map(lineOf).join(""),
    "No log line matches. Take off a filter, or look further back with --since 7d",
  );
}

function checkOptions(options: LogOptions): void {
  const modes = ["follow", "export", "context"] as const;
  const chosen = modes.filter((mode) => options[mode] !== undefined);
  if (chosen.length > 1) throw misuse(`--${chosen.join(" and --")} do not go together`);
  if (options.export !== undefined && !["csv", "jsonl"].includes(options.export)) {
    throw misuse("--export is csv or jsonl");
  }
  if (options.output !== undefined && !options.export) {
    throw misuse("--output is for an export", "say which: --export csv or --export jsonl");
  }
}

type TimedFilter = LineFilter & { from?: string | undefined; to?: string | undefined };

async function exportTo(
  cli: Cli,
  session: Session,
  { export: format, output }: LogOptions,
  filter: TimedFilter,
): Promise<void> {
  const query = { ...filter, format };
  const input = session.fill("exportLogLines", { query });
  const response = await session.client.stream("exportLogLines", input);
  if (!response.body) throw new Error("the answer has no body");
  if (output === undefined) return printBody(cli, response.body);
  await writeFile(cli, response.body, output);
  cli.note(`written: ${output}`);
}

/** Matches as `grep -C` shows them: `>` before each, and what its device said around it. */
async function printWithContext(
  cli: Cli,
  session: Session,
  options: LogOptions,
  found: readonly LogLine[],
): Promise<void> {
  const matches = found.slice(0, MAX_WITH_CONTEXT).toReversed();
  const parts: { match: LogLine; items: LogLine[] }[] = [];
  for (const match of matches) {
    const { ts, seq, deviceId } = match;
    const query = { ts, seq, device: deviceId ?? undefined, lines: options.context };
    parts.push({ match, ...(await session.call("getLogContext", { query })) });
  }
  cli.print(options, { items: parts }, () => parts.map(partOf).join("--\n"));
  if (found.length > matches.length) {
    cli.note(`the newest ${MAX_WITH_CONTEXT} of ${found.length}: narrow the search for the others`);
  }
}

function partOf({ match, items }: { match: LogLine; items: LogLine[] }): string {
  const isMatch = ({ ts, seq }: LogLine) => ts === match.ts && seq === match.seq;
  return items.map((line) => `${isMatch(line) ? ">" : " "} ${lineOf(line)}`).join("");
}

async function follow(
  cli: Cli,
  session: Session,
  options: LogOptions,
  { filter, from }: { filter: LineFilter; from: string | undefined },
): Promise<void> {
  let position: string | undefined;
  let since: string | undefined = from ?? String(Date.now());
  while (!cli.io.interrupted.aborted) {
    const query: Record<string, string | undefined> = { ...filter, since, position };
    const answer = await session.call("tailLogs", { query });
    for (const item of answer.items) {
      cli.io.out(options.json ? `${JSON.stringify(item)}\n` : lineOf(item));
    }
    ({ position } = answer);
    since = undefined;
    if (answer.items.length === 0) {
      await delay(FOLLOW_EVERY_MS, undefined, { signal: cli.io.interrupted });
    }
  }
}

export function lineOf(item: LogLine): string {
  const level = item.level.toUpperCase().padEnd(5);
  const who = item.deviceId ?? "platform";
  const message = printable(item.message).replaceAll("\n", "\n    ");
  return `${new Date(item.ts).toISOString()} ${level} ${who}  ${message}\n`;
}
