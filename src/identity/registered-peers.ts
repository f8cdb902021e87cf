import { createHash, type X509Certificate } from "node:crypto";
import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock, isAppError } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import type { DeviceIdentity } from "../protocol/index.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import { certificatesOf } from "./certificate-store.ts";
import { matchesPattern } from "./device-pattern.ts";
import type { NoteRefusal } from "./enrolment-refusals.ts";
import {
  countDevices,
  type DeviceAttributes,
  insertDevice,
  lockDevice,
  markEnrolled,
  tenantStatus,
} from "./enrolment-store.ts";
import { timeRefusal } from "./peer-check.ts";
import type { DevicePeer } from "./peers.ts";
import { askPerson } from "./pending.ts";
import { findPending, removePending } from "./pending-store.ts";
import { consult, type PolicyDeps } from "./policy.ts";
import { attributesOf } from "./preauthorised.ts";
import { entryOf, markEntryEnrolled } from "./preauthorised-store.ts";
import { leafProblem } from "./registered-fields.ts";
import type { RegisteredCertificate, RegisteredLookup } from "./registered-lookup.ts";
import { mapToDevice } from "./registered-mapping.ts";
import * as store from "./registered-store.ts";

const MAX_CERTIFICATES_PER_DEVICE = 20;

const registered = counter(
  "vautn_devices_registered_by_certificate_total",
  "Devices that came for the first time with a certificate of their tenant's own authority",
);

interface Deps extends PolicyDeps {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "audit" | "settings">;
  lookup: RegisteredLookup;
  noteRefusal: NoteRefusal;
}

/** A device with a certificate of its tenant's own authority, at the door. */
interface Visit extends RegisteredCertificate {
  identity: DeviceIdentity;
  certificate: X509Certificate;
  fingerprint: string;
  publicKeySha256: string;
}

/**
 * The device that a certificate of a registered authority names, registered now if it comes for the
 * first time and the authority's policy permits; undefined where no such authority issued it;
 * `certificate-refused` where one did and the device may not come in.
 */
export async function acceptRegistered(
  deps: Deps,
  certificate: X509Certificate,
): Promise<DevicePeer | undefined> {
  const found = await deps.lookup.find(certificate);
  if (found?.row.purpose !== "devices") return undefined;
  const { tenantId, row, foreign } = found;
  const mapped = mapToDevice(row.mapping, foreign.fields);
  const deviceId = "deviceId" in mapped ? mapped.deviceId : "";
  const identity = { tenantId, deviceId };
  const peer: DevicePeer = {
    ...identity,
    serial: certificate.serialNumber.toLowerCase(),
    notAfter: certificate.validToDate,
    registeredAuthorityId: row.id,
  };
  try {
    if ("problem" in mapped) throw refuse("unmapped", mapped.problem, identity);
    const problem = leafProblem(certificate, foreign) ?? timeRefusal(certificate, deps.clock.now());
    if (problem) throw refuse(problem, SENTENCES[problem] ?? problem, identity);
    const visit: Visit = { ...found, ...identityOf(certificate), identity };
    const quarantined = await admit(deps, visit);
    return quarantined ? { ...peer, quarantined } : peer;
  } catch (error) {
    const authority = { kind: "certificate" as const, peer };
    const request = { tenantId, via: "registered-authority", authority };
    if (deviceId === "") {
      // Who is mapped to no device is found by what the certificate says.
      const subject = certificate.subject.replaceAll("\n", ", ");
      await deps.noteRefusal({ ...request, actor: actorOf(found) }, error, { deviceId: subject });
    } else await deps.noteRefusal(request, error, { deviceId });
    throw error;
  }
}

function identityOf(certificate: X509Certificate) {
  const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
  const publicKey = certificate.publicKey.export({ type: "spki", format: "der" });
  const fingerprint = sha256(certificate.raw);
  return { certificate, fingerprint, publicKeySha256: sha256(publicKey) };
}

