import type { Tx } from "../../db/index.ts";

/** Which certificate: of which authority, for which names. */
export interface AcmeSubject {
  directoryUrl: string;
  /** Sorted, joined by commas. */
  names: string;
}

export interface AcmeCertificateRow {
  certificate_pem: string | null;
  private_key_sealed: Buffer | null;
  not_before: Date | null;
  not_after: Date | null;
  failures: number;
  last_step: string | null;
  last_error: string | null;
  attempted_at: Date | null;
  next_attempt_at: Date;
  leased_until: Date | null;
}

const COLUMNS = [
  "certificate_pem",
  "private_key_sealed",
  "not_before",
  "not_after",
  "failures",
  "last_step",
  "last_error",
  "attempted_at",
  "next_attempt_at",
  "leased_until",
] as const;

export function findAcmeCertificate(
  tx: Tx,
  { directoryUrl, names }: AcmeSubject,
): Promise<AcmeCertificateRow | undefined> {
  return tx
    .selectFrom("acme_certificates")
    .select(COLUMNS)
    .where("directory_url", "=", directoryUrl)
    .where("names", "=", names)
    .executeTakeFirst() as Promise<AcmeCertificateRow | undefined>;
}

/** Takes the right to order until a moment; undefined where nothing is due or another has it. */
export async function leaseAcmeOrder(
  tx: Tx,
  subject: AcmeSubject,
  { now, until }: { now: Date; until: Date },
): Promise<AcmeCertificateRow | undefined> {
  const { directoryUrl: directory_url, names } = subject;
  await tx
    .insertInto("acme_certificates")
    .values({ directory_url, names, next_attempt_at: now })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return tx
    .updateTable("acme_certificates")
    .set({ leased_until: until, attempted_at: now })
    .where("directory_url", "=", directory_url)
    .where("names", "=", names)
    .where("next_attempt_at", "<=", now)
    .where((one) => one.or([one("leased_until", "is", null), one("leased_until", "<=", now)]))
    .returning(COLUMNS)
    .executeTakeFirst() as Promise<AcmeCertificateRow | undefined>;
}

export async function updateAcmeCertificate(
  tx: Tx,
  { directoryUrl, names }: AcmeSubject,
  changed: Partial<AcmeCertificateRow>,
): Promise<boolean> {
  const result = await tx
    .updateTable("acme_certificates")
    .set(changed)
    .where("directory_url", "=", directoryUrl)
    .where("names", "=", names)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** The account's key as it is, or this one where there was none. */
export async function acmeAccountOr(
  tx: Tx,
  account: { directoryUrl: string; externalKeyId: string; keySealed: Buffer; now: Date },
): Promise<{ keySealed: Buffer; accountUrl: string | null }> {
  const { directoryUrl: directory_url, externalKeyId: external_key_id } = account;
  await tx
    .insertInto("acme_accounts")
    .values({
      directory_url,
      external_key_id,
      key_sealed: account.keySealed,
      created_at: account.now,
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const row = await tx
    .selectFrom("acme_accounts")
    .select(["key_sealed", "account_url"])
    .where("directory_url", "=", directory_url)
    .where("external_key_id", "=", external_key_id)
    .executeTakeFirstOrThrow();
  return { keySealed: row.key_sealed, accountUrl: row.account_url };
}

export async function setAcmeAccountUrl(
  tx: Tx,
  { directoryUrl, externalKeyId }: { directoryUrl: string; externalKeyId: string },
  accountUrl: string | null,
): Promise<void> {
  await tx
    .updateTable("acme_accounts")
    .set({ account_url: accountUrl })
    .where("directory_url", "=", directoryUrl)
    .where("external_key_id", "=", externalKeyId)
    .execute();
}

export async function putChallenge(
  tx: Tx,
  challenge: { token: string; keyAuthorization: string; expiresAt: Date },
  now: Date,
): Promise<void> {
  const { token, keyAuthorization: key_authorization, expiresAt: expires_at } = challenge;
  await tx.deleteFrom("acme_challenges").where("expires_at", "<=", now).execute();
  await tx
    .insertInto("acme_challenges")
    .values({ token, key_authorization, expires_at })
    .onConflict((conflict) =>
      conflict.column("token").doUpdateSet({ key_authorization, expires_at }),
    )
    .execute();
}

export async function removeChallenge(tx: Tx, token: string): Promise<void> {
  await tx.deleteFrom("acme_challenges").where("token", "=", token).execute();
}

export async function keyAuthorizationOf(
  tx: Tx,
  token: string,
  now: Date,
): Promise<string | undefined> {
  const row = await tx
    .selectFrom("acme_challenges")
    .select("key_authorization")
    .where("token", "=", token)
    .where("expires_at", ">", now)
    .executeTakeFirst();
  return row?.key_authorization;
}
