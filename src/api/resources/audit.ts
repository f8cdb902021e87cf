import { type Static, Type } from "typebox";
import { AppError } from "../../kernel/index.ts";
import { PLATFORM_CHAIN, type Tenancy } from "../../tenancy/index.ts";
import { tenantOf } from "../access.ts";
import { decodeCursor, wrapPage } from "../cursor.ts";
import { answers, Moment, PageQuery, strict, TenantParams } from "../schemas/common.ts";
import { AuditPage, AuditVerification } from "../schemas/tenancy.ts";
import type { Api } from "../types.ts";
import { momentMs } from "../validation.ts";

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
  from: Type.Optional(Moment),
  to: Type.Optional(Moment),
});

/** What was kept of an earlier verification: its last entry and that entry's hash. */
const VerifyQuery = strict({
  seq: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })),
  hash: Type.Optional(Type.String({ pattern: "^[0-9a-f]{64}$" })),
});

/** What was done and refused: a tenant's own log, and the platform's. */
export function auditRoutes(api: Api, { tenancy }: AuditRouteDeps): void {
  const list = async (chain: string, query: Static<typeof AuditQuery>) => {
    const { cursor, limit, action, actor, target, outcome, from, to } = query;
    const page = await tenancy.audit.list(chain, {
      cursor: decodeCursor("audit", cursor),
      ...(limit ? { limit } : {}),
      filters: {
        ...{ action, actorId: actor, targetId: target, outcome },
        ...(from === undefined ? {} : { from: new Date(momentMs(from)) }),
        ...(to === undefined ? {} : { to: new Date(momentMs(to)) }),
      },
    });
    return wrapPage("audit", page);
  };

  const verify = (chain: string, { seq, hash }: Static<typeof VerifyQuery>) => {
    if ((seq === undefined) !== (hash === undefined)) {
      throw new AppError("invalid-request", "a checkpoint is an entry's number and its hash");
    }
    const checkpoint = seq === undefined || hash === undefined ? undefined : { seq, hash };
    return tenancy.audit.verify(chain, checkpoint);
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
        querystring: VerifyQuery,
        response: answers(200, AuditVerification),
      },
    },
    async (request) => verify(PLATFORM_CHAIN, request.query),
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
        querystring: VerifyQuery,
        response: answers(200, AuditVerification),
      },
    },
    async (request) => verify(tenantOf(request), request.query),
  );
}
