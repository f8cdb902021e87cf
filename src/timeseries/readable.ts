import { TABLES, type TableName } from "./tables.ts";
import type { MetricPlace } from "./wide-layouts.ts";

/** Beginnings of buckets, in the order in which each is made of the one before it. */
export const ROLLUP_LEVELS = ["1m", "1h", "1d"] as const;
export type RollupLevel = (typeof ROLLUP_LEVELS)[number];

/** Rollups of one level; `final` is due to every read of them. */
export type RollupTable = `telemetry_${RollupLevel}`;

/** Rollups of all devices of a tenant together, of one level. */
export type FleetRollup = `fleet_${RollupLevel}`;

/**
 * What a query of a tenant can read: our tables, the rollups, and `points`, which is every number however
 * it is stored, with the columns `tenant_id, device_id, metric, ts, seq, value, received_at` and, where no
 * metric is named, `shift_ms` (the device itself said `ts - shift_ms`). `latest` has
 * the same but these two, and of each device's metric a few points only: the newest, the one with the
 * greatest `(ts, seq)`, is among them. `fleet_1m` and the like are rollups of all devices that the call may
 * see, with the columns `metric, ts, count, min, max, sum, last, last_ts, sketch` and of a bucket one row or
 * several: they are read by metric, and taken together.
 */
export type Readable =
  | TableName
  | RollupTable
  | FleetRollup
  | "telemetry_wide"
  | "points"
  | "latest";

export const ROLLUP_TABLES: readonly RollupTable[] = ROLLUP_LEVELS.map(
  (level) => `telemetry_${level}` as const,
);

export const FLEET_TABLES = ROLLUP_LEVELS.map((level) => `telemetry_fleet_${level}` as const);

/** What is computed from points, and can be again. */
export const DERIVED_TABLES: readonly string[] = [
  ...ROLLUP_TABLES,
  ...FLEET_TABLES,
  "telemetry_latest",
];

/** Every table that holds rows of tenants. */
export const TENANT_TABLES: readonly string[] = [
  ...Object.keys(TABLES),
  "telemetry_wide",
  ...DERIVED_TABLES,
];

export const WIDE_SLOTS = 32;

export function isReadable(name: string): name is Readable {
  const isMade = name === "points" || name === "latest" || fleetLevelOf(name) !== undefined;
  return isMade || (TENANT_TABLES.includes(name) && !FLEET_TABLES.some((table) => table === name));
}

/** Of a fleet's rollups the level. */
export function fleetLevelOf(name: string): RollupLevel | undefined {
  return ROLLUP_LEVELS.find((level) => name === `fleet_${level}`);
}

/** What stands behind FROM; rows beyond `where` are not looked at. */
export function sourceOf(name: Readable, final: boolean, where: string): string {
  const suffix = final ? " final" : "";
  if (name === "points") return `(${pointsSource(suffix, where, ANY_LAYOUT)})`;
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
    from (${pointsSource("", `${where} and ${after}`, ANY_LAYOUT)})`;
}

const SLOTS = Array.from({ length: WIDE_SLOTS }, (_, index) => `i${index + 1}`).join(", ");
const POWERS = Array.from({ length: 16 }, (_, index) => 10 ** index).join(", ");

/** What stands behind ARRAY JOIN: the `metric` and the number `slot` of each slot of a wide row. */
interface SlotsSql {
  sql: string;
  params: Record<string, string | string[]>;
}

/** Any: `temperature=2` is the name and how many decimals its number has. */
const ANY_LAYOUT: SlotsSql = {
  sql: `arrayMap(name -> substring(name, 1, position(name, '=') - 1),
        splitByChar(',', toString(layout))) as name,
      arrayMap((name, slot) ->
          slot / [${POWERS}][toUInt8OrZero(substring(name, position(name, '=') + 1)) + 1],
        splitByChar(',', toString(layout)),
        arraySlice([${SLOTS}], 1, length(splitByChar(',', toString(layout))))) as slot`,
  params: {},
};

/** With more than these every row's own layout is read. */
export const MAX_KNOWN_LAYOUTS = 16;

/**
 * Every number where wide rows have no other layouts than these, and the parameters: nothing is read of a
 * row's layout but which it is, and no slots that none of them has. It takes a quarter of the time.
 */
export function pointsOfLayouts(
  layouts: readonly string[],
  where: string,
): { source: string; params: SlotsSql["params"] } {
  const slots = layouts.length > MAX_KNOWN_LAYOUTS ? ANY_LAYOUT : slotsOf(layouts);
  return { source: `(${pointsSource(" final", where, slots)})`, params: slots.params };
}

function slotsOf(layouts: readonly string[]): SlotsSql {
  const params: SlotsSql["params"] = {};
  const [names, values]: string[][] = [[], []];
  for (const [index, layout] of layouts.entries()) {
    const slots = layout.split(",").slice(0, WIDE_SLOTS);
    params[`layout${index}`] = layout;
    params[`names${index}`] = slots.map((slot) => slot.slice(0, slot.indexOf("=")));
    const numbers = slots.map((slot, place) => {
      const digits = /=(\d{1,2})$/.exec(slot)?.[1] ?? "0";
      return `i${place + 1} / ${10 ** Number(digits)}`;
    });
    const isThis = `layout = {layout${index}:String}`;
    names?.push(isThis, `{names${index}:Array(String)}`);
    values?.push(isThis, `[${numbers.join(", ")}]`);
  }
  const none = "emptyArrayString()";
  if (layouts.length === 0) return { sql: `${none} as name, emptyArrayFloat64() as slot`, params };
  return {
    sql: `multiIf(${names?.join(", ")}, ${none}) as name, multiIf(${values?.join(", ")}, []) as slot`,
    params,
  };
}

/** Every number however it is stored. */
function pointsSource(suffix: string, where: string, slots: SlotsSql): string {
  return `select storage_class, tenant_id, device_id, toString(metric) as metric, ts, seq, value, received_at,
      shift_ms
    from telemetry${suffix} where ${where}
    union all
    select storage_class, tenant_id, device_id, name as metric, ts, seq, assumeNotNull(slot) as value,
      received_at, toInt64(0) as shift_ms
    from telemetry_wide${suffix} array join ${slots.sql} where isNotNull(slot) and ${where}`;
}
