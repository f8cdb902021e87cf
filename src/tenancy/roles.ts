import { type Database, isUniqueViolation } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import type { Actor } from "./actor.ts";
import type { Audit } from "./audit.ts";
import { auditChange } from "./audit-details.ts";
import {
  CONFINABLE,
  type Grant,
  isPermission,
  isTenantRole,
  type Permission,
  permissionsOf,
  TENANT_ROLES,
} from "./permissions.ts";
import * as store from "./roles-store.ts";
import type { RoleColumns } from "./users-store.ts";

export interface RoleView {
  name: string;
  description: string;
  permissions: string[];
  /** Of the platform, the same in every tenant; not to be changed. */
  isBuiltIn: boolean;
  members: number;
  keys: number;
  updatedAt: Date | null;
}

/** A role as it is given to a member or a key. */
export interface GivenRole {
  role: string;
  /** Names of groups; all devices of the tenant where left out. */
  groups?: readonly string[] | null | undefined;
}

export interface NewRole {
  name: string;
  description: string;
  permissions: readonly Permission[];
}

/** The tenant's own roles beside the built-in ones. */
export interface Roles {
  /** The built-in ones first. */
  list(tenantId: string): Promise<RoleView[]>;
  create(tenantId: string, role: NewRole, actor: Actor): Promise<RoleView>;
  /** Whoever has it may the new at once, apart from the five seconds that credentials are cached. */
  replace(tenantId: string, role: NewRole, actor: Actor): Promise<RoleView>;
  /** `conflict` while a member or a key has it. */
  remove(tenantId: string, name: string, actor: Actor): Promise<void>;
  /**
   * The columns of a role that is given, and what it will permit. Refuses what there is not: roles,
   * groups, and permissions that would be left over none when confined to groups.
   */
  resolve(
    tenantId: string,
    given: GivenRole,
  ): Promise<{ columns: RoleColumns; permissions: readonly Permission[] }>;
}

export const MAX_ROLES = 100;
export const MAX_ROLE_GROUPS = 20;
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

const DESCRIPTIONS: Readonly<Record<(typeof TENANT_ROLES)[number], string>> = {
  viewer: "looks at devices, rollouts, logs and measurements",
  operator: "runs the devices: commands, tags, alerts, pausing rollouts",
  "fleet-engineer": "an operator who also publishes releases, starts rollouts and enrols devices",
  administrator: "may do everything in the tenant",
  auditor: "a viewer who also reads the audit log, members and keys",
};

export function createRoles(deps: {
  db: Database;
  clock: Clock;
  audit: Audit;
  forget: () => void;
}): Roles {
  const { db, clock, audit } = deps;
  const record = (
    actor: Actor,
    action: string,
    name: string,
    details: Record<string, unknown>,
  ) => ({
    ...{ actor, action, targetKind: "role", targetId: name, outcome: "done" as const },
    details,
  });

  return {
    async list(tenantId) {
      const { own, uses } = await db.tenant(tenantId, async (tx) => ({
        own: await store.listRoles(tx, MAX_ROLES),
        uses: await store.countUses(tx),
      }));
      const builtIn = TENANT_ROLES.map((name) => ({
        ...{ name, description: DESCRIPTIONS[name], permissions: permissionsOf(name) },
        ...{ isBuiltIn: true, updatedAt: null, ...usesOf(uses, name) },
      }));
      return [...builtIn, ...own.map((row) => ({ ...viewOf(row), ...usesOf(uses, row.name) }))];
    },

    async create(tenantId, role, actor) {
      checkRole(role);
      const row = rowOf(role, actor, new Date(clock.now()));
      try {
        await db.tenant(tenantId, async (tx) => {
          if ((await store.listRoles(tx, MAX_ROLES)).length >= MAX_ROLES) {
            const message = `a tenant has at most ${MAX_ROLES} roles of its own`;
            throw new AppError("quota-exceeded", message);
          }
          await store.insertRole(tx, tenantId, row);
          const change = auditChange({}, textOf(row));
          await audit.record(tx, tenantId, record(actor, "role.create", row.name, change));
        });
      } catch (error) {
        if (!isUniqueViolation(error)) throw error;
        throw new AppError("already-exists", `role ${row.name} exists`, {}, { cause: error });
      }
      return viewOf(row);
    },

    async replace(tenantId, role, actor) {
      checkRole(role);
      const after = rowOf(role, actor, new Date(clock.now()));
      const uses = await db.tenant(tenantId, async (tx) => {
        const before = await store.lockRole(tx, role.name);
        if (!before) throw unknownRole(role.name);
        await store.updateRole(tx, after);
        const change = auditChange(textOf(before), textOf(after));
        await audit.record(tx, tenantId, record(actor, "role.update", role.name, change));
        return store.countUses(tx);
      });
      deps.forget();
      return { ...viewOf(after), ...usesOf(uses, role.name) };
    },

    async remove(tenantId, name, actor) {
      if (isTenantRole(name)) throw builtInRole(name);
      await db.tenant(tenantId, async (tx) => {
        const before = await store.lockRole(tx, name);
        if (!before) throw unknownRole(name);
        const used = (await store.countUses(tx)).find(({ role }) => role === name);
        if (used) {
          const { members, keys } = used;
          const message = `${members} members and ${keys} keys have the role: give them another first`;
          throw new AppError("conflict", message, { members, keys });
        }
        await store.deleteRole(tx, name);
        const change = auditChange({ permissions: before.permissions }, { permissions: null });
        await audit.record(tx, tenantId, record(actor, "role.delete", name, change));
      });
      deps.forget();
    },

    resolve: (tenantId, given) => resolve(db, tenantId, given),
  };
}

