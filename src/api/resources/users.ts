import { assertMayGrant, type Tenancy, type UserView as User } from "../../tenancy/index.ts";
import { actorOf, principalOf, tenantOf } from "../access.ts";
import { answers, NoContent, strict, TenantId, TenantParams, Uuid } from "../schemas/common.ts";
import {
  CreateUserBody,
  MembershipBody,
  SetPasswordBody,
  UserList,
  UserView,
} from "../schemas/tenancy.ts";
import type { Api } from "../types.ts";

export interface UserDeps {
  tenancy: Pick<Tenancy, "users" | "roles">;
}

const tags = ["users"];
const UserParams = strict({ user: Uuid });

/** People: those of the installation for its administrators, a tenant's members for the tenant's. */
export function userRoutes(api: Api, deps: UserDeps): void {
  platformUserRoutes(api, deps);
  memberRoutes(api, deps);
}

function platformUserRoutes(api: Api, { tenancy }: UserDeps): void {
  api.get(
    "/users",
    {
      config: { access: "platform-administrator", sensitiveRead: "user.read" },
      schema: { operationId: "listUsers", tags, response: answers(200, UserList) },
    },
    async () => ({ items: await tenancy.users.list() }),
  );

  api.post(
    "/users",
    {
      config: { access: "platform-administrator", action: "user.create" },
      schema: {
        operationId: "createUser",
        tags,
        body: CreateUserBody,
        response: answers(201, UserView),
      },
    },
    async (request, reply) => {
      const user = await tenancy.users.create(request.body, actorOf(request));
      return reply.code(201).send(user);
    },
  );

  api.put(
    "/users/:user/password",
    {
      config: { access: "platform-administrator", action: "user.set-password" },
      schema: {
        operationId: "setUserPassword",
        tags,
        params: UserParams,
        body: SetPasswordBody,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const { user } = request.params;
      await tenancy.users.setPassword(user, request.body.password, actorOf(request));
      return reply.code(204).send();
    },
  );

  api.post(
    "/users/:user/disable",
    {
      config: { access: "platform-administrator", action: "user.disable" },
      schema: {
        operationId: "disableUser",
        tags,
        params: UserParams,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await tenancy.users.disable(request.params.user, actorOf(request));
      return reply.code(204).send();
    },
  );
}

function memberRoutes(api: Api, { tenancy }: UserDeps): void {
  const membersOf = async (tenantId: string): Promise<{ items: User[] }> => ({
    items: await tenancy.users.list(tenantId),
  });

  api.get(
    "/tenants/:tenant/users",
    {
      config: { access: "tenancy.read", sensitiveRead: "member.read" },
      schema: {
        operationId: "listMembers",
        tags,
        params: TenantParams,
        response: answers(200, UserList),
      },
    },
    async (request) => membersOf(tenantOf(request)),
  );

  api.put(
    "/tenants/:tenant/users",
    {
      config: { access: "tenancy.manage", action: "member.set" },
      schema: {
        operationId: "setMember",
        tags,
        summary: "Makes a user of this installation a member, or changes the role",
        params: TenantParams,
        body: MembershipBody,
        response: answers(200, UserList),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { email, role, groups } = request.body;
      const given = await tenancy.roles.resolve(tenantId, { role, groups });
      assertMayGrant(principalOf(request), tenantId, given.permissions);
      await tenancy.users.setMembership(tenantId, email, { role, groups }, actorOf(request));
      return membersOf(tenantId);
    },
  );

  api.delete(
    "/tenants/:tenant/users/:user",
    {
      config: { access: "tenancy.manage", action: "member.remove" },
      schema: {
        operationId: "removeMember",
        tags,
        params: strict({ tenant: TenantId, user: Uuid }),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await tenancy.users.removeMembership(
        tenantOf(request),
        request.params.user,
        actorOf(request),
      );
      return reply.code(204).send();
    },
  );
}
