import type { Command } from "commander";
import { type Cli, type CommonOptions, leaf, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { momentOf } from "../moments.ts";
import { table } from "../output.ts";
import { printBody, writeFile } from "../write-file.ts";

interface FilterOptions extends CommonOptions {
  query?: string;
  group?: string;
  devices?: string;
  since: string;
  until?: string;
}

/** Telemetry of many devices. */
export function fleetTelemetryCommands(telemetry: Command, cli: Cli): void {
  seriesCommand(telemetry, cli);
  latestCommand(telemetry, cli);
  textsCommand(telemetry, cli);
  exportCommand(telemetry, cli);
}

function filtered(command: Command, since: string): Command {
  return command
    .option("-q, --query <query>", "devices of this fleet query")
    .option("-g, --group <name>", "devices of this saved group")
    .option("-d, --devices <ids>", "these devices, with commas between them")
    .option("--since <time>", "ISO 8601, or such as 15m, 2h, 7d", since)
    .option("--until <time>", "likewise (default: now)");
}

function filterOf({ query, group, devices, since, until }: FilterOptions) {
  const to = until === undefined ? undefined : momentOf(until);
  return { q: query, group, devices, from: momentOf(since), to };
}

interface SeriesOptions extends FilterOptions {
  by: string;
  aggregate: string;
  transform: "none" | "increase" | "rate" | "delta";
  across?: string;
  step?: string;
  points: number;
  top?: number;
  fill: "none" | "null" | "previous" | "linear";
}

function seriesCommand(telemetry: Command, cli: Cli): void {
  const command = leaf(telemetry, {
    usage: "series <metric>",
    summary: "a metric of many devices over time, taken together or by group",
    example: "vautn telemetry series temperature --by firmware --aggregate p95 --since 7d",
    data: true,
    tenant: true,
  });
  filtered(command, "24h")
    .option(
      "--by <what>",
      "device, firmware, hardware, product, region, group, tags.<name>",
      "none",
    )
    .option("--aggregate <how>", "avg, min, max, sum, count, last, p95", "avg")
    .option("--transform <how>", "none, increase, rate (counters), delta", "none")
    .option("--across <how>", "how the devices' own results are taken together")
    .option("--step <width>", "width of a bucket, such as 5m (default: by --points)")
    .option("--points <count>", "at most so many buckets", wholeNumber("--points", 1, 4_000), 30)
    .option("--top <count>", "only the greatest series", wholeNumber("--top", -100, 100))
    .option("--fill <how>", "gaps: none, null, previous, linear", "none")
    .action(async (metric: string, options: SeriesOptions) => {
      const { by, aggregate, transform, across, step, points, top, fill } = options;
      const answer = await cli.session(options).call("getFleetSeries", {
        query: {
          ...filterOf(options),
          ...{ metric, aggregate, transform, across, step, top, fill, groupBy: by },
          ...(step === undefined ? { points } : {}),
        },
      });
      const { unit, resolution } = answer;
      const { source, stepMs, approximate } = resolution;
      cli.printList(
        options,
        { ...answer, items: answer.series },
        (series) =>
          table(
            [
              "TIME",
              by === "none" ? "SERIES" : by.toUpperCase(),
              unit ? `VALUE (${unit})` : "VALUE",
            ],
            series.flatMap(({ key, points: values }) =>
              values.map(([ts, value]) => {
                return [new Date(ts ?? 0).toISOString(), key ?? "(none)", value ?? ""];
              }),
            ),
          ),
        `No values of ${metric} in that time. Next: vautn telemetry latest`,
      );
      const nature = approximate ? ", approximate" : "";
      if (!options.json) cli.note(`steps of ${stepMs / 1000} s from ${source}${nature}`);
    });
}

interface LatestOptions extends Omit<FilterOptions, "until"> {
  metrics?: string;
  sort: string;
  above?: string;
  below?: string;
  limit: number;
}

function latestCommand(telemetry: Command, cli: Cli): void {
  leaf(telemetry, {
    usage: "latest",
    summary: "the latest values of the fleet",
    example: "vautn telemetry latest --metrics battery --below 20 --sort value",
    data: true,
    tenant: true,
  })
    .option("-q, --query <query>", "devices of this fleet query")
    .option("-g, --group <name>", "devices of this saved group")
    .option("-d, --devices <ids>", "these devices, with commas between them")
    .option("--since <time>", "values from then on", "24h")
    .option("--metrics <names>", "only these, with commas between them")
    .option("--sort <by>", "device, metric, value or ts; -value is descending", "device")
    .option("--above <value>", "only values not below it")
    .option("--below <value>", "only values not above it")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 100_000), 100)
    .action(async (options: LatestOptions) => {
      const { metrics, sort, limit } = options;
      const { from: since, q, group, devices } = filterOf(options);
      const above = numberOf("--above", options.above);
      const below = numberOf("--below", options.below);
      const query = { q, group, devices, since, metrics, sort, above, below };
      const page = await cli.session(options).collect("listFleetLatest", { query }, limit);
      cli.printList(
        options,
        page,
        (items) =>
          table(
            ["DEVICE", "METRIC", "VALUE", "UNIT", "TIME"],
            items.map(({ deviceId, metric, value, unit, ts }) => [
              ...[deviceId, metric, value, unit, new Date(ts).toISOString()],
            ]),
          ),
        "No values in that time. Look further back with --since 7d",
      );
    });
}

