import { Type } from "typebox";
import { MAX_KEPT_DAYS, MAX_RETENTION_RULES } from "../../protocol/index.ts";
import { nullable, strict, view } from "./common.ts";

const Days = Type.Integer({ minimum: 1, maximum: MAX_KEPT_DAYS });
const keptFields = {
  points: Type.Integer({ ...{ minimum: 1, maximum: MAX_KEPT_DAYS }, description: "Days" }),
  minutes: Days,
  hours: Days,
  days: Days,
};
const KeptDays = view("KeptDays", keptFields);
const Pattern = Type.String({
  ...{ minLength: 1, maxLength: 128 },
  description: "A metric's name, in which * stands for any text",
});

export const RetentionRuleView = view("RetentionRule", { pattern: Pattern, ...keptFields });
export const RetentionView = view("TelemetryRetention", {
  all: KeptDays,
  rules: Type.Array(RetentionRuleView, {
    description: "The first whose pattern fits a metric counts",
  }),
});

const Rule = strict({ pattern: Pattern, ...keptFields });
const Rules = Type.Array(Rule, { maxItems: MAX_RETENTION_RULES });
export const RetentionBody = strict({ rules: Rules });
export const RetentionEstimateBody = strict({
  all: Type.Optional(strict(keptFields)),
  rules: Type.Optional(Rules),
});

const Size = view("EstimatedSize", { rows: Type.Integer(), sizeBytes: Type.Integer() });
export const RetentionEstimateView = view("RetentionEstimate", {
  points: Size,
  rollups: Size,
  sizeBytes: Type.Integer(),
  share: Type.Number({ description: "Of what the telemetry takes now, 0 to 1" }),
});

export const TelemetryUsageView = view("TelemetryUsage", {
  at: Type.Number(),
  storageClass: Type.Enum(["shared", "separate"] as const),
  points: Type.Integer(),
  sizeBytes: Type.Integer({ description: "Of points and rollups" }),
  bytesPerPoint: nullable(Type.Number()),
  bytesPerPointWithRollups: nullable(Type.Number()),
  tables: Type.Array(
    view("TableUse", {
      table: Type.String(),
      rows: Type.Integer(),
      sizeBytes: Type.Integer(),
      rawBytes: Type.Integer({ description: "Before compression" }),
      bytesPerRow: Type.Number(),
      compression: Type.Number({ description: "How many bytes became one" }),
      isEstimate: Type.Boolean({
        description: "Where the files are shared: the tenant's part of the rows",
      }),
    }),
  ),
  metrics: Type.Array(
    view("MetricUse", {
      metric: Type.String(),
      unit: Type.String(),
      points: Type.Integer(),
      pointBytes: Type.Integer(),
      rollupBytes: Type.Integer(),
      rollups: view("RollupRows", {
        ...{ minutes: Type.Integer(), hours: Type.Integer(), days: Type.Integer() },
      }),
      kept: KeptDays,
    }),
  ),
  days: Type.Array(
    view("DayOfTelemetry", {
      day: Type.Number(),
      points: Type.Integer(),
      sizeBytes: Type.Integer(),
    }),
  ),
});
