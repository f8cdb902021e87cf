import { Type } from "typebox";
import type { Actor } from "../../tenancy/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { decodeCursor, type ModulePage, wrapPage } from "../cursor.ts";
import { answers, PageQuery, strict, TenantId, TenantParams, Uuid } from "../schemas/common.ts";
import {
  PLAN_LISTS,
  PlanBody,
  PlanDevicePage,
  PlanView,
  ReasonBody,
  ReplayView,
  RollbackBody,
  RolloutBody,
  RolloutDevicePage,
  RolloutPage,
  RolloutView,
  VerdictPage,
} from "../schemas/rollouts.ts";
import type { Api } from "../types.ts";

interface Rollout {
  id: string;
  revision: number;
}

interface RolloutSpec {
  name: string;
  releaseId: string;
  query: string;
  policy: object;
}

type Action = (tenantId: string, id: string, actor: Actor, reason: string) => Promise<unknown>;

interface PageOptions {
  cursor?: string | undefined;
  limit?: number | undefined;
}

export interface RolloutsDeps {
  rollouts: {
    plan(tenantId: string, spec: RolloutSpec): Promise<object>;
    planDevices(
      tenantId: string,
      spec: RolloutSpec,
      options: PageOptions & { list: (typeof PLAN_LISTS)[number] },
    ): Promise<ModulePage<object>>;
    create(
      tenantId: string,
      spec: RolloutSpec,
      actor: Actor,
      traceparent: string,
    ): Promise<{ id: string }>;
    get(tenantId: string, id: string): Promise<Rollout>;
    list(
      tenantId: string,
      options: PageOptions & { state?: string | undefined },
    ): Promise<ModulePage<object>>;
    devices(
      tenantId: string,
      id: string,
      options: PageOptions & { state?: string | undefined; stage?: number | undefined },
    ): Promise<ModulePage<object>>;
    verdicts(tenantId: string, id: string, options: PageOptions): Promise<ModulePage<object>>;
    replay(tenantId: string, id: string, seq: number): Promise<object>;
    pause: Action;
    resume: Action;
    approve: Action;
    rollback(
      tenantId: string,
      id: string,
      actor: Actor,
      reason: string,
      stage?: number,
    ): Promise<void>;
    cancel: Action;
  };
}

const tags = ["rollouts"];
export const RolloutParams = strict({ tenant: TenantId, rollout: Uuid });

/** Staged rollouts, what the gate said of them, and a person's hand on them. */
export function rolloutRoutes(api: Api, deps: RolloutsDeps): void {
  creationRoutes(api, deps);
  readingRoutes(api, deps);
  // Pausing is safe, so more roles may do it than widen or send back.
  actionRoute(api, deps, "pause", "rollouts.pause");
  actionRoute(api, deps, "resume", "rollouts.control");
  actionRoute(api, deps, "approve", "rollouts.control");
  rollbackRoute(api, deps);
  actionRoute(api, deps, "cancel", "rollouts.control");
}

function creationRoutes(api: Api, { rollouts }: RolloutsDeps): void {
  api.post(
    "/tenants/:tenant/rollouts/plan",
    {
      config: { access: "rollouts.read", readsOnly: true },
      schema: {
        operationId: "planRollout",
        tags,
        summary: "Which devices a rollout would take, stage by stage; changes nothing",
        params: TenantParams,
        body: PlanBody,
        response: answers(200, PlanView),
      },
    },
    async (request) => {
      const { name = "plan", releaseId, query = "", policy = {} } = request.body;
      return rollouts.plan(tenantOf(request), { name, releaseId, query, policy });
    },
  );

  api.post(
    "/tenants/:tenant/rollouts/plan/devices",
    {
      config: { access: "rollouts.read", readsOnly: true },
      schema: {
        operationId: "listRolloutPlanDevices",
        tags,
        summary: "Every device of a plan: those that take part in their order, or those left out",
        params: TenantParams,
        body: PlanBody,
        querystring: strict({
          ...PageQuery,
          list: Type.Optional(Type.Enum(PLAN_LISTS)),
        }),
        response: answers(200, PlanDevicePage),
      },
    },
    async (request) => {
      const { name = "plan", releaseId, query = "", policy = {} } = request.body;
      const { cursor, limit, list = "devices" } = request.query;
      const options = { list, limit, cursor: decodeCursor("plan-devices", cursor) };
      const spec = { name, releaseId, query, policy };
      return wrapPage("plan-devices", await rollouts.planDevices(tenantOf(request), spec, options));
    },
  );

  api.post(
    "/tenants/:tenant/rollouts",
    {
      config: { access: "rollouts.control", action: "rollout.create" },
      schema: {
        operationId: "createRollout",
        tags,
        params: TenantParams,
        body: RolloutBody,
        response: answers(201, RolloutView),
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request);
      const { name, releaseId, query = "", policy = {} } = request.body;
      const spec = { name, releaseId, query, policy };
      const actor = actorOf(request);
      const { id } = await rollouts.create(tenantId, spec, actor, request.traceparent);
      request.auditTargetId = id;
      return reply.code(201).send(await rollouts.get(tenantId, id));
    },
  );
}

