import type { Tx } from "../db/index.ts";
import type { PlatformRole } from "./permissions.ts";
import type { RoleColumns } from "./users-store.ts";

/** A key as lists show it. */
export interface KeyRow {
  id: string;
  name: string;
  created_at: Date;
  expires_at: Date | null;
  last_used_at: Date | null;
  revoked_at: Date | null;
}

/** Whom a session or key stands for; the caller has checked nothing yet but the hash. */
export interface CredentialRow {
  kind: "session" | "personal-key" | "tenant-key";
  id: string;
  name: string;
  tenant_id: string | null;
  /** Of a tenant's key, with the permissions of a custom role. */
  grant: (RoleColumns & { permissions: string[] | null }) | null;
  /** Of a tenant's key: null where its role alone says what it may. */
  scopes: string[] | null;
  user_id: string | null;
  platform_role: PlatformRole | null;
  expires_at: Date | null;
  revoked_at: Date | null;
  disabled_at: Date | null;
  last_used_at: Date | null;
  session?: SessionFacts;
}

export async function revokeSessionsOf(tx: Tx, userId: string, now: Date): Promise<void> {
  await tx
    .updateTable("sessions")
    .set({ revoked_at: now })
    .where("user_id", "=", userId)
    .where("revoked_at", "is", null)
    .execute();
}

/** The sessions of the user take a new token with their next request: what they may has changed. */
export async function rotateSessionsOf(tx: Tx, userId: string, now: Date): Promise<void> {
  await tx
    .updateTable("sessions")
    .set({ rotate_after: now })
    .where("user_id", "=", userId)
    .where("revoked_at", "is", null)
    .where("rotate_after", ">", now)
    .execute();
}

/** Which of a session's tokens was presented. */
export type TokenStanding = "current" | "next" | "previous";

export interface SessionFacts {
  id: string;
  authenticatedAt: Date;
  rotateAfter: Date;
  mustEnrol: boolean;
  standing: TokenStanding;
  previousUntil: Date | null;
}

/** By one of its tokens, or by its id where it was known already. */
export async function findSession(
  tx: Tx,
  by: { hash: Buffer } | { id: string },
): Promise<CredentialRow | undefined> {
  const query = tx
    .selectFrom("sessions")
    .innerJoin("users", "users.id", "sessions.user_id")
    .select(["users.id", "email", "platform_role", "expires_at", "revoked_at", "disabled_at"])
    .select(["sessions.last_used_at", "sessions.id as session_id", "authenticated_at"])
    .select(["rotate_after", "previous_until", "next_hash", "previous_hash", "must_enrol"])
    .$narrowType<{ platform_role: PlatformRole | null }>();
  const found =
    "id" in by
      ? query.where("sessions.id", "=", by.id)
      : query.where((or) =>
          or.or([
            or("token_hash", "=", by.hash),
            or("next_hash", "=", by.hash),
            or("previous_hash", "=", by.hash),
          ]),
        );
  const row = await found.executeTakeFirst();
  if (!row) return undefined;
  const is = (hash: Buffer | null) => "hash" in by && hash !== null && hash.equals(by.hash);
  const { id, email } = row;
  return {
    kind: "session",
    id,
    user_id: id,
    name: email,
    tenant_id: null,
    grant: null,
    scopes: null,
    platform_role: row.platform_role,
    expires_at: row.expires_at,
    revoked_at: row.revoked_at,
    disabled_at: row.disabled_at,
    last_used_at: row.last_used_at,
    session: {
      id: row.session_id,
      authenticatedAt: row.authenticated_at,
      rotateAfter: row.rotate_after,
      mustEnrol: row.must_enrol,
      standing: is(row.next_hash) ? "next" : is(row.previous_hash) ? "previous" : "current",
      previousUntil: row.previous_until,
    },
  };
}

/** The successor has arrived: it is the token now, and the old one lives a moment longer. */
export async function promoteSuccessor(
  tx: Tx,
  id: string,
  nextHash: Buffer,
  times: { rotateAfter: Date; previousUntil: Date },
): Promise<void> {
  await tx
    .updateTable("sessions")
    .set((row) => ({
      previous_hash: row.ref("token_hash"),
      previous_until: times.previousUntil,
      token_hash: nextHash,
      next_hash: null,
      next_at: null,
      rotate_after: times.rotateAfter,
    }))
    .where("id", "=", id)
    .where("next_hash", "=", nextHash)
    .execute();
}

