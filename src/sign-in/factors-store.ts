import type { Tx } from "../db/index.ts";

export interface TotpRow {
  user_id: string;
  secret_sealed: Buffer;
  confirmed_at: Date | null;
  last_step: number;
}

export async function findTotp(tx: Tx, userId: string): Promise<TotpRow | undefined> {
  const row = await tx
    .selectFrom("user_totp")
    .select(["user_id", "secret_sealed", "confirmed_at", "last_step"])
    .where("user_id", "=", userId)
    .executeTakeFirst();
  return row && { ...row, last_step: Number(row.last_step) };
}

/** In the place of one that was never confirmed; false where one is in use. */
export async function putTotp(
  tx: Tx,
  row: { user_id: string; secret_sealed: Buffer; created_at: Date },
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto("user_totp")
    .values(row)
    .onConflict((conflict) =>
      conflict
        .column("user_id")
        .doUpdateSet({ secret_sealed: row.secret_sealed, created_at: row.created_at })
        .where("user_totp.confirmed_at", "is", null),
    )
    .executeTakeFirst();
  return (numInsertedOrUpdatedRows ?? 0n) > 0n;
}

/** Takes the step as used; false where it or a later one was used before. */
export async function takeStep(tx: Tx, userId: string, step: number): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("user_totp")
    .set({ last_step: step })
    .where("user_id", "=", userId)
    .where("last_step", "<", step)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

export async function confirmTotp(tx: Tx, userId: string, now: Date): Promise<void> {
  await tx
    .updateTable("user_totp")
    .set({ confirmed_at: now })
    .where("user_id", "=", userId)
    .execute();
}

export async function deleteTotp(tx: Tx, userId: string): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom("user_totp")
    .where("user_id", "=", userId)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

export async function replaceRecoveryCodes(
  tx: Tx,
  userId: string,
  hashes: readonly Buffer[],
  now: Date,
): Promise<void> {
  await tx.deleteFrom("recovery_codes").where("user_id", "=", userId).execute();
  if (hashes.length === 0) return;
  await tx
    .insertInto("recovery_codes")
    .values(hashes.map((code_hash) => ({ user_id: userId, code_hash, created_at: now })))
    .execute();
}

/** False where there is no such code, or it was used. */
export async function takeRecoveryCode(
  tx: Tx,
  userId: string,
  hash: Buffer,
  now: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("recovery_codes")
    .set({ used_at: now })
    .where("user_id", "=", userId)
    .where("code_hash", "=", hash)
    .where("used_at", "is", null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

export async function recoveryCodesLeft(tx: Tx, userId: string): Promise<number> {
  const row = await tx
    .selectFrom("recovery_codes")
    .select((all) => all.fn.countAll<string>().as("count"))
    .where("user_id", "=", userId)
    .where("used_at", "is", null)
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

export interface PasskeyRow {
  credential_id: Buffer;
  id: string;
  user_id: string;
  name: string;
  public_key: Buffer;
  counter: number;
  transports: string[];
  is_backed_up: boolean;
  created_at: Date;
  last_used_at: Date | null;
}

export async function passkeysOf(tx: Tx, userId: string): Promise<PasskeyRow[]> {
  const rows = await tx
    .selectFrom("passkeys")
    .selectAll()
    .where("user_id", "=", userId)
    .orderBy("created_at")
    .execute();
  return rows.map((row) => ({ ...row, counter: Number(row.counter) }));
}

export async function findPasskey(tx: Tx, credentialId: Buffer): Promise<PasskeyRow | undefined> {
  const row = await tx
    .selectFrom("passkeys")
    .selectAll()
    .where("credential_id", "=", credentialId)
    .executeTakeFirst();
  return row && { ...row, counter: Number(row.counter) };
}

export async function insertPasskey(tx: Tx, row: PasskeyRow): Promise<void> {
  await tx.insertInto("passkeys").values(row).execute();
}

/** False where another use has counted as far meanwhile: of two copies one is told (§6.1.1). */
export async function countPasskey(
  tx: Tx,
  credentialId: Buffer,
  counter: number,
  now: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("passkeys")
    .set({ counter, last_used_at: now })
    .where("credential_id", "=", credentialId)
    .where((or) => or.or([or("counter", "<", counter), or("counter", "=", 0)]))
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

export async function deletePasskey(tx: Tx, userId: string, id: string): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom("passkeys")
    .where("user_id", "=", userId)
    .where("id", "=", id)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

export async function deletePasskeysOf(tx: Tx, userId: string): Promise<void> {
  await tx.deleteFrom("passkeys").where("user_id", "=", userId).execute();
}

/** False where it was answered before. Those that have expired go. */
export async function takeChallenge(
  tx: Tx,
  hash: Buffer,
  expiresAt: Date,
  now: Date,
): Promise<boolean> {
  await tx.deleteFrom("used_challenges").where("expires_at", "<", now).execute();
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto("used_challenges")
    .values({ challenge_hash: hash, expires_at: expiresAt })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  return (numInsertedOrUpdatedRows ?? 0n) > 0n;
}

export async function needsSecondFactor(tx: Tx, userId: string): Promise<boolean> {
  const row = await tx
    .selectFrom("users")
    .select("needs_second_factor")
    .where("id", "=", userId)
    .executeTakeFirst();
  return row?.needs_second_factor ?? false;
}

export async function setNeedsSecondFactor(
  tx: Tx,
  userId: string,
  needs: boolean,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("users")
    .set({ needs_second_factor: needs })
    .where("id", "=", userId)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** The sessions that waited for it may do all that the person may. */
export async function releaseSessions(tx: Tx, userId: string): Promise<void> {
  await tx
    .updateTable("sessions")
    .set({ must_enrol: false })
    .where("user_id", "=", userId)
    .where("must_enrol", "=", true)
    .execute();
}

const POLICY = "sign-in-policy";
export type SecondFactorPolicy = "optional" | "administrators" | "everybody";

export async function readPolicy(tx: Tx): Promise<SecondFactorPolicy> {
  const row = await tx
    .selectFrom("instance_settings")
    .select("value")
    .where("key", "=", POLICY)
    .executeTakeFirst();
  return row?.value.secondFactor ?? "optional";
}

export async function writePolicy(tx: Tx, policy: SecondFactorPolicy, now: Date): Promise<void> {
  const value = { secondFactor: policy };
  await tx
    .insertInto("instance_settings")
    .values({ key: POLICY, value, updated_at: now })
    .onConflict((conflict) => conflict.column("key").doUpdateSet({ value, updated_at: now }))
    .execute();
}
