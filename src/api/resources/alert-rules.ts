import { AlertRuleSpec, type AlertRules, type RuleView } from "../../alert-rules/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { answerWithEtag, assertIfMatch, etagOf } from "../etag.ts";
import { AlertRuleList, AlertRulePreview, AlertRuleView } from "../schemas/alerting.ts";
import { answers, NoContent, strict, TenantId, TenantParams, Uuid } from "../schemas/common.ts";
import type { Api } from "../types.ts";

export interface AlertRuleDeps {
  alertRules: Omit<AlertRules, "evaluateDue">;
}

const tags = ["alerts"];
const RuleParams = strict({ tenant: TenantId, rule: Uuid });
const RULES = "/tenants/:tenant/alert-rules";
const RULE = `${RULES}/:rule` as const;

/** What a change can change. */
const editable = ({ spec }: RuleView) => ({ spec });

export function alertRuleRoutes(api: Api, deps: AlertRuleDeps): void {
  readingRoutes(api, deps);
  writingRoutes(api, deps);
}

function readingRoutes(api: Api, { alertRules }: AlertRuleDeps): void {
  api.get(
    RULES,
    {
      config: { access: "alerts.read" },
      schema: {
        operationId: "listAlertRules",
        tags,
        params: TenantParams,
        response: answers(200, AlertRuleList),
      },
    },
    async (request) => ({ items: await alertRules.list(tenantOf(request)) }),
  );

  api.get(
    RULE,
    {
      config: { access: "alerts.read" },
      schema: {
        operationId: "getAlertRule",
        tags,
        params: RuleParams,
        response: answers(200, AlertRuleView),
      },
    },
    async (request, reply) => {
      const rule = await alertRules.get(tenantOf(request), request.params.rule);
      return answerWithEtag(request, reply, editable(rule), rule);
    },
  );

  api.post(
    `${RULES}/preview`,
    {
      config: { access: "alerts.read", readsOnly: true },
      schema: {
        operationId: "previewAlertRule",
        description: "What a rule would see now; nothing is raised and nothing is kept",
        tags,
        params: TenantParams,
        body: AlertRuleSpec,
        response: answers(200, AlertRulePreview),
      },
    },
    async (request) => alertRules.preview(tenantOf(request), request.body),
  );
}

function writingRoutes(api: Api, { alertRules }: AlertRuleDeps): void {
  api.post(
    RULES,
    {
      config: { access: "alerts.manage", action: "alert-rule.create", recordsDone: true },
      schema: {
        operationId: "createAlertRule",
        tags,
        params: TenantParams,
        body: AlertRuleSpec,
        response: answers(201, AlertRuleView),
      },
    },
    async (request, reply) => {
      const rule = await alertRules.create(tenantOf(request), request.body, actorOf(request));
      request.auditTargetId = rule.id;
      return reply
        .code(201)
        .header("etag", etagOf(editable(rule)))
        .send(rule);
    },
  );

  api.put(
    RULE,
    {
      config: { access: "alerts.manage", action: "alert-rule.update", recordsDone: true },
      schema: {
        operationId: "replaceAlertRule",
        tags,
        params: RuleParams,
        body: AlertRuleSpec,
        response: answers(200, AlertRuleView),
      },
    },
    async (request, reply) => {
      const rule = await alertRules.replace(
        tenantOf(request),
        request.params.rule,
        request.body,
        actorOf(request),
        (current) => assertIfMatch(request, editable(current)),
      );
      return reply.header("etag", etagOf(editable(rule))).send(rule);
    },
  );

  api.delete(
    RULE,
    {
      config: { access: "alerts.manage", action: "alert-rule.delete", recordsDone: true },
      schema: {
        operationId: "deleteAlertRule",
        description: "Its alerts are resolved with it",
        tags,
        params: RuleParams,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await alertRules.delete(tenantOf(request), request.params.rule);
      return reply.code(204).send();
    },
  );
}
