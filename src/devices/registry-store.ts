import { type RawBuilder, sql } from "kysely";
import { isUniqueViolation, type Tx } from "../db/index.ts";
import { AppError, LIMITS } from "../kernel/index.ts";
import { storableJson, storableText } from "../kernel/storable.ts";
import { type FleetQuery, fleetCondition } from "./fleet-query.ts";
import type { DevicePatch, DeviceView, FleetMember, NewDevice } from "./types.ts";

const VIEW_COLUMNS = sql`d.id, d.product, d.hardware_revision, d.region, d.tags, d.status,
  d.created_at, s.presence, s.presence_changed_at, s.last_seen_at, s.connected, s.firmware_version,
  s.firmware_sha256, s.slot, s.other_slot_version, s.other_slot_sha256, s.formats, s.boot_id,
  s.uptime_seconds, s.metrics, s.boot_chain, s.health, s.health_reasons, s.health_changed_at,
  s.asleep_until, s.clock_offset_ms`;

const FROM_DEVICES = sql`from devices d
  join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.id`;

/** Orders of a list: what is compared, and its type. Each is made total by the device's id. */
const SORTS = {
  id: { expression: sql`d.id`, type: sql`text` },
  lastSeen: { expression: sql`coalesce(s.last_seen_at, '-infinity')`, type: sql`timestamptz` },
  "firmware.version": {
    expression: sql`coalesce(s.firmware_version_key, '') collate "C"`,
    type: sql`text`,
  },
  presence: { expression: sql`s.presence`, type: sql`text` },
  product: { expression: sql`d.product`, type: sql`text` },
  region: { expression: sql`d.region`, type: sql`text` },
} as const;

interface ViewRow {
  id: string;
  product: string;
  hardware_revision: string;
  region: string;
  tags: Record<string, string>;
  status: DeviceView["status"];
  created_at: Date;
  presence: DeviceView["presence"];
  presence_changed_at: Date | null;
  last_seen_at: Date | null;
  connected: boolean;
  firmware_version: string | null;
  firmware_sha256: string | null;
  slot: string | null;
  other_slot_version: string | null;
  other_slot_sha256: string | null;
  formats: string[];
  boot_id: string | null;
  uptime_seconds: number | null;
  metrics: Record<string, number>;
  boot_chain: DeviceView["bootChain"];
  health: DeviceView["health"];
  health_reasons: DeviceView["healthReasons"];
  health_changed_at: Date | null;
  asleep_until: Date | null;
  clock_offset_ms: string | null;
}

export async function insertDevice(
  tx: Tx,
  tenantId: string,
  device: NewDevice,
  now: Date,
): Promise<void> {
  try {
    await tx
      .insertInto("devices")
      .values({
        tenant_id: tenantId,
        id: device.id,
        product: device.product,
        hardware_revision: device.hardwareRevision,
        region: device.region ?? "",
        tags: storableJson(device.tags ?? {}),
        created_at: now,
      })
      .execute();
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new AppError(
      "already-exists",
      `device ${device.id} exists already`,
      {},
      { cause: error },
    );
  }
}

export async function countDevices(tx: Tx): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) from devices`.execute(tx);
  return rows[0]?.count ?? 0;
}

export async function findDevice(tx: Tx, deviceId: string): Promise<DeviceView | undefined> {
  const { rows } = await sql<ViewRow>`
    select ${VIEW_COLUMNS} ${FROM_DEVICES} where d.id = ${deviceId}`.execute(tx);
  return rows[0] && viewOf(rows[0]);
}

/** The same, locked until the transaction ends; its heartbeats are not held up. */
export async function lockDevice(tx: Tx, deviceId: string): Promise<DeviceView | undefined> {
  const { rows } = await sql<ViewRow>`
    select ${VIEW_COLUMNS} ${FROM_DEVICES} where d.id = ${deviceId} for no key update of d`.execute(
    tx,
  );
  return rows[0] && viewOf(rows[0]);
}

/** False when there is no such device. */
export async function updateDevice(tx: Tx, deviceId: string, patch: DevicePatch): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("devices")
    .set({
      ...(patch.tags ? { tags: storableJson(patch.tags) } : {}),
      ...(patch.region === undefined ? {} : { region: patch.region }),
      ...(patch.status === undefined ? {} : { status: patch.status }),
    })
    .where("id", "=", deviceId)
    .where("status", "<>", "revoked")
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** False when there is no such device. Its certificates, commands and incidents go with it. */
export async function deleteDevice(tx: Tx, deviceId: string): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom("devices")
    .where("id", "=", deviceId)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

export interface DevicePage {
  items: DeviceView[];
  nextCursor: string | null;
}

/** One page; `sort` is a key of SORTS, with a leading `-` for descending. */
export async function listDevices(
  tx: Tx,
  options: {
    query: FleetQuery;
    sort: string;
    cursor: string | undefined;
    limit: number;
    nowMs: number;
  },
): Promise<DevicePage> {
  const { sort, limit } = options;
  const name = sort.replace(/^-/, "");
  if (!Object.hasOwn(SORTS, name)) {
    throw new AppError("invalid-request", `cannot sort by "${name}"`, {
      allowed: Object.keys(SORTS),
    });
  }
  const { expression, type } = SORTS[name as keyof typeof SORTS];
  const descending = sort.startsWith("-");
  const after = options.cursor === undefined ? undefined : readCursor(options.cursor, sort);
  const direction = descending ? sql`desc` : sql`asc`;
  const beyond: RawBuilder<unknown> = after
    ? sql`and (${expression}, d.id) ${descending ? sql`<` : sql`>`}
          (${after.key}::${type}, ${after.id})`
    : sql``;
  const size = Math.min(Math.max(1, limit), LIMITS.pageSize);
  const { rows } = await sql<ViewRow & { sort_key: string }>`
    select ${VIEW_COLUMNS}, (${expression})::text as sort_key ${FROM_DEVICES}
    where ${fleetCondition(options.query, options.nowMs)} ${beyond}
    order by ${expression} ${direction}, d.id ${direction} limit ${size + 1}`.execute(tx);
  const page = rows.slice(0, size);
  const last = rows.length > size ? page.at(-1) : undefined;
  return {
    items: page.map(viewOf),
    nextCursor: last ? writeCursor(sort, last.sort_key, last.id) : null,
  };
}

/** Ids of devices that match, in no order. */
export async function memberIds(
  tx: Tx,
  query: FleetQuery,
  nowMs: number,
  limit: number,
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select d.id ${FROM_DEVICES} where ${fleetCondition(query, nowMs)} limit ${limit}`.execute(tx);
  return rows.map(({ id }) => id);
}

