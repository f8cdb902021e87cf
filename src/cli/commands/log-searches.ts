import type { Command } from "commander";
import { ApiRefusal, type LogSearch, type LogSearchFilter } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { spanMsOf } from "../moments.ts";
import { ago, table } from "../output.ts";
import type { Session } from "../session.ts";
import { filterOf, filterOptions, type LogFilterOptions } from "./logs.ts";

type SaveOptions = LogFilterOptions & { range?: string; replace?: boolean };

/** Searches of log lines that the tenant keeps by name. */
export function logSearchCommands(program: Command, cli: Cli): void {
  const searches = group(
    program,
    "log-search",
    "searches of log lines that are kept by name",
    'vautn log-search save "failed updates" --level error checksum',
  );

  leaf(searches, {
    usage: "list",
    summary: "the tenant's saved searches",
    example: "vautn log-search list",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const found = await cli.session(options).call("listLogSearches");
    const hint = "No search is saved. Next: vautn log-search save NAME --level error WORDS";
    cli.printList(options, found, rows, hint);
  });

  const save = leaf(searches, {
    usage: "save <name> [words...]",
    summary: "keep a search; make it with: vautn logs --saved NAME",
    example: 'vautn log-search save "failed updates" --level error --range 7d checksum',
    data: true,
    tenant: true,
  });
  filterOptions(save)
    .option("--range <span>", "how far back from then, such as 15m, 2h, 7d (default: any time)")
    .option("--replace", "where there is one of this name, replace it")
    .action(async (name: string, words: string[], options: SaveOptions) => {
      const filter = { ...filterOf(words, options), ...rangeOf(options.range) };
      if (Object.keys(filter).length === 0) {
        throw misuse("a search that finds every line needs no name", "give words or a filter");
      }
      const kept = await keep(cli.session(options), { name, filter }, options.replace ?? false);
      cli.print(options, kept, () => rows([kept]));
    });

  leaf(searches, {
    usage: "delete <name>",
    summary: "forget a saved search",
    example: 'vautn log-search delete "failed updates"',
    tenant: true,
  }).action(async (name: string, options: CommonOptions) => {
    await cli.session(options).call("deleteLogSearch", { params: { search: name } });
    cli.io.out(`deleted ${name}\n`);
  });
}

/** What a saved search asks for. */
export async function savedFilter(session: Session, name: string): Promise<LogSearchFilter> {
  const { items } = await session.call("listLogSearches");
  const found = items.find((search) => search.name === name);
  if (found) return found.filter;
  const next = "see: vautn log-search list";
  throw new CliError(`there is no saved search called ${name}`, { next });
}

async function keep(
  session: Session,
  search: { name: string; filter: LogSearchFilter },
  mayReplace: boolean,
): Promise<LogSearch> {
  try {
    return await session.call("createLogSearch", { body: search });
  } catch (error) {
    if (!mayReplace || !(error instanceof ApiRefusal) || error.code !== "already-exists")
      throw error;
    const { name, filter } = search;
    return session.call("replaceLogSearch", { params: { search: name }, body: { filter } });
  }
}

function rangeOf(range: string | undefined): { rangeSeconds?: number } {
  if (range === undefined) return {};
  const spanMs = spanMsOf(range);
  if (!spanMs) throw misuse(`--range takes a span such as 15m, 2h or 7d, not "${range}"`);
  return { rangeSeconds: spanMs / 1_000 };
}

function rows(items: readonly LogSearch[]): string {
  return table(
    ["NAME", "FINDS", "SAVED BY", "SAVED"],
    items.map(({ name, filter, updatedAt, updatedBy }) => {
      return [name, wordsOf(filter), updatedBy, ago(updatedAt)];
    }),
  );
}

function wordsOf({ words, rangeSeconds, ...filter }: LogSearchFilter): string {
  const parts = Object.entries(filter).map(([name, value]) => `${name} ${value}`);
  const back = rangeSeconds === undefined ? [] : [`within ${spanOf(rangeSeconds)}`];
  return [...(words ? [`"${words}"`] : []), ...parts, ...back].join(", ");
}

function spanOf(seconds: number): string {
  for (const [unit, length] of [
    ["d", 86_400],
    ["h", 3_600],
    ["m", 60],
  ] as const) {
    if (seconds % length === 0) return `${seconds / length}${unit}`;
  }
  return `${seconds}s`;
}
