import type { Tx } from "../db/index.ts";

export interface NewSessionRow {
  id: string;
  token_hash: Buffer;
  user_id: string;
  method: string;
  must_enrol: boolean;
  provider_id: string | null;
  id_token_sealed: Buffer | null;
  created_at: Date;
  authenticated_at: Date;
  last_used_at: Date;
  rotate_after: Date;
  expires_at: Date;
  address: string | null;
  user_agent: string | null;
}

/** A session as its owner sees it: nothing that would open it. */
export interface SessionRow {
  id: string;
  method: string;
  provider_id: string | null;
  created_at: Date;
  last_used_at: Date;
  expires_at: Date;
  address: string | null;
  user_agent: string | null;
}

export async function insertSession(tx: Tx, row: NewSessionRow): Promise<void> {
  await tx.insertInto("sessions").values(row).execute();
}

/** Keeps the table small: sessions of this user that ended before `moment`. */
export async function deleteOldSessions(tx: Tx, userId: string, moment: Date): Promise<void> {
  await tx
    .deleteFrom("sessions")
    .where("user_id", "=", userId)
    .where("expires_at", "<", moment)
    .execute();
}

/** Ends all but the newest: nobody fills the table by signing in. */
export async function endOldest(tx: Tx, userId: string, keep: number, now: Date): Promise<void> {
  await tx
    .updateTable("sessions")
    .set({ revoked_at: now })
    .where("id", "in", (all) =>
      all
        .selectFrom("sessions")
        .select("id")
        .where("user_id", "=", userId)
        .where("revoked_at", "is", null)
        .orderBy("created_at", "desc")
        .offset(keep),
    )
    .execute();
}

/** Those that live, the newest first. */
export function liveSessions(
  tx: Tx,
  userId: string,
  now: Date,
  limit: number,
): Promise<SessionRow[]> {
  return tx
    .selectFrom("sessions")
    .select(["id", "method", "provider_id", "created_at", "last_used_at", "expires_at"])
    .select(["address", "user_agent"])
    .where("user_id", "=", userId)
    .where("revoked_at", "is", null)
    .where("expires_at", ">", now)
    .orderBy("created_at", "desc")
    .limit(limit)
    .execute();
}

/**
 * By the token that counts, its successor or the one before; the user, or undefined where the session
 * was over already.
 */
export async function revokeByToken(
  tx: Tx,
  tokenHash: Buffer,
  now: Date,
): Promise<string | undefined> {
  const row = await tx
    .updateTable("sessions")
    .set({ revoked_at: now })
    .where((or) =>
      or.or([
        or("token_hash", "=", tokenHash),
        or("next_hash", "=", tokenHash),
        or("previous_hash", "=", tokenHash),
      ]),
    )
    .where("revoked_at", "is", null)
    .returning("user_id")
    .executeTakeFirst();
  return row?.user_id;
}

/** Where the session came from. */
export function originOf(
  tx: Tx,
  id: string,
): Promise<{ provider_id: string | null; id_token_sealed: Buffer | null } | undefined> {
  return tx
    .selectFrom("sessions")
    .select(["provider_id", "id_token_sealed"])
    .where("id", "=", id)
    .executeTakeFirst();
}

/** Ends one session of the user, or all but `except`; the ids of those that it has ended. */
export async function revokeOwn(
  tx: Tx,
  userId: string,
  which: { id: string } | { except: string | null },
  now: Date,
): Promise<string[]> {
  let query = tx
    .updateTable("sessions")
    .set({ revoked_at: now })
    .where("user_id", "=", userId)
    .where("revoked_at", "is", null)
    .where("expires_at", ">", now);
  if ("id" in which) query = query.where("id", "=", which.id);
  else if (which.except !== null) query = query.where("id", "!=", which.except);
  const rows = await query.returning("id").execute();
  return rows.map(({ id }) => id);
}

/**
 * Names a successor of the token where one is due and none was handed out a moment ago; whether it
 * did, so that of several requests at once one brings the new token home.
 */
export async function nameSuccessor(
  tx: Tx,
  change: { id: string; tokenHash: Buffer; nextHash: Buffer; now: Date; staleBefore: Date },
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("sessions")
    .set({ next_hash: change.nextHash, next_at: change.now })
    .where("id", "=", change.id)
    .where("token_hash", "=", change.tokenHash)
    .where("revoked_at", "is", null)
    .where("rotate_after", "<=", change.now)
    .where((or) => or.or([or("next_at", "is", null), or("next_at", "<", change.staleBefore)]))
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}
