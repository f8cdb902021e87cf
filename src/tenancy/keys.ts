import { type Database, isForeignKeyViolation } from "../db/index.ts";
import {
  AppError,
  type Clock,
  isUuid,
  LIMITS,
  randomSecret,
  timeOrderedId,
} from "../kernel/index.ts";
import { hashSecret } from "../kernel/sealing.ts";
import { type Actor, PLATFORM_CHAIN, SYSTEM_ACTOR } from "./actor.ts";
import type { Audit } from "./audit.ts";
import * as store from "./credentials-store.ts";
import { isPermission, type Permission } from "./permissions.ts";
import type { Roles } from "./roles.ts";
import { checkName } from "./tenants.ts";
import { roleView } from "./users.ts";

export interface KeyView {
  id: string;
  name: string;
  /** A tenant's keys have a role of their own; a personal key has its person's. */
  role: string | null;
  /** Names of the groups that it is confined to; null for all devices. */
  groups: string[] | null;
  /** What it is confined to, of what the role may. */
  scopes: string[] | null;
  createdAt: Date;
  expiresAt: Date | null;
  /** To the minute. */
  lastUsedAt: Date | null;
  revokedAt: Date | null;
}

/** The one time that a key is shown. */
export interface NewKey {
  id: string;
  key: string;
}

export interface Keys {
  createTenantKey(
    tenantId: string,
    key: {
      name: string;
      /** A built-in role or one of the tenant's own. */
      role: string;
      /** Names of groups whose devices are meant; all devices where left out. */
      groups?: readonly string[] | null | undefined;
      /** All that the role may, where left out. */
      scopes?: readonly Permission[] | undefined;
      expiresAt?: Date | undefined;
    },
    actor: Actor,
  ): Promise<NewKey>;
  createPersonalKey(
    userId: string,
    key: { name: string; expiresAt?: Date | undefined },
    actor?: Actor,
  ): Promise<NewKey>;
  list(owner: KeyOwner): Promise<KeyView[]>;
  revoke(owner: KeyOwner, id: string, actor: Actor): Promise<void>;
}

export type KeyOwner = { tenantId: string } | { userId: string };

const KEY_PREFIX = "vk_";

export function createKeys(deps: {
  db: Database;
  clock: Clock;
  audit: Audit;
  roles: Pick<Roles, "resolve">;
  forget: () => void;
}): Keys {
  const { db, clock, audit } = deps;

  function fresh(key: { name: string; expiresAt?: Date | undefined }) {
    const now = new Date(clock.now());
    if (key.expiresAt && key.expiresAt <= now) {
      throw new AppError("invalid-content", "the key would have expired already", {
        errors: [{ field: "expiresAt", message: "lies in the past" }],
      });
    }
    const secret = KEY_PREFIX + randomSecret();
    const id = timeOrderedId(clock.now());
    const expires_at = key.expiresAt ?? null;
    const row = { id, name: checkName(key.name), key_hash: hashSecret(secret), expires_at };
    return { secret, row: { ...row, created_at: now } };
  }

  return {
    async createTenantKey(tenantId, key, actor) {
      const { columns, permissions } = await deps.roles.resolve(tenantId, key);
      const scopes = scopesOf(key, permissions);
      const { secret, row } = fresh(key);
      const create = db.tenant(tenantId, async (tx) => {
        const owner = { tenant_id: tenantId, ...columns, scopes, created_by: actor.name };
        await store.insertTenantKey(tx, { ...row, ...owner });
        const { groups } = columns;
        const details = {
          ...{ name: row.name, role: key.role },
          ...(scopes ? { scopes } : {}),
          ...(groups ? { groups } : {}),
        };
        await audit.record(tx, tenantId, { ...entry(actor, "key.create", row.id), details });
      });
      await create.catch(refuseUnknownOwner);
      return { id: row.id, key: secret };
    },

    async createPersonalKey(userId, key, actor = SYSTEM_ACTOR) {
      const { secret, row } = fresh(key);
      const create = db.platform(async (tx) => {
        await store.insertPersonalKey(tx, { ...row, user_id: userId });
        const details = { name: row.name, userId };
        await audit.record(tx, PLATFORM_CHAIN, { ...entry(actor, "key.create", row.id), details });
      });
      await create.catch(refuseUnknownOwner);
      return { id: row.id, key: secret };
    },

    async list(owner) {
      if ("tenantId" in owner) {
        const { tenantId } = owner;
        const rows = await db.tenant(tenantId, (tx) =>
          store.listTenantKeys(tx, tenantId, LIMITS.pageSize),
        );
        return rows.map((row) => viewOf(row, roleView(row), row.scopes));
      }
      const rows = await db.platform((tx) =>
        store.listPersonalKeys(tx, owner.userId, LIMITS.pageSize),
      );
      return rows.map((row) => viewOf(row, { role: null, groups: null }));
    },

    async revoke(owner, id, actor) {
      const now = new Date(clock.now());
      if (!isUuid(id)) throw noSuchKey(id);
      if ("tenantId" in owner) {
        const { tenantId } = owner;
        await db.tenant(tenantId, async (tx) => {
          const name = await store.revokeTenantKey(tx, tenantId, id, now);
          if (name === undefined) throw noSuchKey(id);
          const record = { ...entry(actor, "key.revoke", id), details: { name } };
          await audit.record(tx, tenantId, record);
        });
      } else {
        await db.platform(async (tx) => {
          const name = await store.revokePersonalKey(tx, owner.userId, id, now);
          if (name === undefined) throw noSuchKey(id);
          const record = { ...entry(actor, "key.revoke", id), details: { name } };
          await audit.record(tx, PLATFORM_CHAIN, record);
        });
      }
      deps.forget();
    },
  };
}

function refuseUnknownOwner(error: unknown): never {
  if (isForeignKeyViolation(error)) throw new AppError("not-found", "there is no such owner");
  throw error;
}

function entry(actor: Actor, action: string, id: string) {
  return { actor, action, targetKind: "key", targetId: id, outcome: "done" as const };
}

/** In order and each once; refused where the role would not permit one of them anyway. */
function scopesOf(
  key: { role: string; scopes?: readonly Permission[] | undefined },
  permitted: readonly Permission[],
) {
  if (key.scopes === undefined) return null;
  const refuse = (message: string) =>
    new AppError("invalid-content", "the scopes are not ones that the key can have", {
      errors: [{ field: "scopes", message }],
    });
  if (key.scopes.length === 0) throw refuse("a key without any permission is of no use");
  for (const scope of key.scopes) {
    if (!isPermission(scope)) throw refuse(`${scope} is no permission`);
    if (!permitted.includes(scope)) throw refuse(`${key.role} does not include ${scope}`);
  }
  return [...new Set(key.scopes)].sort();
}

function viewOf(
  row: store.KeyRow,
  role: Pick<KeyView, "role" | "groups">,
  scopes: string[] | null = null,
): KeyView {
  return {
    id: row.id,
    name: row.name,
    ...role,
    scopes,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
    revokedAt: row.revoked_at,
  };
}

function noSuchKey(id: string): AppError {
  return new AppError("not-found", "there is no such key in use", { key: id });
}
