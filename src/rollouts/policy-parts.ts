import { type Static, Type } from "typebox";
import { WEEKDAYS } from "../kernel/weekly-window.ts";

const Tag = Type.String({ pattern: "^[A-Za-z0-9_.-]{1,64}$" });
const TimeOfDay = Type.String({ pattern: "^([01][0-9]|2[0-3]):[0-5][0-9]$" });
const strict = { additionalProperties: false };

/** Times of day, in the device's own zone, at which it may begin. */
export const WindowPolicy = Type.Object(
  {
    from: TimeOfDay,
    /** Of the next day where it is not later than `from`. */
    to: TimeOfDay,
    /** Days on which the window opens; left out, all of them. */
    days: Type.Optional(
      Type.Array(Type.Enum(WEEKDAYS), { minItems: 1, maxItems: 7, uniqueItems: true }),
    ),
    /** Tag that names a device's zone, e.g. `Europe/Berlin`; `timezone` when left out. */
    zoneTag: Type.Optional(Tag),
    /** Zone of devices without the tag; UTC when left out. */
    timeZone: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  },
  strict,
);

/** At most so many devices of a site (or another tag's value) are being updated at once. */
export const DisruptionPolicy = Type.Object(
  { tag: Type.Optional(Tag), atMost: Type.Integer({ minimum: 1, maximum: 100_000 }) },
  strict,
);

/** A device that failed is tried again, so often and after so long. */
export const RetryPolicy = Type.Object(
  {
    attempts: Type.Integer({ minimum: 1, maximum: 10 }),
    afterSeconds: Type.Number({ minimum: 1, maximum: 2_592_000 }),
  },
  strict,
);

/** A device whose updates failed so often in so many days is left out until it is pardoned. */
export const PenaltyPolicy = Type.Object(
  {
    failures: Type.Integer({ minimum: 1, maximum: 100 }),
    days: Type.Integer({ minimum: 1, maximum: 365 }),
  },
  strict,
);

export const AGGREGATES = ["mean", "min", "max", "p50", "p95"] as const;

export const SOURCES = ["points", "rollups"] as const;
/** How much a counter has grown, in all or a second; how much a gauge has changed. */
export const TRANSFORMS = ["increase", "rate", "delta"] as const;

/**
 * A figure that both arms are compared by, with a test that stays valid however often one looks: of a
 * metric of telemetry, or what a query answers for each device.
 */
export const MetricPolicy = Type.Object(
  {
    /** `telemetry.<metric>`, or `query.<name>` for the answer of `query`. */
    metric: Type.String({ pattern: "^(telemetry|query)\\.[A-Za-z0-9_.:/-]{1,128}$" }),
    /**
     * In PromQL, one value for each device under the label `device`, over the compared devices alone.
     * It may reach back no further than the window.
     */
    query: Type.Optional(Type.String({ minLength: 1, maxLength: 2_000 })),
    /** Of each device's points within the window; the mean when left out. */
    aggregate: Type.Optional(Type.Enum(AGGREGATES)),
    /**
     * `rollups`: from buckets that were computed before, over the last whole window, which is then
     * whole minutes. They cost less where devices say much. Points as they came when left out.
     */
    source: Type.Optional(Type.Enum(SOURCES)),
    /** What is asked of each device's values before the aggregate; read as `rollups` are. */
    transform: Type.Optional(Type.Enum(TRANSFORMS)),
    /** Which way is worse. */
    worse: Type.Enum(["higher", "lower"] as const),
    /** Share by which it may be worse, e.g. 0.05; the absolute one is added to it. */
    toleranceShare: Type.Optional(Type.Number({ minimum: 0, maximum: 100 })),
    tolerance: Type.Optional(Type.Number({ minimum: 0 })),
    /** How long a device runs the new image before it is compared; an hour when left out. */
    windowSeconds: Type.Optional(Type.Number({ minimum: 1, maximum: 604_800 })),
    /** Pairs that must be in before the stage may widen. */
    minimumPairs: Type.Optional(Type.Integer({ minimum: 0, maximum: 100_000 })),
  },
  strict,
);

export const ORDERS = ["random", "least-critical-first", "one-per-site-first"] as const;

/** In the order of the guide. */
export const planningParts = {
  /** After the canaries' spread over hardware and regions; random when left out. */
  order: Type.Optional(Type.Enum(ORDERS)),
  /** Tags by which devices are ordered: `criticality` (a number or low to critical) and `site`. */
  criticalityTag: Type.Optional(Tag),
  siteTag: Type.Optional(Tag),
  disruption: Type.Optional(DisruptionPolicy),
  window: Type.Optional(WindowPolicy),
  /** Devices of the rollout that are being updated at once. */
  maxConcurrent: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
  /** How much of the line the rollout's devices take together. */
  downloads: Type.Optional(
    Type.Object(
      {
        concurrent: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000 })),
        bytesPerSecond: Type.Optional(Type.Integer({ minimum: 1_024, maximum: 1_000_000_000_000 })),
      },
      strict,
    ),
  ),
  /** A rollout that begins takes over devices that one of less priority has not begun. */
  priority: Type.Optional(Type.Integer({ minimum: -1_000, maximum: 1_000 })),
  /** Versions through which devices go that are too old for the release. */
  steppingStones: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { maxItems: 10, uniqueItems: true }),
  ),
  /** Nothing begins before this time. */
  startAt: Type.Optional(Type.String({ format: "date-time" })),
  /** Devices that come to match later join. */
  dynamic: Type.Optional(Type.Boolean()),
  retry: Type.Optional(RetryPolicy),
  penalty: Type.Optional(PenaltyPolicy),
};

export const comparisonParts = {
  metrics: Type.Optional(Type.Array(MetricPolicy, { maxItems: 10 })),
};

export type WindowPolicy = Static<typeof WindowPolicy>;
export type DisruptionPolicy = Static<typeof DisruptionPolicy>;
export type RetryPolicy = Static<typeof RetryPolicy>;
export type MetricPolicy = Static<typeof MetricPolicy>;
