import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { LIMITS } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { storableJson, storableText } from "../kernel/storable.ts";
import { BEFORE_BOOT_MS, type CrashReport, matchCrashes, POST_MORTEM_MS } from "./crash-reports.ts";
import { crashSignature } from "./crash-signature.ts";
import { setHealthDue } from "./device-health-store.ts";
import type { Incident, IncidentKind, UncountedIncident } from "./types.ts";

const KEY_LENGTH = 256;
const HOUR_MS = 3_600_000;
/**
 * Incidents of one device that are kept within an hour. The gate counts one a day, so that nothing
 * is lost by it, and no device can fill the table or keep the gate busy.
 */
export const MAX_PER_DEVICE_HOUR = 60;
/** Known crashes that a batch is compared with. */
const MAX_KNOWN = 10_000;

const surplus = counter(
  "vautn_incidents_surplus_total",
  "Incidents left out: too many of a device",
);

interface Row extends CrashReport {
  incident: Incident;
  kind: IncidentKind;
}

/**
 * Records a tenant's incidents and returns those that were not known before; two reports of one
 * crash are one incident. A device without a believable clock has its incident dated by ours.
 */
export async function storeIncidents(
  tx: Tx,
  tenantId: string,
  incidents: readonly Incident[],
  nowMs: number,
): Promise<Incident[]> {
  const rows = incidents.map((incident) => rowOf(incident, nowMs));
  const fresh = rows.filter((row) => row.kind !== "crash");
  const crashes = rows.filter((row) => row.kind === "crash");
  if (crashes.length > 0) {
    const matched = matchCrashes(await knownCrashes(tx, tenantId, crashes), crashes);
    await pairCrashes(tx, tenantId, matched.paired);
    fresh.push(...matched.fresh);
  }
  const inserted = await insertIncidents(tx, tenantId, await withinBounds(tx, fresh, nowMs), nowMs);
  await dueForHealth(tx, inserted, nowMs);
  const isNew = new Set(inserted.map((row) => `${row.device_id}\n${row.kind}\n${row.key}`));
  return fresh
    .filter((row) => isNew.delete(`${row.deviceId}\n${row.kind}\n${row.key}`))
    .map((row) => ({ ...row.incident, key: row.key, occurredAt: row.occurredAt }));
}

function rowOf(incident: Incident, nowMs: number): Row {
  return {
    incident,
    kind: incident.kind,
    deviceId: incident.deviceId,
    key: storableText(incident.key, KEY_LENGTH),
    bootId: incident.bootId ? storableText(incident.bootId) : null,
    toldByBoot: incident.toldByBoot ?? false,
    occurredAt: believable(incident.occurredAt, nowMs),
    alsoKey: null,
  };
}

function believable(occurredAtMs: number, nowMs: number): number {
  return occurredAtMs >= LIMITS.oldestTimestampMs && occurredAtMs <= nowMs ? occurredAtMs : nowMs;
}

async function knownCrashes(
  tx: Tx,
  tenantId: string,
  crashes: readonly Row[],
): Promise<CrashReport[]> {
  const times = crashes.map((crash) => crash.occurredAt);
  const keys = crashes.map((crash) => crash.key);
  const { rows } = await sql<{
    device_id: string;
    key: string;
    boot_id: string | null;
    told_by_boot: boolean;
    occurred_at: Date;
    also_key: string | null;
  }>`
    select device_id, key, boot_id, told_by_boot, occurred_at, also_key from device_incidents
    where tenant_id = ${tenantId} and kind = 'crash'
      and device_id = any(${[...new Set(crashes.map((crash) => crash.deviceId))]}::text[])
      and (occurred_at between ${new Date(Math.min(...times) - BEFORE_BOOT_MS)}
                           and ${new Date(Math.max(...times) + BEFORE_BOOT_MS + POST_MORTEM_MS)}
           or also_key = any(${keys}::text[]))
    order by occurred_at desc limit ${MAX_KNOWN}`.execute(tx);
  return rows.map((row) => ({
    deviceId: row.device_id,
    key: row.key,
    bootId: row.boot_id,
    toldByBoot: row.told_by_boot,
    occurredAt: row.occurred_at.getTime(),
    alsoKey: row.also_key,
  }));
}

async function pairCrashes(
  tx: Tx,
  tenantId: string,
  paired: readonly { deviceId: string; key: string; alsoKey: string }[],
): Promise<void> {
  if (paired.length === 0) return;
  await sql`
    update device_incidents i set also_key = p.also_key
    from unnest(
      ${paired.map((row) => row.deviceId)}::text[], ${paired.map((row) => row.key)}::text[],
      ${paired.map((row) => row.alsoKey)}::text[]
    ) as p(device_id, key, also_key)
    where i.tenant_id = ${tenantId} and i.device_id = p.device_id and i.kind = 'crash'
      and i.key = p.key`.execute(tx);
}

