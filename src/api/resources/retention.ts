import { AppError } from "../../kernel/index.ts";
import { keptDaysFault } from "../../protocol/index.ts";
import type { TelemetryQueries } from "../../telemetry-queries/index.ts";
import type { Tenancy } from "../../tenancy/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { answerWithEtag, assertIfMatch, etagOf } from "../etag.ts";
import { answers, TenantParams } from "../schemas/common.ts";
import {
  RetentionBody,
  RetentionEstimateBody,
  RetentionEstimateView,
  RetentionView,
  TelemetryUsageView,
} from "../schemas/retention.ts";
import type { Api } from "../types.ts";

export interface RetentionRouteDeps {
  tenancy: Pick<Tenancy, "retention" | "tenants">;
  telemetryQueries: Pick<TelemetryQueries, "storage">;
}

const tags = ["telemetry"];
const RETENTION = "/tenants/:tenant/telemetry/retention";

/** How long telemetry is kept, and what it takes. */
export function retentionRoutes(api: Api, { tenancy, telemetryQueries }: RetentionRouteDeps): void {
  api.get(
    RETENTION,
    {
      config: { access: "telemetry.read" },
      schema: {
        operationId: "getTelemetryRetention",
        tags,
        summary: "How long points and rollups are kept; `all` is of the tenant's settings",
        params: TenantParams,
        response: answers(200, RetentionView),
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request);
      const { all } = await tenancy.retention.policy(tenantId);
      const rules = await tenancy.retention.rules(tenantId);
      return answerWithEtag(request, reply, rules, { all, rules });
    },
  );

  api.put(
    RETENTION,
    {
      config: { access: "tenancy.manage", action: "telemetry-retention.change" },
      schema: {
        operationId: "setTelemetryRetention",
        tags,
        summary: "Replaces the rules; the first whose pattern fits a metric counts",
        params: TenantParams,
        body: RetentionBody,
        response: answers(200, RetentionView),
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request);
      const rules = await tenancy.retention.change(
        tenantId,
        (before) => {
          assertIfMatch(request, before);
          return request.body.rules;
        },
        actorOf(request),
      );
      const { all } = await tenancy.retention.policy(tenantId);
      return reply.header("etag", etagOf(rules)).send({ all, rules });
    },
  );

  api.post(
    `${RETENTION}/estimate`,
    {
      config: { access: "telemetry.read", readsOnly: true },
      schema: {
        operationId: "estimateTelemetryRetention",
        tags,
        summary: "What another retention would remove; what is left out stays as it is",
        params: TenantParams,
        body: RetentionEstimateBody,
        response: answers(200, RetentionEstimateView),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { all, rules } = await tenancy.retention.policy(tenantId);
      const asked = { all: request.body.all ?? all, rules: request.body.rules ?? rules };
      for (const kept of [asked.all, ...asked.rules]) {
        const fault = keptDaysFault(kept);
        if (fault) throw new AppError("invalid-request", fault);
      }
      return telemetryQueries.storage.estimate(tenantId, asked);
    },
  );

  api.get(
    "/tenants/:tenant/telemetry/usage",
    {
      config: { access: "telemetry.read" },
      schema: {
        operationId: "getTelemetryUsage",
        tags,
        summary: "Bytes of a tenant's telemetry by table, by metric and by point; up to 30 s old",
        params: TenantParams,
        response: answers(200, TelemetryUsageView),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { storageClass } = await tenancy.tenants.get(tenantId);
      return { storageClass, ...(await telemetryQueries.storage.usage(tenantId)) };
    },
  );
}
