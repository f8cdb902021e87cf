import type { TenantQuery } from "../src/timeseries/index.ts";
import { slotOf, type Truck, type TruckMetric } from "./tsbs-trucks.ts";

/** TSBS' questions about trucks, as queries of a tenant: rollups where they serve, rows where not. */
export interface TruckQuestion {
  name: string;
  query(about: About): TenantQuery;
}

export interface About {
  trucks: readonly Truck[];
  /** What some questions are confined to. */
  fleet: string;
  /** Of the windows that end with it. */
  end: number;
}

/** A row of an answer: whose it is, the beginning of its day where it has one, and its numbers. */
export interface AnswerRow {
  k: string;
  day?: number;
  v?: number;
  w?: number;
}

const TEN_MINUTES_S = 600;
export const STATIONARY_MS = 10 * 60_000;
export const LONG_SESSION_MS = 4 * 3_600_000;
export const LONG_DAY_MS = 24 * 3_600_000;
/** Ten minutes that are driven in the window, at rest for 5 and for 35 minutes an hour. */
export const LONG_SESSION_TENS = 22;
export const LONG_DAY_TENS = 60;

const MEAN = "sum(sum) / sum(count)";
const TENS = `intDiv(toUnixTimestamp(ts), ${TEN_MINUTES_S})`;
const LIMIT = 100_000;
const OWN = "device_id in {devices:Array(String)}";
/** Whose a device is: of its fleet, or its model. */
const KEY = "transform(d, {devices:Array(String)}, {keys:Array(String)}, '')";

function rollup(
  level: "1m" | "1d",
  metrics: readonly TruckMetric[],
  where: readonly string[] = [],
) {
  return {
    ...{ table: `telemetry_${level}` as const, final: true, limit: LIMIT },
    where: ["metric in {metrics:Array(String)}", OWN, ...where],
    params: { metrics },
  };
}

const WITHIN = ["ts >= toDateTime({from:UInt32})", "ts < toDateTime({to:UInt32})"];

function window({ end }: About, lengthMs: number) {
  return { from: Math.floor((end - lengthMs) / 1_000), to: Math.floor(end / 1_000) };
}

function devicesOf({ trucks, fleet }: About, all: boolean): string[] {
  return trucks.filter((truck) => all || truck.fleet === fleet).map(({ id }) => id);
}

function keyed(about: About, keyOf: (truck: Truck) => string) {
  return { devices: devicesOf(about, true), keys: about.trucks.map(keyOf) };
}

/** The newest value of a metric; a rollup's bucket knows its last one. */
function lastOf(metric: TruckMetric): string {
  return `argMaxIf(last, last_ts, metric = '${metric}')`;
}

function lastLocation(name: string, devices: (about: About) => string[]): TruckQuestion {
  return {
    name,
    query(about) {
      const base = rollup("1d", ["latitude", "longitude"]);
      return {
        ...base,
        select: `device_id as k, ${lastOf("latitude")} as v, ${lastOf("longitude")} as w`,
        groupBy: "k",
        params: { ...base.params, devices: devices(about) },
      };
    },
  };
}

function longDriving(name: string, lengthMs: number, tens: number): TruckQuestion {
  return {
    name,
    query(about) {
      const base = rollup("1m", ["velocity"], WITHIN);
      return {
        ...base,
        select: `device_id as d, ${TENS} as b`,
        groupBy: "d, b",
        having: `${MEAN} > 1`,
        stages: [{ select: "d as k", groupBy: "k", having: `count() > ${tens}` }],
        params: { ...base.params, ...window(about, lengthMs), devices: devicesOf(about, false) },
      };
    },
  };
}

