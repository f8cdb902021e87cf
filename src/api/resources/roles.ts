import {
  assertMayGrant,
  CONFINABLE,
  PERMISSION_MEANINGS,
  type Permission,
  type Tenancy,
} from "../../tenancy/index.ts";
import { actorOf, principalOf, tenantOf } from "../access.ts";
import { answers, NoContent, RoleName, strict, TenantId, TenantParams } from "../schemas/common.ts";
import { CreateRoleBody, RoleBody, RoleList, RoleView } from "../schemas/tenancy.ts";
import type { Api } from "../types.ts";

export interface RoleDeps {
  tenancy: Pick<Tenancy, "roles">;
}

const tags = ["roles"];
const RoleParams = strict({ tenant: TenantId, ownRole: RoleName });

/** Roles of the tenant's own, as sets of permissions; the built-in ones are listed with them. */
export function roleRoutes(api: Api, { tenancy }: RoleDeps): void {
  api.get(
    "/tenants/:tenant/roles",
    {
      config: { access: "tenancy.read" },
      schema: {
        operationId: "listRoles",
        tags,
        params: TenantParams,
        response: answers(200, RoleList),
      },
    },
    async (request) => ({
      items: await tenancy.roles.list(tenantOf(request)),
      permissions: Object.entries(PERMISSION_MEANINGS).map(([name, meaning]) => ({
        ...{ name, meaning },
        confinable: CONFINABLE.includes(name as Permission),
      })),
    }),
  );

  api.post(
    "/tenants/:tenant/roles",
    {
      config: { access: "tenancy.manage", action: "role.create" },
      schema: {
        operationId: "createRole",
        tags,
        params: TenantParams,
        body: CreateRoleBody,
        response: answers(201, RoleView),
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request);
      const { name, description = "", permissions } = request.body;
      request.auditTargetId = name;
      assertMayGrant(principalOf(request), tenantId, permissions);
      const role = { name, description, permissions };
      return reply.code(201).send(await tenancy.roles.create(tenantId, role, actorOf(request)));
    },
  );

  api.put(
    "/tenants/:tenant/roles/:ownRole",
    {
      config: { access: "tenancy.manage", action: "role.update" },
      schema: {
        operationId: "replaceRole",
        tags,
        summary: "Replaces what a role permits, for everybody who has it",
        params: RoleParams,
        body: RoleBody,
        response: answers(200, RoleView),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { description = "", permissions } = request.body;
      assertMayGrant(principalOf(request), tenantId, permissions);
      const role = { name: request.params.ownRole, description, permissions };
      return tenancy.roles.replace(tenantId, role, actorOf(request));
    },
  );

  api.delete(
    "/tenants/:tenant/roles/:ownRole",
    {
      config: { access: "tenancy.manage", action: "role.delete" },
      schema: {
        operationId: "deleteRole",
        tags,
        params: RoleParams,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await tenancy.roles.remove(tenantOf(request), request.params.ownRole, actorOf(request));
      return reply.code(204).send();
    },
  );
}
