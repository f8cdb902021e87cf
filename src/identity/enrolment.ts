import { createHash, createPublicKey } from "node:crypto";
import type { Database, Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { type DeviceIdentity, toPem } from "../protocol/index.ts";
import type { Tenancy } from "../tenancy/index.ts";
import type { Authorities } from "./authorities.ts";
import { type KeyAlgorithm, newPrivateKey } from "./authority-key.ts";
import type { IssuingAuthority } from "./authority-types.ts";
import { type CertificateRequest, readCertificateRequest } from "./certificate-request.ts";
import * as certificates from "./certificate-store.ts";
import { type Admission, admit } from "./enrolment-admission.ts";
import type { NoteRefusal } from "./enrolment-refusals.ts";
import {
  actorOf,
  assertKeyIsFree,
  assertPeerStillStands,
  assertTenantActive,
  checkName,
  type EnrolmentAuthority,
  type EnrolmentRequest,
  MAX_READ,
  permit,
} from "./enrolment-rights.ts";
import { atStep } from "./enrolment-steps.ts";
import { type DeviceAttributes, markEnrolled } from "./enrolment-store.ts";
import { SUPERSEDED_GRACE_MS } from "./peer-check.ts";
import { ASK_AGAIN_SECONDS, askPerson, pendingRefusal } from "./pending.ts";
import { removePending } from "./pending-store.ts";
import type { PolicyDeps } from "./policy.ts";
import { BACKDATE_MS, commonNameOf } from "./profiles.ts";
import { publicKeyKind } from "./public-key-kind.ts";
import { assertIssuingRate, issuedBefore, recordRequest } from "./rotation.ts";

export interface Enrolment {
  deviceId: string;
  serial: string;
  /** The device's certificate alone. */
  certificatePem: string;
  /** The device's certificate and the tenant's authority: what a TLS client presents. */
  chainPem: string;
  rootPem: string;
  /** DER (PKCS#8) of the key, where the platform made it; it is kept nowhere. */
  privateKey?: Buffer;
}

interface Deps extends PolicyDeps {
  db: Database;
  tenancy: Tenancy;
  authorities: Authorities;
  trustDomain: string;
  noteRefusal: NoteRefusal;
  /** How long a device is told to wait for a person; a minute where absent. */
  askAgainSeconds?: number | undefined;
}

const HOUR_MS = 3_600_000;
/** Certificates of one device that are accepted at a time. */
const MAX_ACTIVE = 3;

const issued = counter("vautn_certificates_issued_total", "Certificates issued to devices", [
  "authority",
]);

/** Issues certificates: one transaction for the right, the device, the certificate and the audit. */
export function createEnrolment(deps: Deps): (request: EnrolmentRequest) => Promise<Enrolment> {
  const { trustDomain, noteRefusal } = deps;

  return async function enroll(request) {
    const { authority } = request;
    let csr: CertificateRequest | undefined;
    try {
      csr = await atStep("request", () => requestIn(request));
      const read = csr;
      const identity = await atStep("name", () => checkName(request, read, trustDomain));
      const admission = await admit(deps, request, identity, read);
      if (admission.kind === "ask") throw await wait(request, admission);
      const enrolment = await settle(deps, request, { identity, csr: read, ...admission });
      issued.inc({ authority: authority.kind });
      return enrolment;
    } catch (error) {
      await noteRefusal(request, error, csr?.name.deviceId);
      throw error;
    }
  };

  async function wait(
    { tenantId, authority }: EnrolmentRequest,
    { request, claim }: Extract<Admission, { kind: "ask" }>,
  ) {
    await deps.db.tenant(tenantId, (tx) =>
      atStep("policy", () => askPerson(tx, deps, tenantId, request, actorOf(authority, claim))),
    );
    return pendingRefusal(request.deviceId, deps.askAgainSeconds ?? ASK_AGAIN_SECONDS);
  }
}

async function requestIn({ csr, serverKey }: EnrolmentRequest): Promise<CertificateRequest> {
  const isRead = typeof csr !== "string" && !(csr instanceof Uint8Array);
  const request = isRead ? csr : await readCertificateRequest(csr);
  // RFC 7030 §4.4.1: a client that asks for more than the channel's protection gets it or nothing.
  if (serverKey && request.wantsEncryptedKey) {
    const message = "keys are protected by TLS alone here: ask without a decryption key";
    throw new AppError("csr-invalid", message, { reason: "encryption" });
  }
  return request;
}

interface Settlement {
  identity: DeviceIdentity;
  csr: CertificateRequest;
  attributes: DeviceAttributes | undefined;
}

/** Spends the right and issues, all of it or nothing. */
async function settle(
  deps: Deps,
  request: EnrolmentRequest,
  { identity, csr, attributes }: Settlement,
): Promise<Enrolment> {
  const { db, clock, tenancy, authorities } = deps;
  const { tenantId, authority } = request;
  const { deviceId } = identity;
  const settings = await tenancy.settings(tenantId);
  const issuer = await authorities.issuing(tenantId);
  const roots = await authorities.roots();
  const made = request.serverKey ? newKeyPair(csr.keyAlgorithm) : undefined;
  const subject = made ?? csr;
  const result = await db.tenant(tenantId, async (tx) => {
    const now = new Date(clock.now());
    await atStep("tenant", () => assertTenantActive(tx, tenantId));
    const earlier = await certificates.certificatesOf(tx, tenantId, deviceId, MAX_READ);
    const { maxDevices } = settings;
    const actor = await atStep("right", () =>
      permit(tx, request, { identity, csr, attributes, maxDevices, earlier, now }),
    );
    await atStep("right", () => assertPeerStillStands(tx, authority));
    await atStep("key", () => assertKeyIsFree(tx, identity, subject.publicKeySha256));
    const again = await issuedBefore(tx, identity, authority, subject, issuer.id, clock.now());
    if (again) return again;
    await atStep("issue", () => assertIssuingRate(tx, identity, authority, clock.now()));
    await retire(tx, tenantId, authority, earlier, now);
    const lifetimeMs = settings.certificateLifetimeHours * HOUR_MS;
    const certificate = await issue(tx, deps, { request, identity, subject, issuer, lifetimeMs });
    await recordRequest(tx, authority, certificate, now);
    await removePending(tx, tenantId, deviceId);
    await tenancy.audit.record(tx, tenantId, {
      actor,
      action: "device.enroll",
      targetKind: "device",
      targetId: deviceId,
      outcome: "done",
      details: {
        serial: certificate.serial,
        via: request.via,
        authority: authority.kind,
        ...(made ? { serverKey: true } : {}),
      },
    });
    return certificate;
  });
  return {
    deviceId,
    serial: result.serial,
    certificatePem: result.pem,
    chainPem: result.pem + issuer.certificatePem,
    rootPem: roots.map((root) => root.certificatePem).join(""),
    ...(made ? { privateKey: made.privateKey } : {}),
  };
}

/** For a device that cannot make a key: it goes to the device and is kept nowhere. */
function newKeyPair(algorithm: KeyAlgorithm) {
  const key = newPrivateKey(algorithm);
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
  return {
    publicKey,
    publicKeySha256: createHash("sha256").update(publicKey).digest("hex"),
    privateKey: key.export({ type: "pkcs8", format: "der" }),
  };
}

/** Keeps the number of accepted certificates bounded, the requester's own among them. */
async function retire(
  tx: Tx,
  tenantId: string,
  authority: EnrolmentAuthority,
  earlier: readonly certificates.CertificateRow[],
  now: Date,
): Promise<void> {
  const active = earlier.filter((one) => one.status === "active" && one.not_after > now);
  // A claim that is repeated leaves the latest certificate alone.
  const keep = authority.kind === "claim" ? 0 : MAX_ACTIVE - 1;
  const own = authority.kind === "certificate" ? authority.peer.serial : undefined;
  const candidates = active
    .filter((one) => one.serial !== own)
    // Unused ones go first, then the oldest.
    .sort(
      (left, right) =>
        Number(left.first_used_at !== null) - Number(right.first_used_at !== null) ||
        left.issued_at.getTime() - right.issued_at.getTime(),
    );
  const excess = candidates.slice(0, Math.max(0, active.length - keep));
  const serials = excess.map((one) => one.serial);
  await certificates.supersede(
    tx,
    tenantId,
    serials,
    new Date(now.getTime() - SUPERSEDED_GRACE_MS),
  );
}

async function issue(
  tx: Tx,
  { clock }: Deps,
  what: {
    request: EnrolmentRequest;
    identity: DeviceIdentity;
    /** Whose key it is for. */
    subject: { publicKey: Buffer; publicKeySha256: string };
    issuer: IssuingAuthority;
    lifetimeMs: number;
  },
): Promise<{ serial: string; pem: string }> {
  const { request, identity, subject, issuer } = what;
  const now = clock.now();
  const validity = {
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(Math.min(now + what.lifetimeMs, issuer.notAfter.getTime())),
  };
  const { tenantId, deviceId } = identity;
  const { publicKey } = subject;
  const { der, serial } = await issuer.devices.issue({ deviceId, publicKey, ...validity });
  await markEnrolled(tx, tenantId, deviceId, new Date(now));
  await certificates.insertCertificate(tx, tenantId, {
    serial,
    device_id: deviceId,
    ca_id: issuer.id,
    status: "active",
    subject: `O=${tenantId}, CN=${commonNameOf(identity)}`,
    fingerprint: createHash("sha256").update(der).digest("hex"),
    public_key_sha256: subject.publicKeySha256,
    not_before: validity.notBefore,
    not_after: validity.notAfter,
    issued_at: new Date(now),
    issued_via: request.via,
    first_used_at: null,
    superseded_at: null,
    revoked_at: null,
    revocation_reason: null,
    // Kept for who has to be given it again.
    certificate_der: request.authority.kind === "certificate" ? der : null,
    key_algorithm: publicKeyKind(publicKey),
  });
  return { serial, pem: toPem("CERTIFICATE", der) };
}
