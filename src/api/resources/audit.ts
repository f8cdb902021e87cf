import { type Static, Type } from "typebox";
import { PLATFORM_CHAIN, type Tenancy } from "../../tenancy/index.ts";
import { tenantOf } from "../access.ts";
import { decodeCursor, wrapPage } from "../cursor.ts";
import { answers, PageQuery, strict, TenantParams } from "../schemas/common.ts";
import { AuditPage, AuditVerification } from "../schemas/tenancy.ts";
import type { Api } from "../types.ts";

export interface AuditRouteDeps {
  tenancy: { audit: Pick<Tenancy["audit"], "list" | "verify"> };
}

const tags = ["audit"];
const Filter = Type.Optional(Type.String({ minLength: 1, maxLength: 128 }));

const AuditQuery = strict({
  ...PageQuery,
  action: Filter,
  actor: Filter,
  target: Filter,
  outcome: Type.Optional(Type.Enum(["done", "refused"] as const)),
});

/** What was done and refused: a tenant's own log, and the platform's. */
export function auditRoutes(api: Api, { tenancy }: AuditRouteDeps): void {
  const list = async (chain: string, query: Static<typeof AuditQuery>) => {
    const { cursor, limit, action, actor, target, outcome } = query;
    const page = await tenancy.audit.list(chain, {
      cursor: decodeCursor("audit", cursor),
      ...(limit ? { limit } : {}),
      filters: { action, actorId: actor, targetId: target, outcome },
    });
    return wrapPage("audit", page);
  };

  api.get(
    "/audit",
    {
      config: { access: "platform-administrator" },
      schema: {
        operationId: "listPlatformAudit",
        tags,
        summary: "What concerns no single tenant, and attempts on tenants by others",
        querystring: AuditQuery,
        response: answers(200, AuditPage),
      },
    },
    async (request) => list(PLATFORM_CHAIN, request.query),
  );

  api.get(
    "/audit/verify",
    {
      config: { access: "platform-administrator" },
      schema: {
        operationId: "verifyPlatformAudit",
        tags,
        response: answers(200, AuditVerification),
      },
    },
    async () => tenancy.audit.verify(PLATFORM_CHAIN),
  );

  api.get(
    "/tenants/:tenant/audit",
    {
      config: { access: "audit.read" },
      schema: {
        operationId: "listAudit",
        tags,
        params: TenantParams,
        querystring: AuditQuery,
        response: answers(200, AuditPage),
      },
    },
    async (request) => list(tenantOf(request), request.query),
  );

  api.get(
    "/tenants/:tenant/audit/verify",
    {
      config: { access: "audit.read" },
      schema: {
        operationId: "verifyAudit",
        tags,
        params: TenantParams,
        response: answers(200, AuditVerification),
      },
    },
    async (request) => tenancy.audit.verify(tenantOf(request)),
  );
}