/** Whether the device is in quarantine; refuses it where it may not come in. */
async function admit(deps: Deps, visit: Visit): Promise<boolean> {
  const { identity, fingerprint } = visit;
  const { tenantId, deviceId } = identity;
  const known = await deps.db.tenant(tenantId, async (tx) => {
    if ((await tenantStatus(tx, tenantId)) !== "active") {
      throw refuse("suspended", "the tenant is suspended", identity);
    }
    return store.foreignStanding(tx, tenantId, fingerprint);
  });
  if (!known) return register(deps, visit);
  const isRevoked = known.status === "revoked" || known.deviceStatus === "revoked";
  // The rule may have changed since: who the certificate is does not.
  if (isRevoked || known.deviceId !== deviceId) {
    throw refuse("revoked", "the certificate or its device was revoked", identity);
  }
  return known.deviceStatus === "quarantined";
}

/** The first time that this certificate is seen. */
async function register(deps: Deps, visit: Visit): Promise<boolean> {
  const { tenantId } = visit.identity;
  const attributes = await consultPolicy(deps, visit);
  const { maxDevices } = await deps.tenancy.settings(tenantId);
  return deps.db.tenant(tenantId, (tx) => write(tx, deps, visit, attributes, maxDevices));
}

async function consultPolicy(deps: Deps, visit: Visit): Promise<DeviceAttributes> {
  const { identity, row, publicKeySha256, foreign } = visit;
  const { tenantId, deviceId } = identity;
  if (!matchesPattern(row.device_pattern, deviceId)) {
    throw refuse("pattern", "the authority is not for this device id", identity);
  }
  const now = new Date(deps.clock.now());
  const { listed, decided, isKnown } = await deps.db.tenant(tenantId, async (tx) => ({
    listed: await entryOf(tx, tenantId, deviceId),
    decided: await findPending(tx, tenantId, deviceId, publicKeySha256, now),
    // A device that has come by this authority before only has another certificate now.
    isKnown: (
      await store.authoritiesOfDevice(tx, tenantId, deviceId, MAX_CERTIFICATES_PER_DEVICE)
    ).includes(row.id),
  }));
  const [serialNumber] = foreign.fields.serialNumber;
  const isPinned = listed?.public_key_sha256 != null;
  if (isPinned && listed.public_key_sha256 !== publicKeySha256) {
    throw refuse("key-not-listed", "the list has another key for this device", identity);
  }
  if (listed?.serial_number != null && listed.serial_number !== serialNumber) {
    throw refuse("serial-not-listed", "the list has another serial number for it", identity);
  }
  const { product, hardware_revision: hardwareRevision, region, tags } = row;
  const own = listed ? attributesOf(listed) : { product, hardwareRevision, region, tags };
  if (isKnown) return own;
  if (decided?.status === "rejected") {
    throw refuse("rejected", decided.decision_reason ?? "a person has refused it", identity);
  }
  if (decided?.status === "accepted") return attributesOf(decided);
  if (row.approval === "preauthorised" && !listed) {
    throw refuse("not-listed", "the device is not on the tenant's list", identity);
  }
  const facts = { ...own, deviceId, publicKeySha256, via: "registered-authority" };
  const answer =
    decided?.status === "pending"
      ? { kind: "ask" as const, cause: decided.cause, attributes: own }
      : await ask(deps, visit, { ...facts, tenantId, serialNumber, authority: row.name });
  if (answer.kind === "accept") return answer.attributes;
  const request = {
    ...{ ...facts, ...answer.attributes },
    ...{ authority: "registered-authority", authorityName: row.name, cause: answer.cause },
  };
  await deps.db.tenant(tenantId, (tx) => askPerson(tx, deps, tenantId, request, actorOf(visit)));
  throw refuse("pending", "a person has to accept this device: come again", identity);
}

