import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { LIMITS } from "../kernel/index.ts";
import { storableJson, storableText } from "../kernel/storable.ts";
import type { Incident } from "./types.ts";

const KEY_LENGTH = 256;

/**
 * Records a tenant's incidents in one statement and returns those that were not known before. A
 * device without a believable clock has its incident dated by ours.
 */
export async function storeIncidents(
  tx: Tx,
  tenantId: string,
  incidents: readonly Incident[],
  nowMs: number,
): Promise<Incident[]> {
  const rows = incidents.map((incident) => ({
    ...incident,
    key: storableText(incident.key, KEY_LENGTH),
    occurredAt: believable(incident.occurredAt, nowMs),
  }));
  const { rows: inserted } = await sql<{ device_id: string; kind: string; key: string }>`
    insert into device_incidents
      (tenant_id, device_id, kind, key, occurred_at, received_at, firmware_sha256, details)
    select ${tenantId}, i.device_id, i.kind, i.key, i.occurred_at, ${new Date(nowMs)},
           i.firmware_sha256, i.details::jsonb
    from unnest(
      ${rows.map((row) => row.deviceId)}::text[], ${rows.map((row) => row.kind)}::text[],
      ${rows.map((row) => row.key)}::text[],
      ${rows.map((row) => new Date(row.occurredAt))}::timestamptz[],
      ${rows.map((row) => row.firmwareSha256)}::text[],
      ${rows.map((row) => storableJson(row.details))}::text[]
    ) as i(device_id, kind, key, occurred_at, firmware_sha256, details)
    join devices d on d.id = i.device_id
    on conflict (tenant_id, device_id, kind, key) do nothing
    returning device_id, kind, key`.execute(tx);
  const isNew = new Set(inserted.map((row) => `${row.device_id}\n${row.kind}\n${row.key}`));
  return rows.filter((row) => isNew.delete(`${row.deviceId}\n${row.kind}\n${row.key}`));
}

function believable(occurredAtMs: number, nowMs: number): number {
  return occurredAtMs >= LIMITS.oldestTimestampMs && occurredAtMs <= nowMs ? occurredAtMs : nowMs;
}
