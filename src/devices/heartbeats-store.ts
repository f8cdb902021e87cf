import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { storableJson, storableText } from "../kernel/storable.ts";
import { MAX_DROPS } from "./health.ts";
import { fadedDrops } from "./link-drops.ts";
import { JITTER_FACTOR, LATE_AFTER_INTERVALS } from "./presence.ts";
import { intervalColumns, ruleSource } from "./presence-rules-store.ts";
import type { HeartbeatRecord, PresenceRules } from "./types.ts";
import { versionSortKey } from "./version-order.ts";

const VERSION_LENGTH = 64;
const HASH = /^[0-9a-f]{64}$/;

/**
 * The heartbeat that counts for each device of a batch: the last in order of arrival, without those
 * that are older, by sequence, than one of the same boot that came before them.
 */
export function latestHeartbeats(batch: readonly HeartbeatRecord[]): HeartbeatRecord[] {
  const latest = new Map<string, HeartbeatRecord>();
  for (const record of batch) {
    const earlier = latest.get(record.deviceId);
    const stale =
      earlier?.heartbeat.bootId === record.heartbeat.bootId &&
      record.heartbeat.seq <= earlier.heartbeat.seq;
    if (!stale) latest.set(record.deviceId, earlier ? withChainOf(earlier, record) : record);
  }
  return [...latest.values()];
}

/** The boot chain is told once a connection: a later heartbeat of the same boot does not undo it. */
function withChainOf(earlier: HeartbeatRecord, later: HeartbeatRecord): HeartbeatRecord {
  const { bootChain, bootId } = earlier.heartbeat;
  if (!bootChain || later.heartbeat.bootChain || bootId !== later.heartbeat.bootId) return later;
  return { ...later, heartbeat: { ...later.heartbeat, bootChain } };
}

/**
 * Writes one heartbeat per device in one statement. A heartbeat that is older than what is stored
 * of the same boot changes nothing. Returns the devices whose presence or firmware is another now.
 */
