import { assertMayGrant, type Tenancy } from "../../tenancy/index.ts";
import { actorOf, principalOf, tenantOf } from "../access.ts";
import { answers, NoContent, strict, TenantId, TenantParams, Uuid } from "../schemas/common.ts";
import { CreatedKeyView, CreateKeyBody, KeyList } from "../schemas/tenancy.ts";
import type { Api } from "../types.ts";
import { dateOf } from "../validation.ts";

export interface KeyDeps {
  tenancy: Pick<Tenancy, "keys" | "roles">;
}

const tags = ["keys"];

/** A tenant's own API keys, each with a role. */
export function keyRoutes(api: Api, { tenancy }: KeyDeps): void {
  api.get(
    "/tenants/:tenant/keys",
    {
      config: { access: "tenancy.read" },
      schema: {
        operationId: "listKeys",
        tags,
        params: TenantParams,
        response: answers(200, KeyList),
      },
    },
    async (request) => ({ items: await tenancy.keys.list({ tenantId: tenantOf(request) }) }),
  );

  api.post(
    "/tenants/:tenant/keys",
    {
      config: {
        access: "tenancy.manage",
        action: "key.create",
        answersSecret: true,
      },
      schema: {
        operationId: "createKey",
        tags,
        params: TenantParams,
        body: CreateKeyBody,
        response: answers(201, CreatedKeyView),
      },
    },
    async (request, reply) => {
      const { name, role, groups, scopes, expiresAt } = request.body;
      const given = await tenancy.roles.resolve(tenantOf(request), { role, groups });
      assertMayGrant(principalOf(request), tenantOf(request), given.permissions, scopes);
      const created = await tenancy.keys.createTenantKey(
        tenantOf(request),
        { name, role, groups, scopes, ...(expiresAt ? { expiresAt: dateOf(expiresAt) } : {}) },
        actorOf(request),
      );
      return reply.code(201).send({ id: created.id, key: created.key });
    },
  );

  api.delete(
    "/tenants/:tenant/keys/:key",
    {
      config: { access: "tenancy.manage", action: "key.revoke" },
      schema: {
        operationId: "revokeKey",
        tags,
        params: strict({ tenant: TenantId, key: Uuid }),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const owner = { tenantId: tenantOf(request) };
      await tenancy.keys.revoke(owner, request.params.key, actorOf(request));
      return reply.code(204).send();
    },
  );
}
