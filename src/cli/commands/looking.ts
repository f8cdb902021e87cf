import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import type { LogLine } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf, wholeNumber } from "../cli.ts";
import { table } from "../output.ts";
import { printable } from "../printable.ts";
import { waterfall } from "../waterfall.ts";
import { fleetTelemetryCommands } from "./fleet-telemetry.ts";
import { metricCommands } from "./metrics.ts";

type Level = "trace" | "debug" | "info" | "warn" | "error" | "fatal";

interface LogOptions extends CommonOptions {
  level?: Level;
  device?: string;
  query?: string;
  group?: string;
  logger?: string;
  field?: string;
  trace?: string;
  since?: string;
  limit: number;
  follow?: boolean;
}

const FOLLOW_EVERY_MS = 1_000;

export function lookingCommands(program: Command, cli: Cli): void {
  leaf(program, {
    usage: "logs [words...]",
    summary: "devices' log lines by words, level, device, time and trace",
    example: "vautn logs --level warn --device hub-001 checksum",
    data: true,
    tenant: true,
  })
    .option("--level <level>", "this level and what is more severe")
    .option("-d, --device <id>", "of one device")
    .option("-q, --query <query>", "of devices that a fleet query finds")
    .option("--group <name>", "of a group's devices")
    .option("--logger <name>", "by one logger, such as a program's part")
    .option("--field <name=value>", "with this attribute")
    .option("--trace <id>", "of one trace")
    .option("--since <time>", "ISO 8601, or such as 15m, 2h, 7d")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 10_000), 100)
    .option("--follow", "go on printing what comes in, until Ctrl-C")
    .action((words: string[], options: LogOptions) => logs(cli, words, options));

  telemetryCommand(program, cli);

  leaf(program, {
    usage: "trace <id>",
    summary: "the whole way of a trace: request, platform, devices' log lines",
    example: "vautn trace 4bf92f3577b34da6a3ce929d0e0e4736",
    data: true,
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    const trace = await cli.session(options).call("getTrace", { params: { trace: id } });
    cli.print(options, trace, () => waterfall(trace, cli.io.columns ?? 120));
  });
}

function telemetryCommand(program: Command, cli: Cli): void {
  const telemetry = group(
    program,
    "telemetry",
    "measurements of devices",
    "vautn telemetry query hub-001 temperature",
  );
  fleetTelemetryCommands(telemetry, cli);
  metricCommands(telemetry, cli);
  leaf(telemetry, {
    usage: "query <device> [metric]",
    summary: "a metric over time; without one, the latest value of each",
    example: "vautn telemetry query hub-001 temperature --since 24h --points 100",
    data: true,
    tenant: true,
  })
    .option("--since <time>", "ISO 8601, or such as 15m, 2h, 7d", "24h")
    .option("--until <time>", "likewise (default: now)")
    .option("--points <count>", "at most so many points", wholeNumber("--points", 1, 4_000), 60)
    .action(async (device: string, metric: string | undefined, options: QueryOptions) => {
      const session = cli.session(options);
      const params = { device };
      if (metric === undefined) {
        const latest = await session.call("getLatestMetrics", { params });
        const hint = `No telemetry from ${device} in the last month.`;
        cli.printList(options, latest, (items) => latestTable(items), hint);
        return;
      }
      const query = {
        metric,
        from: momentOf(options.since),
        to: options.until ? momentOf(options.until) : undefined,
        points: options.points,
      };
      const series = await session.call("getSeries", { params, query });
      cli.printList(
        options,
        { ...series, items: series.points },
        (items) =>
          table(
            ["TIME", "MEAN", "MIN", "MAX", "VALUES"],
            items.map(({ ts, mean, min, max, count }) => [
              new Date(ts).toISOString(),
              mean,
              min,
              max,
              count,
            ]),
          ),
        `No values of ${metric} in that time. Next: vautn telemetry query ${device}`,
      );
    });
}

type QueryOptions = CommonOptions & { since: string; until?: string; points: number };

function latestTable(items: { metric: string; ts: number; value: number }[]): string {
  return table(
    ["METRIC", "VALUE", "TIME"],
    items.map(({ metric, value, ts }) => [metric, value, new Date(ts).toISOString()]),
  );
}

async function logs(cli: Cli, words: string[], options: LogOptions): Promise<void> {
  const session = cli.session(options);
  const filter = {
    words: words.length > 0 ? words.join(" ") : undefined,
    level: options.level,
    device: options.device,
    q: options.query,
    group: options.group,
    logger: options.logger,
    field: options.field,
    trace: options.trace,
  };
  const from = options.since ? momentOf(options.since) : undefined;
  if (!options.follow) {
    const query = { ...filter, from };
    const page = await session.collect("searchLogs", { query }, options.limit);
    cli.printList(
      options,
      page,
      (items) => items.toReversed().map(lineOf).join(""),
      "No log line matches. Take off a filter, or look further back with --since 7d",
    );
    return;
  }
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

const UNITS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** ISO 8601 as it is; `15m` as milliseconds since the epoch. */
export function momentOf(text: string, nowMs = Date.now()): string {
  const relative = /^(\d{1,6})([smhd])$/.exec(text);
  return relative ? String(nowMs - Number(relative[1]) * (UNITS[relative[2] ?? ""] ?? 0)) : text;
}
