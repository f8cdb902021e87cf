import { Type } from "typebox";
import type { AlertListOptions, Alerts } from "../../alerts/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { decodeCursor, wrapPage } from "../cursor.ts";
import { AlertHistory, SilenceBody, SilenceList, SilenceView } from "../schemas/alerting.ts";
import { answers, PageQuery, strict, TenantId, TenantParams, Uuid } from "../schemas/common.ts";
import { AlertPage, AlertState, AlertView } from "../schemas/observing.ts";
import type { Api } from "../types.ts";
import { dateOf } from "../validation.ts";

export interface AlertsDeps {
  alerts: Pick<Alerts, "list" | "get" | "history" | "acknowledge" | "resolveByHand" | "silences">;
}

const tags = ["alerts"];
const AlertParams = strict({ tenant: TenantId, alert: Uuid });
const SilenceParams = strict({ tenant: TenantId, silence: Uuid });

export function alertRoutes(api: Api, deps: AlertsDeps): void {
  readingRoutes(api, deps);
  actingRoutes(api, deps);
  silenceRoutes(api, deps);
}

function readingRoutes(api: Api, { alerts }: AlertsDeps): void {
  api.get(
    "/tenants/:tenant/alerts",
    {
      config: { access: "alerts.read" },
      schema: {
        operationId: "listAlerts",
        tags,
        params: TenantParams,
        querystring: strict({
          ...PageQuery,
          state: Type.Optional(
            Type.Union([AlertState, Type.Literal("active")], {
              description: "`active` is what is open or acknowledged",
            }),
          ),
          severity: Type.Optional(Type.Enum(["info", "warning", "critical"] as const)),
          kind: Type.Optional(Type.String({ maxLength: 64 })),
          subject: Type.Optional(
            Type.String({ maxLength: 128, description: "A device's id, say" }),
          ),
          rule: Type.Optional(Uuid),
        }),
        response: answers(200, AlertPage),
      },
    },
    async (request) => {
      const { state, severity, kind, subject: subjectId, rule: ruleId } = request.query;
      const { limit, cursor } = request.query;
      const options: AlertListOptions = {
        ...{ state, severity, kind, subjectId, ruleId, limit },
        cursor: decodeCursor("alerts", cursor),
      };
      return wrapPage("alerts", await alerts.list(tenantOf(request), options));
    },
  );

  api.get(
    "/tenants/:tenant/alerts/:alert",
    {
      config: { access: "alerts.read" },
      schema: {
        operationId: "getAlert",
        tags,
        params: AlertParams,
        response: answers(200, AlertView),
      },
    },
    async (request) => alerts.get(tenantOf(request), request.params.alert),
  );

  api.get(
    "/tenants/:tenant/alerts/:alert/history",
    {
      config: { access: "alerts.read" },
      schema: {
        operationId: "getAlertHistory",
        description: "What happened to it, oldest first: opened, told, acknowledged, resolved",
        tags,
        params: AlertParams,
        response: answers(200, AlertHistory),
      },
    },
    async (request) => ({
      items: await alerts.history(tenantOf(request), request.params.alert),
    }),
  );
}

function actingRoutes(api: Api, { alerts }: AlertsDeps): void {
  api.post(
    "/tenants/:tenant/alerts/:alert/acknowledge",
    {
      config: { access: "alerts.acknowledge", action: "alert.acknowledge", recordsDone: true },
      schema: {
        operationId: "acknowledgeAlert",
        tags,
        params: AlertParams,
        response: answers(200, AlertView),
      },
    },
    async (request) =>
      alerts.acknowledge(tenantOf(request), request.params.alert, actorOf(request)),
  );

  api.post(
    "/tenants/:tenant/alerts/:alert/resolve",
    {
      config: { access: "alerts.acknowledge", action: "alert.resolve", recordsDone: true },
      schema: {
        operationId: "resolveAlert",
        description:
          "Ends it by hand. A rule whose condition holds stays silent until that has ended once",
        tags,
        params: AlertParams,
        response: answers(200, AlertView),
      },
    },
    async (request) =>
      alerts.resolveByHand(tenantOf(request), request.params.alert, actorOf(request)),
  );
}

function silenceRoutes(api: Api, { alerts }: AlertsDeps): void {
  api.get(
    "/tenants/:tenant/alert-silences",
    {
      config: { access: "alerts.read" },
      schema: {
        operationId: "listAlertSilences",
        tags,
        params: TenantParams,
        querystring: strict({
          expired: Type.Optional(
            Type.Boolean({ description: "Also those that ended within the last month" }),
          ),
        }),
        response: answers(200, SilenceList),
      },
    },
    async (request) => ({
      items: await alerts.silences.list(tenantOf(request), { expired: request.query.expired }),
    }),
  );

  api.post(
    "/tenants/:tenant/alert-silences",
    {
      config: { access: "alerts.acknowledge", action: "alert-silence.create", recordsDone: true },
      schema: {
        operationId: "createAlertSilence",
        tags,
        params: TenantParams,
        body: SilenceBody,
        response: answers(201, SilenceView),
      },
    },
    async (request, reply) => {
      const { matchers, startsAt, endsAt, comment } = request.body;
      const silence = {
        ...{ matchers, comment, endsAt: dateOf(endsAt) },
        ...(startsAt === undefined ? {} : { startsAt: dateOf(startsAt) }),
      };
      const made = await alerts.silences.create(tenantOf(request), silence, actorOf(request));
      request.auditTargetId = made.id;
      return reply.code(201).send(made);
    },
  );

  api.get(
    "/tenants/:tenant/alert-silences/:silence",
    {
      config: { access: "alerts.read" },
      schema: {
        operationId: "getAlertSilence",
        tags,
        params: SilenceParams,
        response: answers(200, SilenceView),
      },
    },
    async (request) => alerts.silences.get(tenantOf(request), request.params.silence),
  );

  api.post(
    "/tenants/:tenant/alert-silences/:silence/expire",
    {
      config: { access: "alerts.acknowledge", action: "alert-silence.expire", recordsDone: true },
      schema: {
        operationId: "expireAlertSilence",
        description: "Ends it now: what it hid is told at once",
        tags,
        params: SilenceParams,
        response: answers(200, SilenceView),
      },
    },
    async (request) =>
      alerts.silences.expire(tenantOf(request), request.params.silence, actorOf(request)),
  );
}
