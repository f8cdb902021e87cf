import { Type } from "typebox";
import type { Tenancy } from "../../tenancy/index.ts";
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

export function auditRoutes(api: Api, { tenancy }: AuditRouteDeps): void {
  api.get(
    "/tenants/:tenant/audit",
    {
      config: { access: "audit.read" },
      schema: {
        operationId: "listAudit",
        tags,
        params: TenantParams,
        querystring: strict({
          ...PageQuery,
          action: Filter,
          actor: Filter,
          target: Filter,
          outcome: Type.Optional(Type.Enum(["done", "refused"] as const)),
        }),
        response: answers(200, AuditPage),
      },
    },
    async (request) => {
      const { cursor, limit, action, actor, target, outcome } = request.query;
      const page = await tenancy.audit.list(tenantOf(request), {
        cursor: decodeCursor("audit", cursor),
        ...(limit ? { limit } : {}),
        filters: { action, actorId: actor, targetId: target, outcome },
      });
      return wrapPage("audit", page);
    },
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
