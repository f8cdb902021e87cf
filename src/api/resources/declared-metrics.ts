import type { ProductMetrics } from "../../devices/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { answerWithEtag, assertIfMatch, etagOf } from "../etag.ts";
import { answers, TenantParams } from "../schemas/common.ts";
import {
  DeclaredMetrics,
  DeclareMetricsBody,
  PatchMetricsBody,
  ProductMetricsView,
  ProductParams,
} from "../schemas/metrics.ts";
import type { Api } from "../types.ts";

export interface DeclaredMetricsRouteDeps {
  devices: { metrics: Pick<ProductMetrics, "list" | "declare"> };
}

const tags = ["telemetry"];
const METRICS = "/tenants/:tenant/products/:product/metrics";

/** What products declare of their metrics: type, unit, range, decimals. */
export function declaredMetricRoutes(api: Api, { devices }: DeclaredMetricsRouteDeps): void {
  api.get(
    "/tenants/:tenant/declared-metrics",
    {
      config: { access: "telemetry.read" },
      schema: {
        operationId: "listDeclaredMetrics",
        description: "What all products declare of their metrics",
        tags,
        params: TenantParams,
        response: answers(200, DeclaredMetrics),
      },
    },
    async (request) => ({ items: await devices.metrics.list(tenantOf(request)) }),
  );

  api.get(
    METRICS,
    {
      config: { access: "telemetry.read" },
      schema: {
        operationId: "getProductMetrics",
        tags,
        params: ProductParams,
        response: answers(200, ProductMetricsView),
      },
    },
    async (request, reply) => {
      const { product } = request.params;
      const list = await devices.metrics.list(tenantOf(request), product);
      const items = list.map(({ product: _product, ...metric }) => metric);
      return answerWithEtag(request, reply, items, { product, items });
    },
  );

  api.put(
    METRICS,
    {
      config: { access: "devices.write", action: "metrics.declare" },
      schema: {
        operationId: "declareProductMetrics",
        description: "Replaces all that is declared of the product's metrics",
        tags,
        params: ProductParams,
        body: DeclareMetricsBody,
        response: answers(200, ProductMetricsView),
      },
    },
    async (request, reply) => {
      const { product } = request.params;
      const items = await devices.metrics.declare(
        tenantOf(request),
        product,
        (before) => {
          assertIfMatch(request, before);
          return request.body.items;
        },
        actorOf(request),
      );
      return reply.header("etag", etagOf(items)).send({ product, items });
    },
  );

  api.patch(
    METRICS,
    {
      config: { access: "devices.write", action: "metrics.declare" },
      schema: {
        operationId: "patchProductMetrics",
        description: "Adds, replaces and removes single metrics of what is declared",
        tags,
        params: ProductParams,
        body: PatchMetricsBody,
        response: answers(200, ProductMetricsView),
      },
    },
    async (request, reply) => {
      const { product } = request.params;
      const { items: changed = [], remove = [] } = request.body;
      const gone = new Set([...remove, ...changed.map(({ name }) => name)]);
      const items = await devices.metrics.declare(
        tenantOf(request),
        product,
        (before) => {
          assertIfMatch(request, before);
          return [...before.filter(({ name }) => !gone.has(name)), ...changed];
        },
        actorOf(request),
      );
      return reply.header("etag", etagOf(items)).send({ product, items });
    },
  );
}
