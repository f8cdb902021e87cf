import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { PolicyRow } from "./policy.ts";

export type ClaimKind = "token" | "shared-secret" | "certificate";

export interface ClaimRow extends PolicyRow {
  id: string;
  kind: ClaimKind;
  name: string;
  device_pattern: string;
  product: string;
  hardware_revision: string;
  region: string;
  tags: Record<string, string>;
  max_uses: number;
  used_count: number;
  created_by: string;
  created_at: Date;
  expires_at: Date;
  revoked_at: Date | null;
  secret_sealed: Buffer | null;
  certificate_pem: string | null;
  authority_id: string | null;
}

/** By what a claim is found: the hash of its token or certificate, or its id once that is proved. */
export type ClaimProof = { hash: Buffer } | { id: string };

const COLUMNS = [
  "id",
  "kind",
  "name",
  "device_pattern",
  "product",
  "hardware_revision",
  "region",
  "tags",
  "max_uses",
  "used_count",
  "created_by",
  "created_at",
  "expires_at",
  "revoked_at",
  "approval",
  "webhook_url",
  "webhook_secret_sealed",
  "webhook_on_failure",
  "secret_sealed",
  "certificate_pem",
  "authority_id",
] as const;

export async function insertClaim(
  tx: Tx,
  tenantId: string,
  row: ClaimRow & { token_hash: Buffer },
): Promise<void> {
  await tx
    .insertInto("claim_tokens")
    .values({ tenant_id: tenantId, ...row, tags: JSON.stringify(row.tags) })
    .execute();
}

export function listClaims(tx: Tx, tenantId: string, limit: number): Promise<ClaimRow[]> {
  return tx
    .selectFrom("claim_tokens")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .orderBy("created_at", "desc")
    .limit(limit)
    .execute() as Promise<ClaimRow[]>;
}

function claimBy(tx: Tx, tenantId: string, proof: ClaimProof) {
  const query = tx.selectFrom("claim_tokens").select(COLUMNS).where("tenant_id", "=", tenantId);
  return "id" in proof
    ? query.where("id", "=", proof.id)
    : query.where("token_hash", "=", proof.hash);
}

export function findClaim(
  tx: Tx,
  tenantId: string,
  proof: ClaimProof,
): Promise<ClaimRow | undefined> {
  return claimBy(tx, tenantId, proof).executeTakeFirst() as Promise<ClaimRow | undefined>;
}

/** The claim with its row locked, so that uses are counted one after the other. */
export function lockClaim(
  tx: Tx,
  tenantId: string,
  proof: ClaimProof,
): Promise<ClaimRow | undefined> {
  const query = claimBy(tx, tenantId, proof).forUpdate();
  return query.executeTakeFirst() as Promise<ClaimRow | undefined>;
}

/** The claim that every certificate of a registered authority proves. */
export function findClaimOfAuthority(
  tx: Tx,
  tenantId: string,
  authorityId: string,
): Promise<ClaimRow | undefined> {
  return tx
    .selectFrom("claim_tokens")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("authority_id", "=", authorityId)
    .where("revoked_at", "is", null)
    .orderBy("created_at", "desc")
    .limit(1)
    .executeTakeFirst() as Promise<ClaimRow | undefined>;
}

export async function countClaimUse(tx: Tx, tenantId: string, id: string): Promise<void> {
  await tx
    .updateTable("claim_tokens")
    .set({ used_count: sql`used_count + 1` })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

/** SHA-256 of the key with which the device used the claim, or undefined where it did not. */
export async function keyOfUse(
  tx: Tx,
  tenantId: string,
  claimId: string,
  deviceId: string,
): Promise<string | undefined> {
  const row = await tx
    .selectFrom("claim_uses")
    .select("request_key_sha256")
    .where("tenant_id", "=", tenantId)
    .where("claim_id", "=", claimId)
    .where("device_id", "=", deviceId)
    .executeTakeFirst();
  return row?.request_key_sha256;
}

export async function noteClaimUse(
  tx: Tx,
  tenantId: string,
  use: { claim_id: string; device_id: string; request_key_sha256: string; used_at: Date },
): Promise<void> {
  const { request_key_sha256, used_at } = use;
  await tx
    .insertInto("claim_uses")
    .values({ tenant_id: tenantId, ...use })
    .onConflict((conflict) =>
      conflict
        .columns(["tenant_id", "claim_id", "device_id"])
        .doUpdateSet({ request_key_sha256, used_at }),
    )
    .execute();
}

/** The claim's name, or undefined where there is none in use. */
export async function revokeClaim(
  tx: Tx,
  tenantId: string,
  id: string,
  now: Date,
): Promise<string | undefined> {
  const row = await tx
    .updateTable("claim_tokens")
    .set({ revoked_at: now, secret_sealed: null })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .where("revoked_at", "is", null)
    .returning("name")
    .executeTakeFirst();
  return row?.name;
}
