import { type Static, Type } from "typebox";
import { LIMITS } from "../kernel/index.ts";

export const METRIC_TYPES = ["number", "integer", "boolean", "string", "position"] as const;
export type MetricType = (typeof METRIC_TYPES)[number];

const METRIC_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.:/-]*$/;

export function isMetricName(name: string): boolean {
  return name.length <= LIMITS.metricNameLength && METRIC_NAME.test(name);
}

/** What a product's devices measure under a name. */
export const MetricDeclaration = Type.Object({
  name: Type.String({ pattern: METRIC_NAME.source, maxLength: LIMITS.metricNameLength }),
  type: Type.Enum(METRIC_TYPES),
  unit: Type.Optional(Type.String({ maxLength: 32 })),
  description: Type.Optional(Type.String({ maxLength: 500 })),
  minimum: Type.Optional(Type.Number()),
  maximum: Type.Optional(Type.Number()),
  decimals: Type.Optional(Type.Integer({ minimum: 0, maximum: 9 })),
});
export type MetricDeclaration = Static<typeof MetricDeclaration>;

/** A column of wide rows, and from which device time on it is used. */
export interface MetricSlot {
  slot: number;
  name: string;
  decimals: number;
  from: number;
}

/** All that is declared of one product. */
export interface DeclaredProduct {
  product: string;
  metrics: readonly MetricDeclaration[];
  /** In the order of their numbers, without gaps. */
  slots: readonly MetricSlot[];
}

/** What the platform says on `errors` of values that it did not store, and of messages that it cannot read. */
export const ErrorReport = Type.Object({
  topic: Type.String({ description: "On which it came, below the device's own prefix" }),
  accepted: Type.Integer({ minimum: 0, description: "Values of the message that are stored" }),
  rejectedCount: Type.Integer({
    minimum: 0,
    description: "Values that are not, those included of which no report was made since the last",
  }),
  /** The first of them: `sample` counts from 0, `ts` is the device's own, null where it gave none. */
  rejected: Type.Array(
    Type.Object({
      metric: Type.String(),
      ts: Type.Union([Type.Number(), Type.Null()]),
      reason: Type.String(),
      sample: Type.Integer({ minimum: 0 }),
    }),
  ),
  error: Type.Optional(
    Type.Object(
      { code: Type.String(), message: Type.String() },
      { description: "Why nothing of the message could be read" },
    ),
  ),
});
export type ErrorReport = Static<typeof ErrorReport>;
