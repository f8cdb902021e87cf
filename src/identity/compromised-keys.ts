import { createHash, createPublicKey, X509Certificate } from "node:crypto";
import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock, LIMITS } from "../kernel/index.ts";
import { type Actor, PLATFORM_CHAIN, type Tenancy } from "../tenancy/index.ts";

export interface CompromisedKey {
  /** Over the public key (SubjectPublicKeyInfo), hex. */
  publicKeySha256: string;
  reason: string;
  addedBy: string;
  addedAt: Date;
}

/** Keys that are known to be in other hands: no tenant's authority certifies them. */
export interface CompromisedKeys {
  list(): Promise<CompromisedKey[]>;
  /** From a public key or a certificate in PEM. */
  add(pem: string, reason: string, actor: Actor): Promise<CompromisedKey>;
  remove(publicKeySha256: string, actor: Actor): Promise<void>;
}

interface Deps {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "audit">;
}

export function createCompromisedKeys({ db, clock, tenancy }: Deps): CompromisedKeys {
  const record = (tx: Tx, actor: Actor, action: string, publicKeySha256: string, reason: string) =>
    tenancy.audit.record(tx, PLATFORM_CHAIN, {
      actor,
      action,
      targetKind: "key",
      targetId: publicKeySha256,
      outcome: "done",
      details: { reason },
    });
  return {
    list: () =>
      db.platform(async (tx) => {
        const rows = await tx
          .selectFrom("compromised_keys")
          .selectAll()
          .orderBy("added_at", "desc")
          .limit(LIMITS.pageSize)
          .execute();
        return rows.map((row) => ({
          publicKeySha256: row.public_key_sha256,
          reason: row.reason,
          addedBy: row.added_by,
          addedAt: row.added_at,
        }));
      }),
    async add(pem, reason, actor) {
      const publicKeySha256 = keyHashOf(pem);
      const addedAt = new Date(clock.now());
      await db.platform(async (tx) => {
        const added = await tx
          .insertInto("compromised_keys")
          .values({
            public_key_sha256: publicKeySha256,
            reason,
            added_by: actor.name,
            added_at: addedAt,
          })
          .onConflict((conflict) => conflict.doNothing())
          .returning("public_key_sha256")
          .executeTakeFirst();
        if (!added) throw new AppError("already-exists", "this key is listed already");
        await record(tx, actor, "key.compromise", publicKeySha256, reason);
      });
      return { publicKeySha256, reason, addedBy: actor.name, addedAt };
    },
    remove: (publicKeySha256, actor) =>
      db.platform(async (tx) => {
        const row = await tx
          .deleteFrom("compromised_keys")
          .where("public_key_sha256", "=", publicKeySha256)
          .returning("reason")
          .executeTakeFirst();
        if (!row) throw new AppError("not-found", "there is no such key in the list");
        await record(tx, actor, "key.clear", publicKeySha256, row.reason);
      }),
  };
}

/** Whether a key is listed; within any transaction, a tenant's too. */
export async function isCompromised(tx: Tx, publicKeySha256: string): Promise<boolean> {
  const row = await tx
    .selectFrom("compromised_keys")
    .select("public_key_sha256")
    .where("public_key_sha256", "=", publicKeySha256)
    .executeTakeFirst();
  return row !== undefined;
}

function keyHashOf(pem: string): string {
  try {
    const key = pem.includes("BEGIN CERTIFICATE-----")
      ? new X509Certificate(pem).publicKey
      : createPublicKey(pem);
    const spki = key.export({ type: "spki", format: "der" });
    return createHash("sha256").update(spki).digest("hex");
  } catch (cause) {
    const message = "it is neither a public key nor a certificate in PEM";
    throw new AppError("invalid-content", message, {}, { cause });
  }
}