export interface MemberBounds {
  /** Only these, as far as they match. */
  ids?: readonly string[] | undefined;
  limit?: number;
}

/** Every device that matches, by id: what a rollout is planned from. */
export async function findMembers(
  tx: Tx,
  query: FleetQuery,
  nowMs: number,
  { ids, limit }: MemberBounds = {},
): Promise<FleetMember[]> {
  const listed = ids ? sql`and d.id = any(${[...ids]}::text[])` : sql``;
  const bound = limit === undefined ? sql`` : sql`limit ${limit}`;
  const { rows } = await sql<FleetMember>`
    select d.id, d.product, d.hardware_revision, d.region, d.tags, d.status, s.presence,
           s.connected, s.firmware_version, s.firmware_sha256, s.other_slot_version,
           s.other_slot_sha256, s.formats, s.secure_boot, s.last_seen_at
    ${FROM_DEVICES} where ${fleetCondition(query, nowMs)} ${listed}
    order by d.id ${bound}`.execute(tx);
  return rows;
}

function viewOf(row: ViewRow): DeviceView {
  return {
    id: row.id,
    product: row.product,
    hardwareRevision: row.hardware_revision,
    region: row.region,
    tags: row.tags,
    status: row.status,
    presence: row.presence,
    presenceChangedAt: row.presence_changed_at?.toISOString() ?? null,
    health: row.health,
    healthReasons: row.health_reasons,
    healthChangedAt: row.health_changed_at?.toISOString() ?? null,
    asleepUntil: row.asleep_until?.toISOString() ?? null,
    lastSeenAt: row.last_seen_at?.toISOString() ?? null,
    connected: row.connected,
    firmware:
      row.firmware_version !== null && row.firmware_sha256 !== null
        ? { version: row.firmware_version, sha256: row.firmware_sha256, slot: row.slot ?? "" }
        : null,
    otherSlot:
      row.other_slot_version !== null && row.other_slot_sha256 !== null
        ? { version: row.other_slot_version, sha256: row.other_slot_sha256 }
        : null,
    formats: row.formats,
    bootId: row.boot_id,
    uptimeSeconds: row.uptime_seconds,
    metrics: row.metrics,
    bootChain: row.boot_chain,
    clockOffsetMs: row.clock_offset_ms === null ? null : Number(row.clock_offset_ms),
    createdAt: row.created_at.toISOString(),
  };
}

function writeCursor(sort: string, key: string, id: string): string {
  return Buffer.from(JSON.stringify([sort, key, id])).toString("base64url");
}

/** What a cursor says is checked: anyone can make one. */
function readCursor(cursor: string, sort: string): { key: string; id: string } {
  const refused = new AppError("invalid-cursor", "the cursor belongs to no page of this list");
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(cursor, "base64url").toString());
  } catch {
    throw refused;
  }
  const [kind, key, id] = Array.isArray(parts) ? parts : [];
  if (kind !== sort || !isStorable(key) || !isStorable(id)) throw refused;
  if (!sort.endsWith("lastSeen") || key === "-infinity") return { key, id };
  const moment = Date.parse(key);
  if (!(moment >= 0 && moment <= MAX_MOMENT_MS)) throw refused;
  return { key: new Date(moment).toISOString(), id };
}

/** The end of the year 9999: later ones are written in a form that PostgreSQL does not read. */
const MAX_MOMENT_MS = 253_402_300_799_999;

function isStorable(value: unknown): value is string {
  return typeof value === "string" && storableText(value) === value;
}