async function resolve(db: Database, tenantId: string, { role, groups }: GivenRole) {
  const names = groups ? [...new Set(groups)].sort() : null;
  if (names && (names.length === 0 || names.length > MAX_ROLE_GROUPS)) {
    throw invalid("groups", `name 1 to ${MAX_ROLE_GROUPS} groups, or leave groups out`);
  }
  const { own, known, roles } = await db.tenant(tenantId, async (tx) => {
    const found = isTenantRole(role) ? undefined : await store.findRole(tx, role);
    return {
      own: found,
      known: names ? await store.knownGroups(tx, names) : [],
      roles: isTenantRole(role) || found ? [] : await store.listRoles(tx, MAX_ROLES),
    };
  });
  if (!isTenantRole(role) && !own) {
    const all = [...TENANT_ROLES, ...roles.map(({ name }) => name)];
    throw invalid("role", `is none of the tenant's roles: ${all.join(", ")}`);
  }
  const unknown = names?.find((name) => !known.includes(name));
  if (unknown !== undefined) throw invalid("groups", `there is no group ${unknown}`);
  const columns: RoleColumns = {
    role: isTenantRole(role) ? role : null,
    custom_role: isTenantRole(role) ? null : role,
    groups: names,
  };
  const { permissions } = grantOf({ ...columns, permissions: own?.permissions ?? null });
  if (permissions.length === 0) {
    throw invalid("groups", "nothing of what the role permits can be confined to groups");
  }
  return { columns, permissions };
}

/** What a row of the store permits; a permission that no release knows any more permits nothing. */
export function grantOf(row: RoleColumns & { permissions: string[] | null }): Grant {
  const permissions = row.role
    ? permissionsOf(row.role)
    : (row.permissions ?? []).filter(isPermission);
  return {
    role: row.role ?? row.custom_role ?? "",
    permissions: row.groups ? permissions.filter((one) => CONFINABLE.includes(one)) : permissions,
    groups: row.groups,
  };
}

function checkRole({ name, permissions }: NewRole): void {
  if (isTenantRole(name)) throw builtInRole(name);
  if (!NAME.test(name)) {
    throw invalid("name", "has lower-case letters, digits and hyphens, 63 at most");
  }
  if (permissions.length === 0) throw invalid("permissions", "a role without any is of no use");
  const unknown = permissions.find((permission) => !isPermission(permission));
  if (unknown !== undefined) throw invalid("permissions", `${unknown} is no permission`);
}

function viewOf(row: store.RoleRow): RoleView {
  const { name, description, permissions, updated_at: updatedAt } = row;
  return { name, description, permissions, isBuiltIn: false, members: 0, keys: 0, updatedAt };
}

function usesOf(uses: readonly store.RoleUse[], name: string) {
  const { members = 0, keys = 0 } = uses.find(({ role }) => role === name) ?? {};
  return { members, keys };
}

function rowOf(
  { name, description, permissions }: NewRole,
  actor: Actor,
  now: Date,
): store.RoleRow {
  const text = description.trim();
  const sorted = [...new Set(permissions)].sort();
  const made = { created_at: now, created_by: actor.name, updated_at: now };
  return { name, description: text, permissions: sorted, ...made };
}

function textOf({ description, permissions }: store.RoleRow) {
  return { description, permissions };
}

function builtInRole(name: string): AppError {
  return new AppError("conflict", `${name} is a built-in role and stays as it is`, { role: name });
}

function unknownRole(name: string): AppError {
  return new AppError("not-found", `there is no role ${name}`, { role: name });
}

function invalid(field: string, message: string): AppError {
  return new AppError("invalid-content", `this role cannot be given: ${field}: ${message}`, {
    errors: [{ field, message }],
  });
}
