import type { Tx } from "../db/index.ts";

/** Keeps the secret of a slot unless another process was quicker. */
export async function addSecret(
  tx: Tx,
  secret: { slot: number; sealed: Buffer; createdAt: Date },
): Promise<void> {
  await tx
    .insertInto("tls_ticket_keys")
    .values({ slot: secret.slot, secret_sealed: secret.sealed, created_at: secret.createdAt })
    .onConflict((conflict) => conflict.column("slot").doNothing())
    .execute();
}

export async function secretsFrom(tx: Tx, slot: number) {
  return tx
    .selectFrom("tls_ticket_keys")
    .select(["slot", "secret_sealed as sealed"])
    .where("slot", ">=", slot)
    .orderBy("slot")
    .limit(10)
    .execute();
}

export async function forgetSecretsBefore(tx: Tx, slot: number): Promise<void> {
  await tx.deleteFrom("tls_ticket_keys").where("slot", "<", slot).execute();
}
