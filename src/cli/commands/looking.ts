import type { Command } from "commander";
import { type Cli, type CommonOptions, group, leaf, wholeNumber } from "../cli.ts";
import { momentOf } from "../moments.ts";
import { table } from "../output.ts";
import { waterfall } from "../waterfall.ts";
import { fleetTelemetryCommands } from "./fleet-telemetry.ts";
import { logSearchCommands } from "./log-searches.ts";
import { logCommand } from "./logs.ts";
import { metricCommands } from "./metrics.ts";
import { retentionCommands } from "./retention.ts";
import { telemetryUsageCommand } from "./telemetry-usage.ts";

export function lookingCommands(program: Command, cli: Cli): void {
  logCommand(program, cli);
  logSearchCommands(program, cli);
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
  retentionCommands(telemetry, cli);
  telemetryUsageCommand(telemetry, cli);
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
        const [{ items: numbers }, { items: texts }] = await Promise.all([
          session.call("getLatestMetrics", { params }),
          session.collect("listTelemetryTexts", { query: { devices: device, latest: true } }, 200),
        ]);
        const items = [
          ...numbers,
          ...texts.map(({ metric, ts, text }) => ({ metric, ts, value: text, unit: "" })),
        ].sort((left, right) => (left.metric < right.metric ? -1 : 1));
        const hint = `No telemetry from ${device} in the last month.`;
        cli.printList(options, { items }, (shown) => latestTable(shown), hint);
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
            ["TIME", ...["MEAN", "MIN", "MAX"].map((name) => inUnit(name, series.unit)), "VALUES"],
            items.map(({ ts, mean, min, max, count }) => [
              new Date(ts).toISOString(),
              mean,
              min,
              max,
              count,
            ]),
          ),
        `No numbers of ${metric} in that time. Next: vautn telemetry query ${device}, or for words ` +
          `vautn telemetry texts --devices ${device} --metrics ${metric}`,
      );
    });
}

/** The heading of a column of figures: `MEAN (°C)`. */
function inUnit(name: string, unit: string): string {
  return unit === "" ? name : `${name} (${unit})`;
}

type QueryOptions = CommonOptions & { since: string; until?: string; points: number };

interface LatestRow {
  metric: string;
  ts: number;
  value: number | string;
  unit: string;
}

function latestTable(items: LatestRow[]): string {
  return table(
    ["METRIC", "VALUE", "UNIT", "TIME"],
    items.map(({ metric, value, unit, ts }) => [metric, value, unit, new Date(ts).toISOString()]),
  );
}
