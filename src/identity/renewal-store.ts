import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { DeviceStatus } from "./certificate-store.ts";
import type { IssuedCertificateRow } from "./enrolment-issue.ts";
import type { HeldCertificate } from "./renewal-decision.ts";

/**
 * Three statements serve all renewals of a batch: what each device costs is rows, and not round trips.
 * They are prepared, since planning them takes longer than running them.
 */

/** The devices' statuses, their rows locked in one order, so that batches wait and never deadlock. */
export async function lockDevices(
  tx: Tx,
  tenantId: string,
  deviceIds: readonly string[],
): Promise<Map<string, DeviceStatus>> {
  const { rows } = await sql<{ id: string; status: DeviceStatus }>`/* prepared: devices-lock */
    select id, status from devices
    where tenant_id = ${tenantId} and id = any(${[...deviceIds]}::text[])
    order by id for update`.execute(tx);
  return new Map(rows.map((row) => [row.id, row.status]));
}

export interface RenewalQuestion {
  deviceIds: readonly string[];
  /** Serials of the certificates that the devices have proved themselves with. */
  serials: readonly string[];
  /** SHA-256 of the keys that are to be certified. */
  keys: readonly string[];
  /** From when on issued certificates are counted. */
  since: Date;
  /** The most that is read: of one device, and of the holders of all keys. */
  limits: { ofDevice: number; holders: number };
}

export interface RenewalRows {
  peers: Map<string, Pick<HeldCertificate, "device_id" | "status">>;
  /** Certificates of any device that hold one of the keys. */
  holders: HeldCertificate[];
  /** Certificates of the devices that are in force. */
  own: HeldCertificate[];
  /** How many each device was given since. */
  issued: Map<string, number>;
  compromised: Set<string>;
  /** Undefined where there is no such tenant. */
  tenant: "active" | "suspended" | undefined;
}

type FactRow = HeldCertificate & {
  what: "peer" | "holder" | "own" | "issued" | "compromised" | "tenant";
  issued: number;
};

/** What the decisions of a batch go by. Devices are locked first: this is read after that. */
export async function renewalFacts(
  tx: Tx,
  tenantId: string,
  { deviceIds, serials, keys, since, limits }: RenewalQuestion,
): Promise<RenewalRows> {
  const { rows } = await sql<FactRow>`/* prepared: renewal-facts */
    with own as materialized (
      select c.* from unnest(${[...deviceIds]}::text[]) as asked(id) cross join lateral (
        select serial, device_id, ca_id, status, public_key_sha256, issued_at, not_after,
               first_used_at, revocation_reason
        from certificates where tenant_id = ${tenantId} and device_id = asked.id
        order by issued_at desc limit ${limits.ofDevice}) c
    ), holders as (
      select serial, device_id, ca_id, status, public_key_sha256, issued_at, not_after,
             first_used_at, revocation_reason, certificate_der
      from certificates
      where tenant_id = ${tenantId} and public_key_sha256 = any(${[...keys]}::text[])
      order by issued_at desc limit ${limits.holders}
    )
    select 'own' as what, own.*, null::bytea as certificate_der, 0 as issued
      from own where status = 'active'
    union all select 'holder', holders.*, 0 from holders
    union all select 'peer', serial, device_id, null, status, null, null, null, null, null, null, 0
      from certificates where tenant_id = ${tenantId} and serial = any(${[...serials]}::text[])
    union all select 'issued', null, device_id, null, null, null, null, null, null, null, null,
        count(*)::integer
      from own where issued_at > ${since} group by device_id
    union all select 'compromised', null, null, null, null, public_key_sha256,
        null, null, null, null, null, 0
      from compromised_keys where public_key_sha256 = any(${[...keys]}::text[])
    union all select 'tenant', null, null, null, status, null, null, null, null, null, null, 0
      from tenants where id = ${tenantId}`.execute(tx);
  const of = (what: FactRow["what"]) => rows.filter((row) => row.what === what);
  return {
    own: of("own"),
    holders: of("holder"),
    peers: new Map(of("peer").map((row) => [row.serial, row])),
    issued: new Map(of("issued").map((row) => [row.device_id, row.issued])),
    compromised: new Set(of("compromised").map((row) => row.public_key_sha256)),
    tenant: of("tenant")[0]?.status as RenewalRows["tenant"],
  };
}

/**
 * Writes down what was granted: the new certificates, those that end for them, how far the rotations
 * are, and that what the devices had waiting for a person is settled.
 */
export async function keepRenewals(
  tx: Tx,
  tenantId: string,
  granted: readonly IssuedCertificateRow[],
  superseded: { serials: readonly string[]; at: Date },
  now: Date,
): Promise<void> {
  const rows = granted.map(({ certificate_der, ...row }) => ({
    ...row,
    certificate_der: certificate_der?.toString("base64") ?? null,
  }));
  await sql`/* prepared: renewals-keep */
    with given as materialized (
      select * from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as g(
        serial text, device_id text, ca_id uuid, status text, subject text, fingerprint text,
        public_key_sha256 text, not_before timestamptz, not_after timestamptz,
        issued_at timestamptz, issued_via text, key_algorithm text, certificate_der text)
    ), ended as (
      update certificates set status = 'superseded', superseded_at = ${superseded.at}
      where tenant_id = ${tenantId} and serial = any(${[...superseded.serials]}::text[])
    ), added as (
      insert into certificates
        (tenant_id, serial, device_id, ca_id, status, subject, fingerprint, public_key_sha256,
         not_before, not_after, issued_at, issued_via, key_algorithm, certificate_der)
      select ${tenantId}, serial, device_id, ca_id, status, subject, fingerprint,
             public_key_sha256, not_before, not_after, issued_at, issued_via, key_algorithm,
             decode(certificate_der, 'base64')
      from given
    ), steps as (
      insert into certificate_rotations as r
        (tenant_id, device_id, step, failures, serial, started_at, updated_at)
      select ${tenantId}, device_id, 'request', 0, serial, ${now}, ${now} from given
      on conflict (tenant_id, device_id) do update set
        step = excluded.step, error_element = null, error_message = null,
        failures = case when r.step = 'done' then 0 else r.failures end,
        serial = excluded.serial,
        started_at = case when r.step = 'done' then excluded.started_at else r.started_at end,
        updated_at = excluded.updated_at
    )
    delete from pending_enrolments
    where tenant_id = ${tenantId} and status <> 'rejected'
      and device_id in (select device_id from given)`.execute(tx);
}
