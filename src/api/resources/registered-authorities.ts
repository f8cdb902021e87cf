import type { RegisteredAuthorities } from "../../identity/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { answers, NoContent, strict, TenantId, TenantParams, Uuid } from "../schemas/common.ts";
import {
  ProveAuthorityBody,
  RegisterAuthorityBody,
  RegisteredAuthorityCreated,
  RegisteredAuthorityList,
  RegisteredAuthorityView,
} from "../schemas/enrolment.ts";
import type { Api } from "../types.ts";

export interface RegisteredAuthorityDeps {
  identity: { registeredAuthorities: RegisteredAuthorities };
}

const tags = ["enrolment"];
const Params = strict({ tenant: TenantId, registeredAuthority: Uuid });

/** Authorities of the tenant's own, by whose certificates its devices may come. */
export function registeredAuthorityRoutes(api: Api, { identity }: RegisteredAuthorityDeps): void {
  api.get(
    "/tenants/:tenant/registered-authorities",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listRegisteredAuthorities",
        tags,
        params: TenantParams,
        response: answers(200, RegisteredAuthorityList),
      },
    },
    async (request) => ({ items: await identity.registeredAuthorities.list(tenantOf(request)) }),
  );

  api.post(
    "/tenants/:tenant/registered-authorities",
    {
      config: {
        access: "devices.enroll",
        action: "registered-authority.create",
        answersSecret: true,
      },
      schema: {
        operationId: "registerAuthority",
        tags,
        summary: "Nothing is accepted by it before possession of its key is proved",
        params: TenantParams,
        body: RegisterAuthorityBody,
        response: answers(201, RegisteredAuthorityCreated),
      },
    },
    async (request, reply) => {
      const { registeredAuthorities } = identity;
      const [tenantId, actor] = [tenantOf(request), actorOf(request)];
      const created = await registeredAuthorities.register(tenantId, request.body, actor);
      const { webhookSecret, ...authority } = created;
      return reply.code(201).send({ authority, ...(webhookSecret ? { webhookSecret } : {}) });
    },
  );

  api.post(
    "/tenants/:tenant/registered-authorities/:registeredAuthority/prove",
    {
      config: { access: "devices.enroll", action: "registered-authority.prove" },
      schema: {
        operationId: "proveAuthority",
        tags,
        summary: "With a certificate that it has issued for the common name `code`",
        params: Params,
        body: ProveAuthorityBody,
        response: answers(200, RegisteredAuthorityView),
      },
    },
    async (request) => {
      const { registeredAuthority: authority } = request.params;
      const { certificatePem } = request.body;
      const { registeredAuthorities } = identity;
      return registeredAuthorities.prove(
        tenantOf(request),
        authority,
        certificatePem,
        actorOf(request),
      );
    },
  );

  api.delete(
    "/tenants/:tenant/registered-authorities/:registeredAuthority",
    {
      config: { access: "devices.enroll", action: "registered-authority.disable" },
      schema: {
        operationId: "disableAuthority",
        tags,
        summary: "Its certificates are accepted no more",
        params: Params,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const { registeredAuthority: authority } = request.params;
      await identity.registeredAuthorities.disable(tenantOf(request), authority, actorOf(request));
      return reply.code(204).send();
    },
  );
}
