import { type Selectable, sql } from "kysely";
import type { Schema, Tx } from "../db/index.ts";
import type { UnpackedInfo } from "../delta/index.ts";

export type DeltaRow = Selectable<Schema["deltas"]>;
export type DeltaFormat = DeltaRow["format"];
export type DeltaKey = Pick<DeltaRow, "source_sha256" | "target_sha256" | "format">;

export type DeltaDemand = DeltaKey & Pick<DeltaRow, "devices">;

/** How often a delta is tried before it counts as failed. */
export const MAX_ATTEMPTS = 3;

/** Adds those that are not there, and raises the demand for those that wait; returns how many were new. */
export async function enqueue(
  tx: Tx,
  tenantId: string,
  keys: readonly DeltaDemand[],
  sizes: { targetSizeBytes: number; createdAt: Date },
): Promise<number> {
  if (keys.length === 0) return 0;
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto("deltas")
    .values(
      keys.map((key) => ({
        ...key,
        tenant_id: tenantId,
        status: "queued" as const,
        target_size_bytes: sizes.targetSizeBytes,
        created_at: sizes.createdAt,
      })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  const added = Number(numInsertedOrUpdatedRows ?? 0);
  if (added < keys.length) await raiseDemand(tx, tenantId, keys);
  return added;
}

async function raiseDemand(tx: Tx, tenantId: string, keys: readonly DeltaDemand[]): Promise<void> {
  const demand = JSON.stringify(keys);
  await sql`
    update deltas d set devices = greatest(d.devices, k.devices)
    from jsonb_to_recordset(${demand}::jsonb)
      as k (source_sha256 text, target_sha256 text, format text, devices integer)
    where d.tenant_id = ${tenantId} and d.status = 'queued' and d.devices < k.devices
      and d.source_sha256 = k.source_sha256 and d.target_sha256 = k.target_sha256
      and d.format = k.format`.execute(tx);
}

/** Takes the open delta that most devices wait for; one whose builder has died counts as open. */
export async function claimNext(
  tx: Tx,
  tenantId: string,
  now: Date,
  leaseExpiresAt: Date,
): Promise<DeltaRow | undefined> {
  const open = await tx
    .selectFrom("deltas")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("attempts", "<", MAX_ATTEMPTS)
    .where((where) =>
      where.or([
        where("status", "=", "queued"),
        where.and([where("status", "=", "building"), where("lease_expires_at", "<", now)]),
      ]),
    )
    .orderBy("devices", "desc")
    .orderBy("created_at")
    .orderBy("source_sha256")
    .limit(1)
    .forUpdate()
    .skipLocked()
    .executeTakeFirst();
  if (!open) return undefined;
  const claim = {
    status: "building" as const,
    attempts: open.attempts + 1,
    lease_expires_at: leaseExpiresAt,
    progress: 0,
  };
  await update(tx, tenantId, open, claim);
  return { ...open, ...claim };
}

/** Puts back what is being built; whoever still builds it finds that it is no longer theirs. */
export async function requeueBuilding(tx: Tx, tenantId: string): Promise<void> {
  await tx
    .updateTable("deltas")
    .set({ status: "queued", lease_expires_at: null, progress: null })
    .where("tenant_id", "=", tenantId)
    .where("status", "=", "building")
    .where("attempts", "<", MAX_ATTEMPTS)
    .execute();
}

/** Ends those whose builder died as often as a delta may be tried. */
export async function failAbandoned(tx: Tx, tenantId: string, now: Date): Promise<void> {
  await tx
    .updateTable("deltas")
    .set({ status: "failed", error: "its builder ended each time", finished_at: now })
    .where("tenant_id", "=", tenantId)
    .where("status", "=", "building")
    .where("lease_expires_at", "<", now)
    .where("attempts", ">=", MAX_ATTEMPTS)
    .execute();
}

/** False where someone else has taken the build over. */
export async function renewLease(
  tx: Tx,
  tenantId: string,
  row: DeltaRow,
  leaseExpiresAt: Date,
  progress: number,
): Promise<boolean> {
  return update(tx, tenantId, row, { lease_expires_at: leaseExpiresAt, progress });
}

export async function finish(
  tx: Tx,
  tenantId: string,
  row: DeltaRow,
  result:
    | {
        status: "ready";
        artifact_sha256: string;
        size_bytes: number;
        build_ms: number;
        finished_at: Date;
        requires: string | null;
        unpacked: UnpackedInfo | null;
      }
    | { status: "skipped"; error: string; finished_at: Date }
    | { status: "queued"; error: string; attempts?: number }
    | { status: "failed"; error: string; finished_at: Date },
): Promise<boolean> {
  const error = "error" in result ? result.error : null;
  const unpacked =
    "unpacked" in result && result.unpacked ? { unpacked: JSON.stringify(result.unpacked) } : {};
  const end = { error, lease_expires_at: null, progress: null };
  return update(tx, tenantId, row, { ...result, ...unpacked, ...end });
}

/** Changes the row if this attempt still is the one that builds it. */
async function update(
  tx: Tx,
  tenantId: string,
  row: DeltaRow,
  change: Partial<DeltaRow>,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("deltas")
    .set(change)
    .where("tenant_id", "=", tenantId)
    .where("source_sha256", "=", row.source_sha256)
    .where("target_sha256", "=", row.target_sha256)
    .where("format", "=", row.format)
    .where("status", "=", row.status)
    .where("attempts", "=", row.attempts)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Why a delta of another format between the same images gains nothing, where that was found. */
export async function skippedBecause(
  tx: Tx,
  tenantId: string,
  { source_sha256: source, target_sha256: target, format }: DeltaKey,
): Promise<string | null> {
  const row = await tx
    .selectFrom("deltas")
    .select("error")
    .where("tenant_id", "=", tenantId)
    .where("target_sha256", "=", target)
    .where("source_sha256", "=", source)
    .where("format", "!=", format)
    .where("status", "=", "skipped")
    .executeTakeFirst();
  return row?.error ?? null;
}

export function listDeltas(
  tx: Tx,
  tenantId: string,
  targetSha256: string,
  limit: number,
): Promise<DeltaRow[]> {
  return tx
    .selectFrom("deltas")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("target_sha256", "=", targetSha256)
    .orderBy("devices", "desc")
    .orderBy("source_sha256")
    .orderBy("format")
    .limit(limit)
    .execute();
}

/** What is ready for a device that runs `sourceSha256` (null: nothing known). */
export function readyDeltas(
  tx: Tx,
  tenantId: string,
  targetSha256: string,
  sourceSha256: string | null,
): Promise<DeltaRow[]> {
  return tx
    .selectFrom("deltas")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("target_sha256", "=", targetSha256)
    .where("source_sha256", "in", sourceSha256 === null ? [""] : ["", sourceSha256])
    .where("status", "=", "ready")
    .execute();
}