function readingRoutes(api: Api, { rollouts }: RolloutsDeps): void {
  const access = "rollouts.read";
  api.get(
    "/tenants/:tenant/rollouts",
    {
      config: { access },
      schema: {
        operationId: "listRollouts",
        tags,
        params: TenantParams,
        querystring: strict({
          ...PageQuery,
          state: Type.Optional(Type.String({ pattern: "^[a-z-]{1,32}$" })),
        }),
        response: answers(200, RolloutPage),
      },
    },
    async (request) => {
      const { cursor, limit, state } = request.query;
      const options = { limit, state, cursor: decodeCursor("rollouts", cursor) };
      return wrapPage("rollouts", await rollouts.list(tenantOf(request), options));
    },
  );

  api.get(
    "/tenants/:tenant/rollouts/:rollout",
    {
      config: { access },
      schema: {
        operationId: "getRollout",
        tags,
        params: RolloutParams,
        response: answers(200, RolloutView),
      },
    },
    async (request, reply) => {
      const rollout = await rollouts.get(tenantOf(request), request.params.rollout);
      reply.header("etag", `"${rollout.revision}"`);
      return rollout;
    },
  );

  api.get(
    "/tenants/:tenant/rollouts/:rollout/devices",
    {
      config: { access },
      schema: {
        operationId: "listRolloutDevices",
        tags,
        params: RolloutParams,
        querystring: strict({
          ...PageQuery,
          state: Type.Optional(Type.String({ pattern: "^[a-z-]{1,32}$" })),
          stage: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
        }),
        response: answers(200, RolloutDevicePage),
      },
    },
    async (request) => {
      const { cursor, limit, state, stage } = request.query;
      const { rollout } = request.params;
      const options = { limit, state, stage, cursor: decodeCursor("rollout-devices", cursor) };
      return wrapPage(
        "rollout-devices",
        await rollouts.devices(tenantOf(request), rollout, options),
      );
    },
  );

  api.get(
    "/tenants/:tenant/rollouts/:rollout/verdicts/:seq/replay",
    {
      config: { access },
      schema: {
        operationId: "replayRolloutVerdict",
        tags,
        summary: "Has the gate judge again on what it saw then",
        params: strict({
          tenant: TenantId,
          rollout: Uuid,
          seq: Type.Integer({ minimum: 1, maximum: 1_000_000_000 }),
        }),
        response: answers(200, ReplayView),
      },
    },
    async (request) => {
      const { rollout, seq } = request.params;
      return rollouts.replay(tenantOf(request), rollout, seq);
    },
  );

  api.get(
    "/tenants/:tenant/rollouts/:rollout/verdicts",
    {
      config: { access },
      schema: {
        operationId: "listRolloutVerdicts",
        tags,
        params: RolloutParams,
        querystring: strict(PageQuery),
        response: answers(200, VerdictPage),
      },
    },
    async (request) => {
      const { cursor, limit } = request.query;
      const { rollout } = request.params;
      const options = { limit, cursor: decodeCursor("verdicts", cursor) };
      return wrapPage("verdicts", await rollouts.verdicts(tenantOf(request), rollout, options));
    },
  );
}

function actionRoute(
  api: Api,
  { rollouts }: RolloutsDeps,
  name: "pause" | "resume" | "approve" | "cancel",
  access: "rollouts.pause" | "rollouts.control",
): void {
  api.post(
    `/tenants/:tenant/rollouts/:rollout/${name}`,
    {
      config: { access, action: `rollout.${name}` },
      schema: {
        operationId: `${name}Rollout`,
        tags,
        params: RolloutParams,
        body: ReasonBody,
        response: answers(200, RolloutView),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { rollout } = request.params;
      await rollouts[name](tenantId, rollout, actorOf(request), request.body.reason ?? "");
      return rollouts.get(tenantId, rollout);
    },
  );
}

function rollbackRoute(api: Api, { rollouts }: RolloutsDeps): void {
  api.post(
    "/tenants/:tenant/rollouts/:rollout/rollback",
    {
      config: { access: "rollouts.control", action: "rollout.rollback" },
      schema: {
        operationId: "rollbackRollout",
        tags,
        summary: "Sends back all devices that have the image, or those from one stage on",
        params: RolloutParams,
        body: RollbackBody,
        response: answers(200, RolloutView),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { rollout } = request.params;
      const { reason = "", stage } = request.body;
      await rollouts.rollback(tenantId, rollout, actorOf(request), reason, stage);
      return rollouts.get(tenantId, rollout);
    },
  );
}
