import {
  authorizePlatform,
  QUOTAS,
  TENANT_QUOTAS,
  type Tenancy,
  tenantsOf,
  WARN_AT,
} from "../../tenancy/index.ts";
import { actorOf, principalOf, tenantOf } from "../access.ts";
import { answerWithEtag, assertIfMatch, etagOf } from "../etag.ts";
import { answers, NoContent, TenantParams } from "../schemas/common.ts";
import {
  CreateTenantBody,
  TenantList,
  TenantView,
  UpdateTenantBody,
  UsageView,
} from "../schemas/tenancy.ts";
import type { Api } from "../types.ts";

export interface TenantDeps {
  tenancy: Pick<Tenancy, "tenants" | "usage">;
}

const tags = ["tenants"];

export function tenantRoutes(api: Api, { tenancy }: TenantDeps): void {
  api.get(
    "/tenants",
    {
      config: { access: "signed-in" },
      schema: { operationId: "listTenants", tags, response: answers(200, TenantList) },
    },
    async (request) => {
      const principal = principalOf(request);
      const mine = tenantsOf(principal);
      const all = await tenancy.tenants.list();
      return { items: all.filter(({ id }) => principal.platformRole || mine.includes(id)) };
    },
  );

  api.post(
    "/tenants",
    {
      config: {
        access: "platform-administrator",
        action: "tenant.create",
      },
      schema: {
        operationId: "createTenant",
        tags,
        body: CreateTenantBody,
        response: answers(201, TenantView),
      },
    },
    async (request, reply) => {
      request.auditTargetId = request.body.id;
      const tenant = await tenancy.tenants.create(request.body, actorOf(request));
      return reply.code(201).header("etag", etagOf(tenant.settings)).send(tenant);
    },
  );

  api.get(
    "/tenants/:tenant",
    {
      config: { access: "tenant.read" },
      schema: {
        operationId: "getTenant",
        tags,
        params: TenantParams,
        response: answers(200, TenantView),
      },
    },
    async (request, reply) => {
      const tenant = await tenancy.tenants.get(tenantOf(request));
      return answerWithEtag(request, reply, tenant.settings, tenant);
    },
  );

  api.get(
    "/tenants/:tenant/usage",
    {
      config: { access: "tenant.read" },
      schema: {
        operationId: "getUsage",
        tags,
        summary: "What is used of each quota today (UTC), and what happens at its limit",
        params: TenantParams,
        response: answers(200, UsageView),
      },
    },
    async (request) => {
      const uses = await tenancy.usage.today(tenantOf(request));
      return {
        warnAt: WARN_AT,
        items: uses.map((use) => ({ ...use, ...QUOTAS[use.quota] })),
      };
    },
  );

  api.patch(
    "/tenants/:tenant",
    {
      config: {
        access: "tenancy.manage",
        action: "tenant.update-settings",
      },
      schema: {
        operationId: "updateTenant",
        tags,
        params: TenantParams,
        body: UpdateTenantBody,
        response: answers(200, TenantView),
      },
    },
    async (request, reply) => {
      const { settings } = request.body;
      if (TENANT_QUOTAS.some((name) => Object.hasOwn(settings, name))) {
        authorizePlatform(principalOf(request));
      }
      const tenant = await tenancy.tenants.updateSettings(
        tenantOf(request),
        settings,
        actorOf(request),
        (before) => assertIfMatch(request, before.settings),
      );
      return reply.header("etag", etagOf(tenant.settings)).send(tenant);
    },
  );

  api.delete(
    "/tenants/:tenant",
    {
      config: {
        access: "platform-administrator",
        action: "tenant.delete",
      },
      schema: {
        operationId: "deleteTenant",
        tags,
        params: TenantParams,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await tenancy.tenants.delete(request.params.tenant, actorOf(request));
      return reply.code(204).send();
    },
  );
}