export const TRUCK_QUESTIONS: readonly TruckQuestion[] = [
  lastLocation("last-loc", (about) => devicesOf(about, false)),
  lastLocation("single-last-loc", ({ trucks }) => trucks.slice(0, 1).map(({ id }) => id)),
  {
    name: "low-fuel",
    query(about) {
      const base = rollup("1d", ["fuel_state"]);
      return {
        ...base,
        select: "device_id as k, argMax(last, last_ts) as v",
        groupBy: "k",
        having: "v < 0.1",
        params: { ...base.params, devices: devicesOf(about, false) },
      };
    },
  },
  {
    name: "high-load",
    query(about) {
      const base = rollup("1d", ["current_load"]);
      const own = about.trucks.filter(({ fleet }) => fleet === about.fleet);
      const capacity = "transform(k, {devices:Array(String)}, {capacities:Array(Float64)}, 0.0)";
      return {
        ...base,
        select: "device_id as k, argMax(last, last_ts) as v",
        groupBy: "k",
        having: `v / ${capacity} > 0.9`,
        params: {
          ...base.params,
          devices: own.map(({ id }) => id),
          capacities: own.map(({ loadCapacity }) => loadCapacity),
        },
      };
    },
  },
  {
    name: "stationary-trucks",
    query(about) {
      const base = rollup("1m", ["velocity"], WITHIN);
      return {
        ...base,
        select: "device_id as k",
        groupBy: "k",
        having: `${MEAN} < 1`,
        params: {
          ...base.params,
          ...window(about, STATIONARY_MS),
          devices: devicesOf(about, false),
        },
      };
    },
  },
  longDriving("long-driving-sessions", LONG_SESSION_MS, LONG_SESSION_TENS),
  longDriving("long-daily-sessions", LONG_DAY_MS, LONG_DAY_TENS),
  {
    name: "avg-vs-projected-fuel-consumption",
    query(about) {
      const nominal = "transform(d, {devices:Array(String)}, {nominal:Array(Float64)}, 0.0)";
      const fuel = slotOf("fuel_consumption");
      return {
        ...{ table: "telemetry_wide", final: true, limit: LIMIT },
        select: `device_id as d, sum(${fuel}) / 10 as fuel, count() as n`,
        where: [OWN, `${slotOf("velocity")} > 1`, `isNotNull(${fuel})`],
        groupBy: "d",
        stages: [
          {
            select: `${KEY} as k, sum(fuel) / sum(n) as v, sum(n * ${nominal}) / sum(n) as w`,
            groupBy: "k",
          },
        ],
        params: {
          ...keyed(about, ({ fleet }) => fleet),
          nominal: about.trucks.map(({ nominalFuelConsumption }) => nominalFuelConsumption),
        },
      };
    },
  },
  {
    name: "avg-daily-driving-duration",
    query(about) {
      const base = rollup("1m", ["velocity"]);
      return {
        ...base,
        select: `device_id as d, ${TENS} as b`,
        groupBy: "d, b",
        having: `${MEAN} > 1`,
        stages: [
          { select: "d, intDiv(b, 144) as day, count() / 6 as hours", groupBy: "d, day" },
          { select: "d as k, avg(hours) as v", groupBy: "k" },
        ],
        params: { ...base.params, devices: devicesOf(about, true) },
      };
    },
  },
  {
    name: "avg-daily-driving-session",
    query(about) {
      const base = rollup("1m", ["velocity"]);
      const before = "rows between unbounded preceding and current row";
      const all = "rows between unbounded preceding and unbounded following";
      return {
        ...base,
        select: `device_id as d, ${TENS} as b, ${MEAN} > 5 as driving`,
        groupBy: "d, b",
        stages: [
          {
            select: `d, b, driving,
              lagInFrame(driving, 1, 2) over (partition by d order by b ${before}) as was`,
          },
          {
            select: `d, b, driving,
              leadInFrame(b, 1, 0) over (partition by d order by b ${all}) as stop`,
            where: ["was != 2", "driving != was"],
          },
          {
            select: `d as k, intDiv(b, 144) as day, avg(stop - b) * ${TEN_MINUTES_S} as v`,
            where: ["driving = 1", "stop > 0"],
            groupBy: "k, day",
          },
        ],
        params: { ...base.params, devices: devicesOf(about, true) },
      };
    },
  },
  {
    name: "avg-load",
    query(about) {
      const base = rollup("1d", ["current_load"]);
      const capacity = "transform(d, {devices:Array(String)}, {capacities:Array(Float64)}, 1.0)";
      return {
        ...base,
        select: `device_id as d, ${MEAN} as mean`,
        groupBy: "d",
        stages: [{ select: `${KEY} as k, avg(mean / ${capacity}) as v`, groupBy: "k" }],
        params: {
          ...base.params,
          ...keyed(about, ({ fleet, model }) => `${fleet} ${model}`),
          capacities: about.trucks.map(({ loadCapacity }) => loadCapacity),
        },
      };
    },
  },
  {
    name: "daily-activity",
    query(about) {
      const base = rollup("1m", ["status"]);
      return {
        ...base,
        select: `device_id as d, ${TENS} as b, sum(count) as n`,
        groupBy: "d, b",
        having: `${MEAN} < 1`,
        stages: [
          { select: `${KEY} as k, intDiv(b, 144) as day, sum(n) / 144 as v`, groupBy: "k, day" },
        ],
        params: { ...base.params, ...keyed(about, ({ fleet, model }) => `${fleet} ${model}`) },
      };
    },
  },
  {
    name: "breakdown-frequency",
    query(about) {
      const status = slotOf("status");
      const all = "rows between unbounded preceding and unbounded following";
      return {
        ...{ table: "telemetry_wide", final: true, limit: LIMIT },
        select: `device_id as d, ${TENS} as b, countIf(${status} = 0) / count() >= 0.5 as broken`,
        where: [OWN, `isNotNull(${status})`],
        groupBy: "d, b",
        stages: [
          {
            select: `d, broken,
              leadInFrame(broken, 1, 2) over (partition by d order by b ${all}) as becomes`,
          },
          {
            select: `${KEY} as k, count() as v`,
            where: ["broken = 0", "becomes = 1"],
            groupBy: "k",
          },
        ],
        params: keyed(about, ({ model }) => model),
      };
    },
  },
];