/** What the policy's webhook refuses is a certificate that is not accepted. */
async function ask(deps: Deps, visit: Visit, facts: Parameters<typeof consult>[2]) {
  try {
    return await consult(deps, visit.row, facts);
  } catch (error) {
    if (!isAppError(error, "enrolment-refused")) throw error;
    throw refuse(String(error.details.reason), error.message, visit.identity);
  }
}

async function write(
  tx: Tx,
  { clock, tenancy }: Deps,
  visit: Visit,
  attributes: DeviceAttributes,
  maxDevices: number,
): Promise<boolean> {
  const { identity, fingerprint, certificate, publicKeySha256 } = visit;
  const { tenantId, deviceId } = identity;
  const now = new Date(clock.now());
  // Its row is locked: who comes by the same authority at this moment comes after.
  const row = await store.findRegistered(tx, tenantId, visit.row.id, true);
  if (row?.status !== "active") {
    throw refuse("foreign-ca", "the authority is not registered any more", identity);
  }
  const isNew = await insertDevice(tx, tenantId, deviceId, attributes, now);
  const status = await lockDevice(tx, tenantId, deviceId);
  if (status === "revoked") throw refuse("revoked", "the device was revoked", identity);
  if (isNew) await countNew(tx, identity, row, maxDevices);
  else await assertOwn(tx, identity, row.id);
  await store.insertForeign(tx, tenantId, {
    fingerprint,
    authority_id: row.id,
    device_id: deviceId,
    serial: certificate.serialNumber.toLowerCase(),
    public_key_sha256: publicKeySha256,
    subject: certificate.subject.replaceAll("\n", ", "),
    not_after: certificate.validToDate,
    first_used_at: now,
  });
  await markEnrolled(tx, tenantId, deviceId, now);
  await markEntryEnrolled(tx, tenantId, deviceId, now);
  await removePending(tx, tenantId, deviceId);
  await tenancy.audit.record(tx, tenantId, {
    actor: actorOf(visit),
    action: "device.enroll",
    targetKind: "device",
    targetId: deviceId,
    outcome: "done",
    details: { via: "registered-authority", authority: row.name, fingerprint },
  });
  registered.inc();
  return status === "quarantined";
}

async function countNew(
  tx: Tx,
  identity: DeviceIdentity,
  row: store.RegisteredRow,
  maxDevices: number,
): Promise<void> {
  const { tenantId } = identity;
  if (row.device_count >= row.max_devices) {
    throw refuse("used-up", "the authority has brought as many devices as it may", identity);
  }
  if ((await countDevices(tx, tenantId, maxDevices + 1)) > maxDevices) {
    throw refuse("quota", "the tenant has as many devices as it may", identity);
  }
  await store.countDevice(tx, tenantId, row.id);
}

/**
 * A device that exists becomes this certificate's only if it has come by the authority before or has
 * no certificate at all: whoever holds an authority's key must not become a device that others made.
 */
async function assertOwn(tx: Tx, identity: DeviceIdentity, authorityId: string): Promise<void> {
  const { tenantId, deviceId } = identity;
  const max = MAX_CERTIFICATES_PER_DEVICE;
  const authorities = await store.authoritiesOfDevice(tx, tenantId, deviceId, max);
  if (authorities.length >= max) {
    throw refuse("too-many", "the device has come with too many certificates", identity);
  }
  if (authorities.includes(authorityId)) return;
  const own = await certificatesOf(tx, tenantId, deviceId, 1);
  if (authorities.length === 0 && own.length === 0) return;
  throw refuse("enrolled", "the device was enrolled in another way", identity);
}

function actorOf({ row }: RegisteredCertificate): Actor {
  return { kind: "system", id: "registered-authority", name: row.name };
}

const SENTENCES: Record<string, string> = {
  "wrong-usage": "the certificate is not one of a client",
  weak: "the certificate's key or signature is too weak",
  expired: "the certificate has expired",
  "not-yet-valid": "the certificate is not valid yet",
};

function refuse(reason: string, message: string, identity: DeviceIdentity): AppError {
  return new AppError("certificate-refused", message, { reason, step: "right", ...identity });
}
