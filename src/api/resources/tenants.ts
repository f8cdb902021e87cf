import { Readable } from "node:stream";
import { Type } from "typebox";
import { AppError } from "../../kernel/index.ts";
import {
  authorizePlatform,
  QUOTAS,
  TENANT_QUOTAS,
  type Tenancy,
  tenantsOf,
  WARN_AT,
} from "../../tenancy/index.ts";
import type { TenantData } from "../../tenant-data/index.ts";
import { actorOf, principalOf, tenantOf } from "../access.ts";
import { answerWithEtag, assertIfMatch, etagOf } from "../etag.ts";
import { answers, NoContent, strict, TenantId, TenantParams } from "../schemas/common.ts";
import {
  CreateTenantBody,
  DeletionReceiptView,
  DeletionView,
  MoveStorageBody,
  TenantList,
  TenantView,
  UpdateTenantBody,
  UsageView,
} from "../schemas/tenancy.ts";
import type { Api } from "../types.ts";

export interface TenantDeps {
  tenancy: Pick<Tenancy, "tenants" | "usage">;
  tenantData: Pick<TenantData, "export" | "schedule" | "restore" | "receipt">;
}

const tags = ["tenants"];

async function useOf({ usage }: TenantDeps["tenancy"], tenantId: string) {
  const uses = await usage.today(tenantId);
  return { warnAt: WARN_AT, items: uses.map((use) => ({ ...use, ...QUOTAS[use.quota] })) };
}

export function tenantRoutes(api: Api, { tenancy, tenantData }: TenantDeps): void {
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
    (request) => useOf(tenancy, tenantOf(request)),
  );

  api.get(
    "/tenants/:tenant/figures",
    {
      config: { access: "platform-operator" },
      schema: {
        operationId: "getTenantFigures",
        tags,
        summary:
          "The same for the platform's operators: how much there is, and nothing of what it is",
        params: TenantParams,
        response: answers(200, UsageView),
      },
    },
    (request) => useOf(tenancy, request.params.tenant),
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

  api.put(
    "/tenants/:tenant/storage",
    {
      config: { access: "platform-administrator", action: "tenant.move-storage" },
      schema: {
        operationId: "moveTenantStorage",
        tags,
        summary:
          "Moves the tenant's series and artifacts into partitions and a folder of its own, or back; until they are there it is suspended",
        params: TenantParams,
        body: MoveStorageBody,
        response: answers(202, TenantView),
      },
    },
    async (request, reply) => {
      const { storageClass } = request.body;
      const { tenant } = request.params;
      const moving = await tenancy.tenants.beginMove(tenant, storageClass, actorOf(request));
      return reply.code(202).send(moving);
    },
  );

  endRoutes(api, { tenancy, tenantData });
}

/** What is taken out of a tenant, and its end. */
function endRoutes(
  api: Api,
  { tenancy, tenantData }: Pick<TenantDeps, "tenancy" | "tenantData">,
): void {
  api.get(
    "/tenants/:tenant/export",
    {
      config: { access: "tenancy.manage", sensitiveRead: "tenant-export.read" },
      schema: {
        operationId: "exportTenant",
        tags,
        summary: "All that the tenant owns as a tar archive, without secrets; see manifest.json",
        produces: ["application/x-tar"],
        params: TenantParams,
        response: answers(200, Type.Unknown()),
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request);
      const { storageMove } = await tenancy.tenants.get(tenantId);
      if (storageMove) {
        const message = "what the tenant has is being moved: export it when that has ended";
        throw new AppError("conflict", message, { since: storageMove.since.toISOString() });
      }
      const name = `attachment; filename="${tenantId}.tar"`;
      return reply
        .type("application/x-tar")
        .header("content-disposition", name)
        .send(Readable.from(tenantData.export(tenantId), { objectMode: false }));
    },
  );

  api.delete(
    "/tenants/:tenant",
    {
      config: { access: "platform-administrator", action: "tenant.schedule-deletion" },
      schema: {
        operationId: "deleteTenant",
        tags,
        summary: "Suspends the tenant now and deletes everything of it when the grace is over",
        params: TenantParams,
        querystring: strict({
          confirm: Type.String({ maxLength: 63, description: "The tenant's id once more" }),
          graceHours: Type.Optional(
            Type.Integer({ minimum: 0, maximum: 8_760, default: DEFAULT_GRACE_HOURS }),
          ),
        }),
        response: answers(200, DeletionView),
      },
    },
    async (request) => {
      const { confirm, graceHours = DEFAULT_GRACE_HOURS } = request.query;
      const { tenant } = request.params;
      return tenantData.schedule(tenant, { confirm, graceHours }, actorOf(request));
    },
  );

  api.post(
    "/tenants/:tenant/restore",
    {
      config: { access: "platform-administrator", action: "tenant.restore" },
      schema: {
        operationId: "restoreTenant",
        tags,
        summary: "Undoes the deletion of a tenant while its grace lasts",
        params: TenantParams,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await tenantData.restore(request.params.tenant, actorOf(request));
      return reply.code(204).send();
    },
  );

  api.get(
    "/tenant-deletions/:deletedTenant",
    {
      config: { access: "platform-administrator" },
      schema: {
        operationId: "getDeletionReceipt",
        tags,
        summary: "The signed receipt of a tenant's deletion: what there was, and what is left",
        params: strict({ deletedTenant: TenantId }),
        response: answers(200, DeletionReceiptView),
      },
    },
    async (request) => tenantData.receipt(request.params.deletedTenant),
  );
}

const DEFAULT_GRACE_HOURS = 168;
