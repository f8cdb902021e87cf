import { TABLES, type TableName } from "./tables.ts";
import type { MetricPlace } from "./wide-layouts.ts";

/** Beginnings of buckets, in the order in which each is made of the one before it. */
export const ROLLUP_LEVELS = ["1m", "1h", "1d"] as const;
export type RollupLevel = (typeof ROLLUP_LEVELS)[number];

/** Rollups of one level; `final` is due to every read of them. */
export type RollupTable = `telemetry_${RollupLevel}`;

/**
 * What a query of a tenant can read: our tables, the rollups, and `points`, which is every number however
 * it is stored, with the columns `tenant_id, device_id, metric, ts, seq, value, received_at`. `latest` has
 * the same but the last, and of each device's metric a few points only: the newest, the one with the
 * greatest `(ts, seq)`, is among them.
 */
export type Readable = TableName | RollupTable | "telemetry_wide" | "points" | "latest";

export const ROLLUP_TABLES: readonly RollupTable[] = ROLLUP_LEVELS.map(
  (level) => `telemetry_${level}` as const,
);

/** What is computed from points, and can be again. */
export const DERIVED_TABLES: readonly string[] = [...ROLLUP_TABLES, "telemetry_latest"];

/** Every table that holds rows of tenants. */
export const TENANT_TABLES: readonly string[] = [
  ...Object.keys(TABLES),
  "telemetry_wide",
  ...DERIVED_TABLES,
];

export const WIDE_SLOTS = 32;

export function isReadable(name: string): name is Readable {
  return name === "points" || name === "latest" || TENANT_TABLES.includes(name);
}

/** What stands behind FROM; rows beyond `where` are not looked at. */
export function sourceOf(name: Readable, final: boolean, where: string): string {
  const suffix = final ? " final" : "";
  if (name === "points") return `(${pointsSource(suffix, where)})`;
  return name === "latest" ? `(${latestSource(where)})` : `${name}${suffix}`;
}

/**
 * Numbers of the metric that the parameter `metric` names, and of wide rows nothing but its own slots. What
 * was written last of a moment counts there, as the engine takes rows together; FINAL would do it row by
 * row, in four times as long.
 */
export function pointsOfMetric(
  places: readonly MetricPlace[],
  final: boolean,
  where: string,
): string {
  const moment = "tenant_id, device_id, product, ts";
  const last = final ? `order by ${moment}, received_at desc, seq desc limit 1 by ${moment}` : "";
  const wide = places.map(
    ({ slot, decimals }, index) =>
      `(select tenant_id, device_id, {metric:String} as metric, ts, seq,
        assumeNotNull(i${slot}) / ${10 ** decimals} as value, received_at
      from telemetry_wide
      where ${where} and layout in {layouts${index}:Array(String)} and isNotNull(i${slot}) ${last})`,
  );
  const narrow = `select tenant_id, device_id, {metric:String} as metric, ts, seq, value, received_at
    from telemetry${final ? " final" : ""} where ${where} and telemetry.metric = {metric:String}`;
  return `(${[narrow, ...wide].join(" union all ")})`;
}

/** What has been taken over, and every point that came after it. */
function latestSource(where: string): string {
  const after = "received_at > fromUnixTimestamp64Milli({latestAfter:Int64})";
  return `select tenant_id, device_id, toString(metric) as metric, newest.1 as ts, newest.2 as seq,
      newest.3 as value
    from telemetry_latest where ${where}
    union all
    select tenant_id, device_id, metric, ts, seq, value
    from (${pointsSource("", `${where} and ${after}`)})`;
}

const SLOTS = Array.from({ length: WIDE_SLOTS }, (_, index) => `i${index + 1}`).join(", ");
const POWERS = Array.from({ length: 16 }, (_, index) => 10 ** index).join(", ");

/** Slots with a value, by name: `temperature=2` is the name and how many decimals its number has. */
const NAMED_SLOTS = `arrayFilter(named -> isNotNull(named.2),
      arrayMap((name, slot) -> (
          substring(name, 1, position(name, '=') - 1),
          slot / [${POWERS}][toUInt8OrZero(substring(name, position(name, '=') + 1)) + 1]),
        splitByChar(',', toString(layout)),
        arraySlice([${SLOTS}], 1, length(splitByChar(',', toString(layout))))))`;

/** Every number however it is stored. */
function pointsSource(suffix: string, where: string): string {
  return `select storage_class, tenant_id, device_id, toString(metric) as metric, ts, seq, value, received_at
    from telemetry${suffix} where ${where}
    union all
    select storage_class, tenant_id, device_id, named.1 as metric, ts, seq, assumeNotNull(named.2) as value,
      received_at
    from telemetry_wide${suffix} array join ${NAMED_SLOTS} as named where ${where}`;
}
