import type { ApplicationCertificates } from "../../identity/index.ts";
import { assertMayGrant } from "../../tenancy/index.ts";
import { actorOf, principalOf, tenantOf } from "../access.ts";
import { decodeCursor, wrapPage } from "../cursor.ts";
import {
  ApplicationCertificatePage,
  IssueApplicationBody,
  IssuedApplicationView,
  RevokeApplicationQuery,
  Serial,
} from "../schemas/applications.ts";
import {
  answers,
  NoContent,
  PageQuery,
  strict,
  TenantId,
  TenantParams,
} from "../schemas/common.ts";
import type { Api } from "../types.ts";

export interface ApplicationDeps {
  identity: { applicationCertificates: ApplicationCertificates };
}

const tags = ["applications"];
const LIST = "application-certificates";

/** Certificates by which a tenant's applications connect by MQTT, each with a role. */
export function applicationRoutes(api: Api, { identity }: ApplicationDeps): void {
  api.get(
    "/tenants/:tenant/application-certificates",
    {
      config: { access: "tenancy.read" },
      schema: {
        operationId: "listApplicationCertificates",
        tags,
        params: TenantParams,
        querystring: strict({ ...PageQuery }),
        response: answers(200, ApplicationCertificatePage),
      },
    },
    async (request) => {
      const { cursor, limit } = request.query;
      const page = { cursor: decodeCursor(LIST, cursor), limit };
      return wrapPage(LIST, await identity.applicationCertificates.list(tenantOf(request), page));
    },
  );

  api.post(
    "/tenants/:tenant/application-certificates",
    {
      config: {
        access: "tenancy.manage",
        action: "application-certificate.issue",
        answersSecret: true,
      },
      schema: {
        operationId: "issueApplicationCertificate",
        tags,
        params: TenantParams,
        body: IssueApplicationBody,
        response: answers(201, IssuedApplicationView),
      },
    },
    async (request, reply) => {
      const [tenantId, actor] = [tenantOf(request), actorOf(request)];
      assertMayGrant(principalOf(request), tenantId, request.body.role);
      const issued = await identity.applicationCertificates.issue(tenantId, request.body, actor);
      return reply.code(201).send(issued);
    },
  );

  api.delete(
    "/tenants/:tenant/application-certificates/:serial",
    {
      config: { access: "tenancy.manage", action: "application-certificate.revoke" },
      schema: {
        operationId: "revokeApplicationCertificate",
        tags,
        summary: "Its connections end within five seconds",
        params: strict({ tenant: TenantId, serial: Serial }),
        querystring: RevokeApplicationQuery,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const { reason = "unspecified" } = request.query;
      const { serial } = request.params;
      const [tenantId, actor] = [tenantOf(request), actorOf(request)];
      await identity.applicationCertificates.revoke(tenantId, serial, reason, actor);
      return reply.code(204).send();
    },
  );
}
