import type { AuditStreams } from "../../tenancy/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { answers, NoContent, strict, TenantId, TenantParams, Uuid } from "../schemas/common.ts";
import { AuditStreamList, CreateAuditStreamBody, CreatedAuditStream } from "../schemas/tenancy.ts";
import type { Api } from "../types.ts";

export interface AuditStreamDeps {
  auditStreams: Pick<AuditStreams, "create" | "list" | "remove">;
}

const tags = ["audit"];

/** Where the tenant's audit log is sent on to. */
export function auditStreamRoutes(api: Api, { auditStreams }: AuditStreamDeps): void {
  api.get(
    "/tenants/:tenant/audit-streams",
    {
      config: { access: "audit.read" },
      schema: {
        operationId: "listAuditStreams",
        tags,
        params: TenantParams,
        response: answers(200, AuditStreamList),
      },
    },
    async (request) => ({ items: await auditStreams.list(tenantOf(request)) }),
  );

  api.post(
    "/tenants/:tenant/audit-streams",
    {
      config: { access: "tenancy.manage", action: "audit-stream.create", answersSecret: true },
      schema: {
        operationId: "createAuditStream",
        tags,
        summary: "Sends the audit log on to a webhook or a syslog server, each entry at least once",
        params: TenantParams,
        body: CreateAuditStreamBody,
        response: answers(201, CreatedAuditStream),
      },
    },
    async (request, reply) => {
      const made = await auditStreams.create(tenantOf(request), request.body, actorOf(request));
      return reply.code(201).send(made);
    },
  );

  api.delete(
    "/tenants/:tenant/audit-streams/:auditStream",
    {
      config: { access: "tenancy.manage", action: "audit-stream.delete" },
      schema: {
        operationId: "deleteAuditStream",
        tags,
        params: strict({ tenant: TenantId, auditStream: Uuid }),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const { auditStream } = request.params;
      await auditStreams.remove(tenantOf(request), auditStream, actorOf(request));
      return reply.code(204).send();
    },
  );
}
