import { type Static, Type } from "typebox";
import { AppError } from "../../kernel/index.ts";
import { type AuditCheckpoints, PLATFORM_CHAIN, type Tenancy } from "../../tenancy/index.ts";
import { tenantOf } from "../access.ts";
import { decodeCursor, wrapPage } from "../cursor.ts";
import { answers, Moment, PageQuery, strict, TenantParams } from "../schemas/common.ts";
import { AuditCheckpointPage, AuditPage, AuditVerification } from "../schemas/tenancy.ts";
import type { Api } from "../types.ts";
import { momentMs } from "../validation.ts";

export interface AuditRouteDeps {
  tenancy: { audit: Pick<Tenancy["audit"], "list"> };
  auditCheckpoints: Pick<AuditCheckpoints, "list" | "verify" | "key" | "replacedKeys">;
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

const CheckpointQuery = strict(PageQuery);

/** What was done and refused: a tenant's own log, and the platform's. */
export function auditRoutes(api: Api, { tenancy, auditCheckpoints }: AuditRouteDeps): void {
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
    return auditCheckpoints.verify(chain, checkpoint);
  };

  const checkpoints = async (chain: string, { cursor, limit }: Static<typeof CheckpointQuery>) => {
    const after = Number(decodeCursor("audit-checkpoints", cursor) ?? 0);
    if (!Number.isSafeInteger(after)) throw new AppError("invalid-cursor", "no page of this list");
    const page = await auditCheckpoints.list(chain, { after, limit: limit ?? 50 });
    const { key, replacedKeys } = auditCheckpoints;
    return { key, replacedKeys, ...wrapPage("audit-checkpoints", page) };
  };

  api.get(
    "/audit",
    {
      config: { access: "platform-administrator", sensitiveRead: "audit.read" },
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
      config: { access: "audit.read", sensitiveRead: "audit.read" },
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

  api.get(
    "/audit/checkpoints",
    {
      config: { access: "platform-administrator" },
      schema: {
        operationId: "listPlatformAuditCheckpoints",
        tags,
        summary: "Signed ends of the platform's chain, oldest first",
        querystring: CheckpointQuery,
        response: answers(200, AuditCheckpointPage),
      },
    },
    async (request) => checkpoints(PLATFORM_CHAIN, request.query),
  );

  api.get(
    "/tenants/:tenant/audit/checkpoints",
    {
      config: { access: "audit.read" },
      schema: {
        operationId: "listAuditCheckpoints",
        tags,
        summary: "Signed ends of the chain, oldest first: to be kept elsewhere",
        params: TenantParams,
        querystring: CheckpointQuery,
        response: answers(200, AuditCheckpointPage),
      },
    },
    async (request) => checkpoints(tenantOf(request), request.query),
  );
}
