import type { Command } from "commander";
import { type Cli, type CommonOptions, leaf } from "../cli.ts";
import { facts, table } from "../output.ts";

const METRICS_SHOWN = 20;

/** What a tenant's telemetry takes on the disk. */
export function telemetryUsageCommand(telemetry: Command, cli: Cli): void {
  leaf(telemetry, {
    usage: "usage",
    summary: "bytes of the telemetry: by table, by metric, by point and by day",
    example: "vautn telemetry usage --tenant acme",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const usage = await cli.session(options).call("getTelemetryUsage");
    cli.print(options, usage, () =>
      [
        facts([
          ["storage", usage.storageClass],
          ["points", usage.points.toLocaleString("en")],
          ["bytes", bytesText(usage.sizeBytes)],
          ["bytes a point", perPoint(usage.bytesPerPoint)],
          ["with rollups", perPoint(usage.bytesPerPointWithRollups)],
        ]),
        table(
          ["TABLE", "ROWS", "BYTES", "BYTES/ROW", "COMPRESSION"],
          usage.tables
            .filter(({ rows }) => rows > 0)
            .map(({ table: name, rows, sizeBytes, bytesPerRow, compression, isEstimate }) => [
              ...[name, rows.toLocaleString("en")],
              `${isEstimate ? "~" : ""}${bytesText(sizeBytes)}`,
              ...[bytesPerRow.toFixed(1), `${compression.toFixed(1)}x`],
            ]),
        ),
        usage.metrics.length === 0
          ? ""
          : table(
              [
                "METRIC",
                "POINTS",
                "BYTES",
                "BYTES/POINT",
                "ROLLUPS",
                "KEPT (DAYS: POINTS/1M/1H/1D)",
              ],
              usage.metrics
                .slice(0, METRICS_SHOWN)
                .map(({ metric, points, kept, ...one }) => [
                  ...[metric, points.toLocaleString("en"), bytesText(one.pointBytes)],
                  points > 0 ? (one.pointBytes / points).toFixed(2) : "",
                  bytesText(one.rollupBytes),
                  [kept.points, kept.minutes, kept.hours, kept.days].join("/"),
                ]),
            ),
        usage.days.length === 0
          ? ""
          : table(
              ["DAY", "POINTS", "BYTES"],
              usage.days
                .slice(-7)
                .map(({ day, points, sizeBytes }) => [
                  new Date(day).toISOString().slice(0, 10),
                  points.toLocaleString("en"),
                  `~${bytesText(sizeBytes)}`,
                ]),
            ),
      ]
        .filter((part) => part !== "")
        .join("\n"),
    );
    if (options.json) return;
    const more = usage.metrics.length - METRICS_SHOWN;
    if (more > 0) cli.note(`${more} more metrics: --json shows all`);
    cli.note("~ is the tenant's part of files that tenants share.");
    cli.note("Next: vautn telemetry retention estimate PATTERN --points 30");
  });
}

function perPoint(bytes: number | null): string {
  return bytes === null ? "no points" : bytes.toFixed(2);
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  for (; value >= 1_000 && unit < UNITS.length - 1; unit += 1) value /= 1_000;
  return `${unit === 0 ? value : value.toPrecision(3)} ${UNITS[unit]}`;
}
