import { sql } from "kysely";
import type { Database, Tx } from "../db/index.ts";
import type { DeviceStatus } from "./certificate-store.ts";
import type { PolicyRow } from "./policy.ts";
import type { MappingRule } from "./registered-mapping.ts";

export interface RegisteredRow extends PolicyRow {
  id: string;
  name: string;
  status: "unproved" | "active" | "disabled";
  purpose: "devices" | "claims";
  certificate_pem: string;
  subject: string;
  subject_sha256: string;
  public_key_sha256: string;
  fingerprint: string;
  not_after: Date;
  code: string;
  code_expires_at: Date;
  proved_at: Date | null;
  mapping: MappingRule;
  device_pattern: string;
  product: string;
  hardware_revision: string;
  region: string;
  tags: Record<string, string>;
  max_devices: number;
  device_count: number;
  created_by: string;
  created_at: Date;
}

export async function insertRegistered(
  tx: Tx,
  tenantId: string,
  row: RegisteredRow,
): Promise<void> {
  const { mapping, tags, ...rest } = row;
  await tx
    .insertInto("registered_authorities")
    .values({
      tenant_id: tenantId,
      ...rest,
      mapping: JSON.stringify(mapping),
      tags: JSON.stringify(tags),
    })
    .execute();
}

export function listRegistered(tx: Tx, tenantId: string, limit: number): Promise<RegisteredRow[]> {
  return tx
    .selectFrom("registered_authorities")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .orderBy("created_at", "desc")
    .limit(limit)
    .execute() as Promise<RegisteredRow[]>;
}

export function findRegistered(
  tx: Tx,
  tenantId: string,
  id: string,
  lock = false,
): Promise<RegisteredRow | undefined> {
  const query = tx
    .selectFrom("registered_authorities")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id);
  return (lock ? query.forUpdate() : query).executeTakeFirst() as Promise<
    RegisteredRow | undefined
  >;
}

export async function activateRegistered(
  tx: Tx,
  tenantId: string,
  id: string,
  now: Date,
): Promise<void> {
  await tx
    .updateTable("registered_authorities")
    .set({ status: "active", proved_at: now })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

/** The authority's name, or undefined where there is none that could be disabled. */
export async function disableRegistered(
  tx: Tx,
  tenantId: string,
  id: string,
): Promise<string | undefined> {
  const row = await tx
    .updateTable("registered_authorities")
    .set({ status: "disabled", webhook_secret_sealed: null })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .where("status", "!=", "disabled")
    .returning("name")
    .executeTakeFirst();
  return row?.name;
}

export async function countDevice(tx: Tx, tenantId: string, id: string): Promise<void> {
  await tx
    .updateTable("registered_authorities")
    .set({ device_count: sql`device_count + 1` })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

/** Active authorities of any tenant with this name: only a signature tells whose a certificate is. */
export async function activeNamed(
  db: Database,
  subjectSha256: string,
): Promise<{ tenantId: string; id: string }[]> {
  return db.platform(async (tx) => {
    const { rows } = await sql<{ tenant_id: string; id: string }>`
      select tenant_id, id from vautn.registered_authorities_named(${subjectSha256})`.execute(tx);
    return rows.map((row) => ({ tenantId: row.tenant_id, id: row.id }));
  });
}

/** What is known of a certificate that a registered authority issued, and of its device. */
export interface ForeignStanding {
  status: "active" | "revoked";
  deviceId: string;
  deviceStatus: DeviceStatus;
}

export async function foreignStanding(
  tx: Tx,
  tenantId: string,
  fingerprint: string,
): Promise<ForeignStanding | undefined> {
  const row = await tx
    .selectFrom("registered_certificates as c")
    .innerJoin("devices as d", (join) =>
      join.onRef("d.tenant_id", "=", "c.tenant_id").onRef("d.id", "=", "c.device_id"),
    )
    .select(["c.status", "c.device_id", "d.status as device_status"])
    .where("c.tenant_id", "=", tenantId)
    .where("c.fingerprint", "=", fingerprint)
    .executeTakeFirst();
  return row && { status: row.status, deviceId: row.device_id, deviceStatus: row.device_status };
}

export interface ForeignRow {
  fingerprint: string;
  authority_id: string;
  device_id: string;
  serial: string;
  public_key_sha256: string;
  subject: string;
  not_after: Date;
  first_used_at: Date;
}

export async function insertForeign(tx: Tx, tenantId: string, row: ForeignRow): Promise<void> {
  await tx
    .insertInto("registered_certificates")
    .values({ tenant_id: tenantId, ...row })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** Authorities whose certificates a device has come with, one entry for each certificate. */
export async function authoritiesOfDevice(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  limit: number,
): Promise<string[]> {
  const rows = await tx
    .selectFrom("registered_certificates")
    .select("authority_id")
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .limit(limit)
    .execute();
  return rows.map((row) => row.authority_id);
}

/** Devices of an authority above `afterDeviceId`, in order. */
export async function devicesOf(
  tx: Tx,
  tenantId: string,
  authorityId: string,
  afterDeviceId: string,
  limit: number,
): Promise<string[]> {
  const rows = await tx
    .selectFrom("registered_certificates")
    .select("device_id")
    .distinct()
    .where("tenant_id", "=", tenantId)
    .where("authority_id", "=", authorityId)
    .where("device_id", ">", afterDeviceId)
    .orderBy("device_id")
    .limit(limit)
    .execute();
  return rows.map((row) => row.device_id);
}