export async function storeHeartbeats(
  tx: Tx,
  records: readonly HeartbeatRecord[],
  rules: PresenceRules,
): Promise<{ deviceId: string; presence: "online" }[]> {
  const rows = records.map(rowOf);
  const column = <T>(read: (row: ReturnType<typeof rowOf>) => T) => rows.map(read);
  const received = records.map((record) => new Date(record.receivedAt));
  const { rows: changed } = await sql<{ deviceId: string; presence: "online" }>`
    with heard as (
      select b.*, s.presence as old_presence, s.firmware_sha256 as old_firmware,
             s.firmware_version as old_version, s.asleep_until as old_sleep,
             ${intervalColumns(rules)},
             case when s.boot_id = b.boot_id and s.asleep_until is null
                  then extract(epoch from b.received_at - s.last_heartbeat_at)::float8 end as gap,
             s.heartbeat_jitter_ms as jitter_ms,
             case when s.presence = 'offline'
                  then least(${fadedDrops(sql`b.received_at`)} + 1, ${MAX_DROPS})
                  else s.link_drops end as drops
      from unnest(
        ${column((row) => row.deviceId)}::text[], ${received}::timestamptz[],
        ${column((row) => row.seq)}::bigint[],
        ${column((row) => row.bootId)}::text[],
        ${column((row) => row.uptimeSeconds)}::double precision[],
        ${column((row) => row.version)}::text[], ${column((row) => row.versionKey)}::text[],
        ${column((row) => row.sha256)}::text[], ${column((row) => row.slot)}::text[],
        ${column((row) => row.otherVersion)}::text[], ${column((row) => row.otherSha256)}::text[],
        ${column((row) => row.formats)}::text[], ${column((row) => row.metrics)}::text[],
        ${column((row) => row.bootChain)}::text[], ${column((row) => row.sleepSeconds)}::integer[],
        ${records.map(({ receivedAt, heartbeat }) => Math.round(receivedAt - heartbeat.ts))}::bigint[]
      ) as b(device_id, received_at, seq, boot_id, uptime_seconds, version,
             version_key, sha256, slot, other_version, other_sha256, formats, metrics, boot_chain,
             sleep_seconds, clock_offset_ms)
      join device_states s using (device_id) ${ruleSource(rules)}
      where s.boot_id is distinct from b.boot_id or s.heartbeat_seq < b.seq
      order by s.device_id
      for update of s
    ), measured as (
      -- RFC 3550 §6.4.1: each delay moves the estimate by a sixteenth. A gap says nothing of the line
      -- when heartbeats are missing in it.
      select h.*, case when gap <= 2 * interval_seconds
        then jitter_ms + (greatest(gap - interval_seconds, 0) * 1000 - jitter_ms) / 16
        else jitter_ms end as new_jitter_ms
      from heard h
    ), fresh as (
      select m.*, received_at + make_interval(secs => coalesce(sleep_seconds, 0) + least(
        interval_seconds + greatest(${LATE_AFTER_INTERVALS - 1} * interval_seconds,
                                    ${JITTER_FACTOR} * new_jitter_ms / 1000),
        greatest(missed, ${LATE_AFTER_INTERVALS}) * interval_seconds)) as deadline_at
      from measured m
    ), written as (
      update device_states s set
        presence = 'online',
        presence_changed_at = case when s.presence = 'online' then s.presence_changed_at
                                   else f.received_at end,
        presence_deadline_at = f.deadline_at,
        heartbeat_jitter_ms = f.new_jitter_ms,
        asleep_until = f.received_at + make_interval(secs => f.sleep_seconds),
        link_drops = f.drops,
        link_drops_at = case when f.old_presence = 'offline' then f.received_at
                             else s.link_drops_at end,
        -- Who is heard as always needs no second look.
        health_due_at = case
          when f.old_presence <> 'online' or f.sleep_seconds is not null or f.old_sleep is not null
          then least(s.health_due_at, f.received_at) else s.health_due_at end,
        last_seen_at = greatest(s.last_seen_at, f.received_at),
        last_heartbeat_at = f.received_at,
        heartbeat_seq = f.seq,
        boot_id = f.boot_id,
        booted_at = case when s.boot_id = f.boot_id then s.booted_at
                         else f.received_at - make_interval(secs => f.uptime_seconds) end,
        uptime_seconds = f.uptime_seconds,
        firmware_version = f.version,
        firmware_version_key = f.version_key,
        firmware_sha256 = f.sha256,
        slot = f.slot,
        other_slot_version = f.other_version,
        other_slot_sha256 = f.other_sha256,
        formats = coalesce(string_to_array(f.formats, ','), s.formats),
        metrics = f.metrics::jsonb,
        -- A wrong clock keeps its offset while it stays within half a minute of it: what is sent
        -- again gets the same time again. Near right, it follows slowly.
        clock_offset_ms = case
          when abs(s.clock_offset_ms - f.clock_offset_ms) > 30000 or s.clock_offset_ms is null
            then f.clock_offset_ms
          when abs(f.clock_offset_ms) > 120000 then s.clock_offset_ms
          else s.clock_offset_ms + (f.clock_offset_ms - s.clock_offset_ms) / 4 end,
        -- Another boot has verified anew, or not at all.
        boot_chain = coalesce(f.boot_chain::jsonb,
                              case when s.boot_id = f.boot_id then s.boot_chain end)
      from fresh f
      where s.device_id = f.device_id
    ), told as (
      insert into device_timeline (tenant_id, device_id, at, kind, details)
      select vautn.current_tenant(), device_id, received_at, 'firmware',
             jsonb_build_object('from', old_version, 'to', version, 'sha256', sha256, 'slot', slot)
      from fresh where old_firmware is distinct from sha256
    )
    select device_id as "deviceId", 'online' as presence from fresh
    where old_presence <> 'online' or old_firmware is distinct from sha256`.execute(tx);
  return changed;
}

/** A century: beyond it an uptime is nonsense, and would not fit an interval. */
const MAX_UPTIME_SECONDS = 3_155_760_000;

function rowOf({ deviceId, heartbeat }: HeartbeatRecord) {
  const { firmware, otherSlot } = heartbeat;
  const other = otherSlot && HASH.test(otherSlot.hash) ? otherSlot : null;
  return {
    deviceId,
    seq: Math.min(heartbeat.seq, Number.MAX_SAFE_INTEGER),
    bootId: storableText(heartbeat.bootId),
    uptimeSeconds: Math.min(heartbeat.uptimeSeconds, MAX_UPTIME_SECONDS),
    version: storableText(firmware.version, VERSION_LENGTH),
    versionKey: versionSortKey(firmware.version),
    sha256: firmware.hash,
    slot: storableText(firmware.slot),
    otherVersion: other ? storableText(other.version, VERSION_LENGTH) : null,
    otherSha256: other?.hash ?? null,
    formats: heartbeat.formats
      ? heartbeat.formats.map((format) => storableText(format).replaceAll(",", "")).join(",")
      : null,
    metrics: storableJson(heartbeat.metrics ?? {}),
    bootChain: heartbeat.bootChain ? storableJson(heartbeat.bootChain) : null,
    sleepSeconds: heartbeat.sleepSeconds ?? null,
  };
}
