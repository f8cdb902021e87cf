import { Type } from "typebox";
import { METRIC_TYPES } from "../../protocol/index.ts";
import { listOf, strict, TenantId, view } from "./common.ts";

export const ProductName = Type.String({ minLength: 1, maxLength: 64 });

const properties = {
  name: Type.String({ minLength: 1, maxLength: 128, pattern: "^[A-Za-z0-9_][A-Za-z0-9_.:/-]*$" }),
  type: Type.Enum(METRIC_TYPES),
  unit: Type.Optional(Type.String({ maxLength: 32, description: "Such as °C or km/h" })),
  description: Type.Optional(Type.String({ maxLength: 500 })),
  minimum: Type.Optional(Type.Number({ description: "Smaller values are refused" })),
  maximum: Type.Optional(Type.Number({ description: "Greater values are refused" })),
  decimals: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 9,
      description: "Digits behind the point: numbers that have no more take a third of the room",
    }),
  ),
};

export const ProductParams = strict({ tenant: TenantId, product: ProductName });

const DeclaredMetric = view("DeclaredMetric", properties);

export const ProductMetricsView = view("ProductMetrics", {
  product: Type.String(),
  items: Type.Array(DeclaredMetric),
});

export const DeclaredMetrics = listOf(
  "DeclaredMetrics",
  view("DeclaredMetricOfProduct", { product: Type.String(), ...properties }),
);

export const PatchMetricsBody = strict({
  items: Type.Optional(
    Type.Array(strict(properties), { maxItems: 500, description: "Added, or put in their place" }),
  ),
  remove: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { maxItems: 500 }),
  ),
});

export const DeclareMetricsBody = strict({
  items: Type.Array(strict(properties), { maxItems: 500 }),
});
