import { type Database, isForeignKeyViolation, isUniqueViolation } from "../db/index.ts";
import {
  AppError,
  type Clock,
  isUuid,
  LIMITS,
  randomSecret,
  timeOrderedId,
} from "../kernel/index.ts";
import { type Actor, PLATFORM_CHAIN, SYSTEM_ACTOR } from "./actor.ts";
import type { Audit } from "./audit.ts";
import { auditChange } from "./audit-details.ts";
import { revokeSessionsOf, rotateSessionsOf } from "./credentials-store.ts";
import { checkPassword, type Passwords } from "./passwords.ts";
import { isTenantRole, type PlatformRole, type TenantRole } from "./permissions.ts";
import type { GivenRole, Roles } from "./roles.ts";
import { checkName } from "./tenants.ts";
import * as store from "./users-store.ts";

export interface UserView {
  id: string;
  email: string;
  name: string;
  platformRole: PlatformRole | null;
  memberships: MembershipView[];
  createdAt: Date;
  disabledAt: Date | null;
}

export interface MembershipView {
  tenantId: string;
  role: string;
  /** Names of the groups that the person is confined to; null for all devices. */
  groups: string[] | null;
}

export interface NewUser {
  email: string;
  name: string;
  /** Without one the user cannot sign in until a password is set. */
  password?: string;
  platformRole?: PlatformRole | null;
  memberships?: { tenantId: string; role: TenantRole }[];
}

/**
 * Users belong to the installation and may be members of several tenants: creating, disabling and
 * setting passwords is for administrators of the platform, or for people about themselves.
 * `list` of one tenant and the memberships are for that tenant's administrators.
 */
export interface Users {
  create(user: NewUser, actor: Actor): Promise<UserView>;
  /** Everyone, or the members of one tenant with their membership there alone. */
  list(tenantId?: string): Promise<UserView[]>;
  /** Ends every session of the user. */
  setPassword(userId: string, password: string, actor: Actor): Promise<void>;
  /** Ends every session; the user's keys stop working. */
  disable(userId: string, actor: Actor): Promise<void>;
  /** A built-in role or one of the tenant's own, over all devices or those of some groups. */
  setMembership(
    tenantId: string,
    email: string,
    role: string | GivenRole,
    actor: Actor,
  ): Promise<void>;
  removeMembership(tenantId: string, userId: string, actor: Actor): Promise<void>;
}

interface Deps {
  db: Database;
  clock: Clock;
  audit: Audit;
  roles: Pick<Roles, "resolve">;
  passwords: Passwords;
  forget: () => void;
}

const EMAIL = /^[^\s@]{1,64}@[^\s@]{1,189}$/;

export function createUsers(deps: Deps): Users {
  const { db, clock, audit, passwords } = deps;
  return {
    async create(user, actor) {
      const { row, memberships } = await newUser(deps, user);
      try {
        await db.platform(async (tx) => {
          await store.insertUser(tx, row);
          for (const { tenantId, role } of memberships) {
            const member = { tenant_id: tenantId, user_id: row.id };
            const columns = { role, custom_role: null, groups: null };
            await store.putMembership(tx, member, columns, row.created_at);
          }
          const details = { email: row.email, platformRole: row.platform_role, memberships };
          const record = { ...entry(actor, "user.create", row.id), details };
          await audit.record(tx, PLATFORM_CHAIN, record);
          for (const { tenantId } of memberships) await audit.record(tx, tenantId, record);
        });
      } catch (error) {
        if (isUniqueViolation(error)) {
          throw new AppError("already-exists", "there is a user with this e-mail address");
        }
        refuseUnknownTenant(error);
      }
      return viewOf(
        row,
        memberships.map((membership) => ({ ...membership, groups: null })),
      );
    },

    async list(tenantId) {
      const { rows, memberships } = await db.platform(async (tx) => {
        const rows = await store.listUsers(tx, tenantId, LIMITS.pageSize);
        const ids = rows.map((row) => row.id);
        return { rows, memberships: await store.membershipsOf(tx, ids) };
      });
      return rows.map((row) => {
        const own = memberships
          .filter((membership) => membership.user_id === row.id)
          // A tenant's administrator does not learn where else its people work.
          .filter((membership) => tenantId === undefined || membership.tenant_id === tenantId)
          .map((membership) => ({ tenantId: membership.tenant_id, ...roleView(membership) }));
        return viewOf(row, own);
      });
    },

    async setPassword(userId, password, actor) {
      const now = new Date(clock.now());
      const hash = await passwords.hash(password);
      await change(deps, userId, "user.set-password", actor, async (tx, user) => {
        checkPassword(password, user.email);
        await store.updateUser(tx, userId, { password_hash: hash });
        await revokeSessionsOf(tx, userId, now);
      });
    },

    async disable(userId, actor) {
      const now = new Date(clock.now());
      await change(deps, userId, "user.disable", actor, async (tx) => {
        await store.updateUser(tx, userId, { disabled_at: now });
        await revokeSessionsOf(tx, userId, now);
      });
    },

    async setMembership(tenantId, email, given, actor) {
      const role = typeof given === "string" ? { role: given } : given;
      const { columns } = await deps.roles.resolve(tenantId, role);
      const now = new Date(clock.now());
      const set = db.platform(async (tx) => {
        const user = await store.findUserByEmail(tx, normalisedEmail(email));
        if (!user) throw new AppError("not-found", "there is no user with this e-mail address");
        const before = await store.lockMembership(tx, tenantId, user.id);
        await store.putMembership(tx, { tenant_id: tenantId, user_id: user.id }, columns, now);
        await rotateSessionsOf(tx, user.id, now);
        const details = { email: user.email, ...roleChange(before, columns) };
        await audit.record(tx, tenantId, { ...entry(actor, "member.set", user.id), details });
      });
      await set.catch(refuseUnknownTenant);
      deps.forget();
    },

    async removeMembership(tenantId, userId, actor) {
      await db.platform(async (tx) => {
        const known = isUuid(userId) ? await store.lockMembership(tx, tenantId, userId) : undefined;
        if (known === undefined) throw new AppError("not-found", "there is no such member");
        await store.deleteMembership(tx, tenantId, userId);
        await rotateSessionsOf(tx, userId, new Date(clock.now()));
        const details = roleChange(known, undefined);
        await audit.record(tx, tenantId, { ...entry(actor, "member.remove", userId), details });
      });
      deps.forget();
    },
  };
}