/** Leaves out what goes beyond a device's share of the hour. */
async function withinBounds(tx: Tx, rows: readonly Row[], nowMs: number): Promise<Row[]> {
  if (rows.length === 0) return [];
  const { rows: counts } = await sql<{ device_id: string; kept: number }>`
    select device_id, count(*) as kept from device_incidents
    where device_id = any(${[...new Set(rows.map((row) => row.deviceId))]}::text[])
      and received_at > ${new Date(nowMs - HOUR_MS)}
    group by device_id`.execute(tx);
  const kept = new Map(counts.map((row) => [row.device_id, row.kept]));
  return rows.filter(({ deviceId }) => {
    const count = (kept.get(deviceId) ?? 0) + 1;
    if (count > MAX_PER_DEVICE_HOUR) {
      surplus.inc();
      return false;
    }
    kept.set(deviceId, count);
    return true;
  });
}

async function insertIncidents(tx: Tx, tenantId: string, rows: readonly Row[], nowMs: number) {
  if (rows.length === 0) return [];
  const { rows: inserted } = await sql<{ device_id: string; kind: string; key: string }>`
    insert into device_incidents
      (tenant_id, device_id, kind, key, occurred_at, received_at, firmware_sha256, details,
       boot_id, told_by_boot, also_key, signature)
    select ${tenantId}, i.device_id, i.kind, i.key, i.occurred_at, ${new Date(nowMs)},
           i.firmware_sha256, i.details::jsonb, i.boot_id, i.told_by_boot, i.also_key, i.signature
    from unnest(
      ${rows.map((row) => row.deviceId)}::text[], ${rows.map((row) => row.kind)}::text[],
      ${rows.map((row) => row.key)}::text[],
      ${rows.map((row) => new Date(row.occurredAt))}::timestamptz[],
      ${rows.map((row) => row.incident.firmwareSha256)}::text[],
      ${rows.map((row) => storableJson(row.incident.details))}::text[],
      ${rows.map((row) => row.bootId)}::text[], ${rows.map((row) => row.toldByBoot)}::boolean[],
      ${rows.map((row) => row.alsoKey)}::text[],
      ${rows.map((row) => crashSignature(row.kind, row.incident.details))}::text[]
    ) as i(device_id, kind, key, occurred_at, firmware_sha256, details, boot_id, told_by_boot,
           also_key, signature)
    join devices d on d.id = i.device_id
    on conflict (tenant_id, device_id, kind, key) do nothing
    returning device_id, kind, key`.execute(tx);
  return inserted;
}

/** An incident changes what is thought of a device; its silence does so by another way. */
async function dueForHealth(
  tx: Tx,
  inserted: readonly { device_id: string; kind: string }[],
  nowMs: number,
): Promise<void> {
  const ids = new Set(inserted.filter((row) => row.kind !== "silence").map((row) => row.device_id));
  if (ids.size > 0) await setHealthDue(tx, [...ids], new Date(nowMs));
}

/**
 * Takes incidents that no rollout has counted yet, oldest first, and marks them: whoever calls this
 * counts them in the same transaction. Those that another transaction holds are passed over.
 */
export async function takeUncounted(
  tx: Tx,
  tenantId: string,
  nowMs: number,
  limit: number,
): Promise<UncountedIncident[]> {
  const { rows } = await sql<{
    device_id: string;
    kind: IncidentKind;
    occurred_at: Date;
    received_at: Date;
    firmware_sha256: string | null;
  }>`
    with open as (
      select device_id, kind, key from device_incidents
      where tenant_id = ${tenantId} and counted_at is null
      order by received_at limit ${limit} for update skip locked)
    update device_incidents i set counted_at = ${new Date(nowMs)}
    from open o
    where i.tenant_id = ${tenantId} and i.device_id = o.device_id and i.kind = o.kind
      and i.key = o.key
    returning i.device_id, i.kind, i.occurred_at, i.received_at, i.firmware_sha256`.execute(tx);
  return rows.map((row) => ({
    deviceId: row.device_id,
    kind: row.kind,
    occurredAt: row.occurred_at.getTime(),
    receivedAt: row.received_at.getTime(),
    firmwareSha256: row.firmware_sha256,
  }));
}

/** Deletes what is older than `before`; returns how many there were, `limit` at most. */
export async function deleteOldIncidents(
  tx: Tx,
  tenantId: string,
  before: Date,
  limit: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from device_incidents where tenant_id = ${tenantId} and ctid = any(array(
      select ctid from device_incidents
      where tenant_id = ${tenantId} and received_at <= ${before} and counted_at is not null
      limit ${limit}))`.execute(tx);
  return Number(numAffectedRows ?? 0);
}
