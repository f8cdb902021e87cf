import { Type } from "typebox";
import { FleetQueryText, listOf, Moment, nullable, page, view } from "./common.ts";

/** Which devices; all of them where nothing is given. */
export const DeviceFilterQuery = {
  q: Type.Optional(FleetQueryText),
  group: Type.Optional(Type.String({ maxLength: 64, description: "A saved group" })),
  devices: Type.Optional(
    Type.String({
      maxLength: 16_000,
      pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*(,[A-Za-z0-9][A-Za-z0-9._-]*)*$",
      description: "Ids with commas between them",
    }),
  ),
};

export const MetricName = Type.String({ minLength: 1, maxLength: 128 });

const AGGREGATE = "^(avg|min|max|sum|count|last|p(\\d{1,2}(\\.\\d{1,3})?|100))$";

export const SeriesQueryFields = {
  ...DeviceFilterQuery,
  metric: MetricName,
  from: Type.Optional(Moment),
  to: Type.Optional(Moment),
  step: Type.Optional(
    Type.String({ pattern: "^\\d{1,9}(ms|s|m|h|d)$", description: "Width of a bucket: 5m, 1h" }),
  ),
  points: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 4_000, description: "Buckets at most: a chart's pixels" }),
  ),
  aggregate: Type.Optional(
    Type.String({ pattern: AGGREGATE, description: "avg, min, max, sum, count, last, p95, p99.9" }),
  ),
  transform: Type.Optional(Type.Enum(["none", "increase", "rate", "delta"] as const)),
  across: Type.Optional(
    Type.String({
      pattern: AGGREGATE,
      description: "Takes the devices' own results together instead of all values alike",
    }),
  ),
  groupBy: Type.Optional(
    Type.String({
      pattern:
        "^(none|device|firmware|hardware|product|region|group|tags\\.[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})$",
      description: "none, device, firmware, hardware, product, region, group, tags.<name>",
    }),
  ),
  fill: Type.Optional(Type.Enum(["none", "null", "previous", "linear"] as const)),
  top: Type.Optional(
    Type.Integer({
      minimum: -100,
      maximum: 100,
      description: "Only the series that are greatest over all of the time; negative: smallest",
    }),
  ),
};

export const FleetSeriesView = view("FleetSeries", {
  metric: Type.String(),
  resolution: view("SeriesResolution", {
    source: Type.Enum(["raw", "1m", "1h", "1d"] as const),
    stepMs: Type.Integer(),
    from: Type.Number({ description: "Beginning of the first bucket" }),
    to: Type.Number(),
    approximate: Type.Boolean({
      description: "Percentiles and counters from rollups are not exact",
    }),
  }),
  unit: Type.String({ description: "Of the values; empty: none is declared, or products differ" }),
  description: Type.String(),
  devices: nullable(Type.Integer({ description: "Devices that were chosen; null: all" })),
  series: Type.Array(
    view("FleetSeriesLine", {
      key: nullable(Type.String({ description: "What the series is grouped by has this value" })),
      points: Type.Array(Type.Array(nullable(Type.Number()), { minItems: 2, maxItems: 2 }), {
        description: "Pairs of a bucket's beginning, in milliseconds since the epoch, and value",
      }),
    }),
  ),
});

export const FleetLatestPage = page(
  "FleetLatestPage",
  view("FleetLatest", {
    deviceId: Type.String(),
    metric: Type.String(),
    ts: Type.Number(),
    value: Type.Number(),
    unit: Type.String(),
  }),
);

export const FleetMetricList = listOf(
  "FleetMetricList",
  view("FleetMetric", {
    metric: Type.String(),
    devices: Type.Integer({ description: "About how many devices have spoken of it" }),
    lastTs: Type.Number(),
    unit: Type.String({ description: "As declared; empty: not, or products differ" }),
    description: Type.String(),
  }),
);

export const TelemetryTextPage = page(
  "TelemetryTextPage",
  view("TelemetryText", {
    deviceId: Type.String(),
    metric: Type.String(),
    ts: Type.Number({ description: "Milliseconds since the epoch" }),
    text: Type.String(),
    clockShiftMs: Type.Integer({
      description: "What was added to the device's own time, which was `ts - clockShiftMs`",
    }),
  }),
);
