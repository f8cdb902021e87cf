import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

export type StandingKind =
  | "revoked"
  | "restored"
  | "quarantined"
  | "released"
  | "suspended"
  | "resumed"
  /** Of an application's certificate, named by `serial`; it is no device's. */
  | "application";

/** Whose standing has changed: a tenant's, a device's, or that of one certificate. */
export interface StandingChange {
  kind: StandingKind;
  tenantId: string;
  /** Absent: every device of the tenant. */
  deviceId?: string;
  /** Lower-case hex; absent: every certificate of the device. */
  serial?: string;
}

export interface StandingRow extends StandingChange {
  seq: number;
  /** Number of the transaction that made the change, as text. */
  xact: string;
}

/** Every transaction below it has ended: what they changed can be seen. */
export async function standingHorizon(tx: Tx): Promise<string> {
  const { rows } = await sql<{ horizon: string }>`
    select pg_snapshot_xmin(pg_current_snapshot())::text as horizon`.execute(tx);
  return rows[0]?.horizon ?? "0";
}

/** Changes by transactions from `since` on, beyond `after`, in their order. */
export async function changesSince(
  tx: Tx,
  since: string,
  after: { xact: string; seq: number },
  limit: number,
): Promise<StandingRow[]> {
  const { rows } = await sql<{
    tenant_id: string;
    seq: number;
    xact: string;
    kind: StandingKind;
    device_id: string | null;
    serial: string | null;
  }>`
    select tenant_id, seq, xact::text as xact, kind, device_id, serial
    from vautn.standing_changes_since(${since}::xid8, ${after.xact}::xid8, ${after.seq}, ${limit})
  `.execute(tx);
  return rows.map((row) => ({
    seq: row.seq,
    xact: row.xact,
    kind: row.kind,
    tenantId: row.tenant_id,
    ...(row.device_id === null ? {} : { deviceId: row.device_id }),
    ...(row.serial === null ? {} : { serial: row.serial }),
  }));
}

export async function forgetChangesBefore(tx: Tx, before: Date): Promise<number> {
  const { rows } = await sql<{ gone: number }>`
    select vautn.forget_standing_changes(${before}) as gone`.execute(tx);
  return rows[0]?.gone ?? 0;
}

export async function forgetRemovedBefore(tx: Tx, before: Date): Promise<number> {
  const { rows } = await sql<{ gone: number }>`
    select vautn.forget_removed_certificates(${before}) as gone`.execute(tx);
  return rows[0]?.gone ?? 0;
}
