import { Type } from "typebox";
import type { MetricRule } from "../../health/index.ts";
import type { Actor } from "../../tenancy/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { answers, listOf, strict, TenantId, TenantParams, Uuid, view } from "../schemas/common.ts";
import type { Api } from "../types.ts";

export interface AnomalyDeps {
  metricRules: {
    list(tenantId: string): Promise<MetricRule[]>;
    set(tenantId: string, rule: { metric: string; enabled: boolean }, actor: Actor): Promise<void>;
    feedback(tenantId: string, alertId: string, useful: boolean, actor: Actor): Promise<MetricRule>;
  };
}

const tags = ["alerts"];
const Metric = Type.String({
  minLength: 1,
  maxLength: 128,
  pattern: "^[^\\u0000-\\u001f\\u007f]+$",
  description: "A metric's name; * stands for all without a rule of their own",
});
const MetricRuleView = view("MetricRule", {
  metric: Type.String(),
  enabled: Type.Boolean(),
  threshold: Type.Number({ description: "A score from here on is an alert; moved by feedback" }),
  useful: Type.Integer(),
  notUseful: Type.Integer(),
});
const MetricRuleList = listOf("MetricRuleList", MetricRuleView);

/** Which metrics the detectors follow, and whether their alerts were of use. */
export function anomalyRoutes(api: Api, { metricRules }: AnomalyDeps): void {
  api.get(
    "/tenants/:tenant/anomaly-metrics",
    {
      config: { access: "telemetry.read" },
      schema: {
        operationId: "listAnomalyMetrics",
        tags,
        params: TenantParams,
        response: answers(200, MetricRuleList),
      },
    },
    async (request) => ({ items: await metricRules.list(tenantOf(request)) }),
  );

  api.put(
    "/tenants/:tenant/anomaly-metrics",
    {
      config: { access: "devices.write", action: "anomaly.set" },
      schema: {
        operationId: "setAnomalyMetric",
        tags,
        params: TenantParams,
        body: strict({ metric: Metric, enabled: Type.Boolean() }),
        response: answers(200, MetricRuleList),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      request.auditTargetId = request.body.metric;
      await metricRules.set(tenantId, request.body, actorOf(request));
      return { items: await metricRules.list(tenantId) };
    },
  );

  api.put(
    "/tenants/:tenant/alerts/:alert/feedback",
    {
      config: { access: "alerts.acknowledge", action: "anomaly.feedback" },
      schema: {
        operationId: "giveAlertFeedback",
        tags,
        params: strict({ tenant: TenantId, alert: Uuid }),
        body: strict({ useful: Type.Boolean() }),
        response: answers(200, MetricRuleView),
      },
    },
    async (request) => {
      const { alert } = request.params;
      request.auditTargetId = alert;
      return metricRules.feedback(tenantOf(request), alert, request.body.useful, actorOf(request));
    },
  );
}