interface TextsOptions extends FilterOptions {
  metrics?: string;
  latest?: boolean;
  limit: number;
}

function textsCommand(telemetry: Command, cli: Cli): void {
  const command = leaf(telemetry, {
    usage: "texts",
    summary: "values that are words, the newest first",
    example: "vautn telemetry texts --metrics mode --latest",
    data: true,
    tenant: true,
  });
  filtered(command, "24h")
    .option("--metrics <names>", "only these, with commas between them")
    .option("--latest", "only the newest of each device and metric")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 100_000), 100)
    .action(async (options: TextsOptions) => {
      const { metrics, latest, limit } = options;
      const query = { ...filterOf(options), metrics, latest };
      const page = await cli.session(options).collect("listTelemetryTexts", { query }, limit);
      cli.printList(
        options,
        page,
        (items) =>
          table(
            ["DEVICE", "METRIC", "TEXT", "TIME"],
            items.map(({ deviceId, metric, text, ts }) => [
              ...[deviceId, metric, text, new Date(ts).toISOString()],
            ]),
          ),
        "No values that are words in that time. Look further back with --since 7d",
      );
    });
}

interface ExportOptions extends FilterOptions {
  metrics?: string;
  texts?: boolean;
  format: "csv" | "parquet";
  output?: string;
}

function exportCommand(telemetry: Command, cli: Cli): void {
  const command = leaf(telemetry, {
    usage: "export",
    summary: "points as CSV or Parquet",
    example:
      "vautn telemetry export --metrics temperature --since 30d --format parquet --output t.parquet",
    tenant: true,
  });
  filtered(command, "24h")
    .option("--metrics <names>", "only these, with commas between them")
    .option("--texts", "values that are words, instead of numbers")
    .option("--format <format>", "csv or parquet", "csv")
    .option("--output <file>", "file to write; standard output where left out (CSV)")
    .action((options: ExportOptions) => exportTo(cli, options));
}

async function exportTo(cli: Cli, options: ExportOptions): Promise<void> {
  const { format, output, metrics, texts } = options;
  if (!["csv", "parquet"].includes(format)) throw misuse("--format is csv or parquet");
  if (format === "parquet" && output === undefined) {
    throw misuse("Parquet is not for a terminal: name a file with --output");
  }
  const session = cli.session(options);
  const values: "texts" | undefined = texts ? "texts" : undefined;
  const query = { ...filterOf(options), format, metrics, values };
  const response = await session.client.stream(
    "exportTelemetry",
    session.fill("exportTelemetry", { query }),
  );
  const total = Number(response.headers.get("vautn-points") ?? 0);
  if (!response.body) throw new Error("the answer has no body");
  if (output === undefined) return printBody(cli, response.body);
  await writeFile(cli, response.body, output, total * BYTES_PER_POINT[format]);
  cli.note(`${total} points: ${output}`);
}

/** About how many bytes of a file a point takes: only for the bar. */
const BYTES_PER_POINT = { csv: 65, parquet: 12 };

function numberOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw misuse(`${name} takes a number`);
  return value;
}
