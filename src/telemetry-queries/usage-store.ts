import { type Horizons, type TenantQuery, WIDE_SLOTS } from "../timeseries/index.ts";
import { COST, type Reader } from "./series-store.ts";

export type RollupTableName = "telemetry_1m" | "telemetry_1h" | "telemetry_1d";

const MAX_METRICS = 5_000;
const MAX_LAYOUTS = 10_000;

/** Rows of a table by metric. */
export async function countByMetric(
  timeseries: Reader,
  tenantId: string,
  table: "telemetry" | "telemetry_texts" | RollupTableName,
): Promise<Map<string, number>> {
  const rows = await timeseries.tenantQuery<{ name: string; n: number }>(tenantId, {
    table,
    select: "toString(metric) as name, count() as n",
    groupBy: "name",
    orderBy: "n desc",
    limit: MAX_METRICS,
    cost: COST,
  });
  return new Map(rows.map(({ name, n }) => [name, n]));
}

const SLOTS = Array.from({ length: WIDE_SLOTS }, (_, index) => `i${index + 1}`);

/** Values of wide rows by metric. */
export async function countWide(
  timeseries: Reader,
  tenantId: string,
): Promise<Map<string, number>> {
  const rows = await timeseries.tenantQuery<{ names: string; n: number[] }>(tenantId, {
    table: "telemetry_wide",
    select: `toString(layout) as names, [${SLOTS.map((slot) => `count(${slot})`).join(", ")}] as n`,
    groupBy: "names",
    limit: MAX_LAYOUTS,
    cost: COST,
  });
  const counts = new Map<string, number>();
  for (const { names, n } of rows) {
    for (const [index, slot] of names.split(",").entries()) {
      const name = slot.split("=")[0] ?? "";
      counts.set(name, (counts.get(name) ?? 0) + (n[index] ?? 0));
    }
  }
  return counts;
}

export interface DayCount {
  day: number;
  points: number;
}

/** Points by the day (UTC) in which they were measured. */
export function countByDay(
  timeseries: Reader,
  tenantId: string,
  since: number,
  limit: number,
): Promise<DayCount[]> {
  return timeseries.tenantQuery<DayCount>(tenantId, {
    table: "telemetry_1d",
    select: "toInt64(toUnixTimestamp(toStartOfDay(ts))) * 1000 as day, sum(count) as points",
    where: ["ts >= toDateTime(intDiv({since:Int64}, 1000), 'UTC')"],
    groupBy: "day",
    orderBy: "day",
    final: true,
    limit,
    cost: COST,
    params: { since },
  });
}

/** Points and rollups from before the horizons: by metric, of points as the rollups by day count them. */
export async function countBefore(
  timeseries: Reader,
  tenantId: string,
  table: RollupTableName,
  horizons: Horizons,
): Promise<Map<string, { rows: number; points: number }>> {
  const query: TenantQuery = {
    table,
    select: "toString(metric) as name, count() as n, sum(count) as p",
    where: [
      "ts < fromUnixTimestamp64Milli({latest:Int64})",
      `ts < fromUnixTimestamp64Milli(${horizons.of("metric")})`,
    ],
    groupBy: "name",
    final: true,
    limit: MAX_METRICS,
    cost: COST,
    params: { ...horizons.params, latest: horizons.latest },
  };
  const rows = await timeseries.tenantQuery<{ name: string; n: number; p: number }>(
    tenantId,
    query,
  );
  return new Map(rows.map(({ name, n, p }) => [name, { rows: n, points: p }]));
}