/** Whether it still lived. */
export async function revokeSessionById(tx: Tx, id: string, now: Date): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("sessions")
    .set({ revoked_at: now })
    .where("id", "=", id)
    .where("revoked_at", "is", null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** A personal or a tenant's key. */
export async function findKey(tx: Tx, keyHash: Buffer): Promise<CredentialRow | undefined> {
  const tenantKey = await tx
    .selectFrom("api_keys")
    .leftJoin("roles", (join) =>
      join
        .onRef("roles.tenant_id", "=", "api_keys.tenant_id")
        .onRef("roles.name", "=", "api_keys.custom_role"),
    )
    .select(["api_keys.tenant_id", "id", "api_keys.name", "scopes"])
    .select(["role", "custom_role", "groups", "permissions"])
    .select(["expires_at", "revoked_at", "last_used_at"])
    .where("key_hash", "=", keyHash)
    .executeTakeFirst();
  if (tenantKey) {
    const none = { user_id: null, platform_role: null, disabled_at: null };
    const { role, custom_role, groups, permissions, ...key } = tenantKey;
    const grant = { role, custom_role, groups, permissions };
    return { kind: "tenant-key", ...none, ...key, grant };
  }
  const row = await tx
    .selectFrom("personal_keys")
    .innerJoin("users", "users.id", "personal_keys.user_id")
    .select(["personal_keys.id", "user_id", "email", "platform_role", "disabled_at"])
    .select(["expires_at", "revoked_at", "personal_keys.last_used_at"])
    .$narrowType<{ platform_role: PlatformRole | null }>()
    .where("key_hash", "=", keyHash)
    .executeTakeFirst();
  if (!row) return undefined;
  const { email, ...rest } = row;
  return { kind: "personal-key", name: email, tenant_id: null, grant: null, scopes: null, ...rest };
}

/** Notes that a credential was used; in a transaction that may see it. */
export async function touch(
  tx: Tx,
  credential: Pick<CredentialRow, "kind" | "id" | "session">,
  hash: Buffer,
  now: Date,
): Promise<void> {
  const change = { last_used_at: now };
  switch (credential.kind) {
    case "session":
      if (!credential.session) return;
      await tx
        .updateTable("sessions")
        .set(change)
        .where("id", "=", credential.session.id)
        .execute();
      return;
    case "personal-key":
      await tx.updateTable("personal_keys").set(change).where("key_hash", "=", hash).execute();
      return;
    case "tenant-key":
      await tx.updateTable("api_keys").set(change).where("key_hash", "=", hash).execute();
  }
}

export async function insertTenantKey(
  tx: Tx,
  row: RoleColumns & {
    tenant_id: string;
    id: string;
    name: string;
    scopes: string[] | null;
    key_hash: Buffer;
    created_by: string;
    created_at: Date;
    expires_at: Date | null;
  },
): Promise<void> {
  await tx.insertInto("api_keys").values(row).execute();
}

export async function insertPersonalKey(
  tx: Tx,
  row: {
    id: string;
    user_id: string;
    name: string;
    key_hash: Buffer;
    created_at: Date;
    expires_at: Date | null;
  },
): Promise<void> {
  await tx.insertInto("personal_keys").values(row).execute();
}

const KEY_COLUMNS = [
  "id",
  "name",
  "created_at",
  "expires_at",
  "last_used_at",
  "revoked_at",
] as const;

export function listTenantKeys(
  tx: Tx,
  tenantId: string,
  limit: number,
): Promise<(KeyRow & RoleColumns & { scopes: string[] | null; created_by: string })[]> {
  return tx
    .selectFrom("api_keys")
    .select([...KEY_COLUMNS, "role", "custom_role", "groups", "scopes", "created_by"])
    .where("tenant_id", "=", tenantId)
    .orderBy("created_at", "desc")
    .limit(limit)
    .execute();
}

export function listPersonalKeys(tx: Tx, userId: string, limit: number): Promise<KeyRow[]> {
  return tx
    .selectFrom("personal_keys")
    .select(KEY_COLUMNS)
    .where("user_id", "=", userId)
    .orderBy("created_at", "desc")
    .limit(limit)
    .execute();
}

/** The key's name, or undefined where there is no such key in use. */
export async function revokeTenantKey(
  tx: Tx,
  tenantId: string,
  id: string,
  now: Date,
): Promise<string | undefined> {
  const row = await tx
    .updateTable("api_keys")
    .set({ revoked_at: now })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .where("revoked_at", "is", null)
    .returning("name")
    .executeTakeFirst();
  return row?.name;
}

export async function revokePersonalKey(
  tx: Tx,
  userId: string,
  id: string,
  now: Date,
): Promise<string | undefined> {
  const row = await tx
    .updateTable("personal_keys")
    .set({ revoked_at: now })
    .where("user_id", "=", userId)
    .where("id", "=", id)
    .where("revoked_at", "is", null)
    .returning("name")
    .executeTakeFirst();
  return row?.name;
}