/**
 * Makes the first administrator where there is none, and tells the password this one time; null
 * where somebody administers this installation already.
 */
export async function ensureAdministrator(
  deps: Deps,
): Promise<{ email: string; password: string } | null> {
  const email = "admin@localhost";
  const password = randomSecret(18);
  const { row } = await newUser(deps, {
    email,
    name: "Administrator",
    password,
    platformRole: "platform-administrator",
  });
  try {
    return await deps.db.platform(async (tx) => {
      if (await store.hasAdministrator(tx)) return null;
      await store.insertUser(tx, row);
      const record = { ...entry(SYSTEM_ACTOR, "user.create", row.id), details: { email } };
      await deps.audit.record(tx, PLATFORM_CHAIN, record);
      return { email, password };
    });
  } catch (error) {
    // Two processes at their first start: the other one has printed its password.
    if (isUniqueViolation(error)) return null;
    throw error;
  }
}

async function newUser(deps: Deps, user: NewUser) {
  const email = normalisedEmail(user.email);
  const memberships = user.memberships ?? [];
  for (const { role } of memberships) checkRole(role);
  if (user.password !== undefined) checkPassword(user.password, email);
  const row: store.UserRow = {
    id: timeOrderedId(deps.clock.now()),
    email,
    name: checkName(user.name),
    password_hash: user.password === undefined ? null : await deps.passwords.hash(user.password),
    platform_role: user.platformRole ?? null,
    created_at: new Date(deps.clock.now()),
    disabled_at: null,
  };
  return { row, memberships };
}

async function change(
  deps: Deps,
  userId: string,
  action: string,
  actor: Actor,
  work: (tx: Parameters<typeof store.lockUser>[0], user: store.UserRow) => Promise<void>,
): Promise<void> {
  await deps.db.platform(async (tx) => {
    const user = isUuid(userId) ? await store.lockUser(tx, userId) : undefined;
    if (!user) throw new AppError("not-found", "there is no such user", { user: userId });
    await work(tx, user);
    await deps.audit.record(tx, PLATFORM_CHAIN, entry(actor, action, userId));
  });
  deps.forget();
}

function refuseUnknownTenant(error: unknown): never {
  if (isForeignKeyViolation(error)) throw new AppError("not-found", "there is no such tenant");
  throw error;
}

export function normalisedEmail(email: string): string {
  const normalised = email.trim().toLowerCase();
  if (!EMAIL.test(normalised)) {
    throw new AppError("invalid-content", "this is no e-mail address", {
      errors: [{ field: "email", message: "is no e-mail address" }],
    });
  }
  return normalised;
}

function checkRole(role: TenantRole): void {
  if (isTenantRole(role)) return;
  throw new AppError("invalid-content", "there is no such role", {
    errors: [{ field: "role", message: "is none of the tenant's roles" }],
  });
}

/** A role as the API and the audit log show it. */
export function roleView({ role, custom_role: own, groups }: store.RoleColumns) {
  return { role: role ?? own ?? "", groups };
}

function roleChange(before: store.RoleColumns | undefined, after: store.RoleColumns | undefined) {
  const none = { role: null, groups: null };
  return auditChange(before ? roleView(before) : none, after ? roleView(after) : none);
}

function entry(actor: Actor, action: string, userId: string) {
  return { actor, action, targetKind: "user", targetId: userId, outcome: "done" as const };
}

function viewOf(row: store.UserRow, memberships: UserView["memberships"]): UserView {
  return {
    id: row.id,
    email: row.email,
    name: row.name,
    platformRole: row.platform_role,
    memberships,
    createdAt: row.created_at,
    disabledAt: row.disabled_at,
  };
}
