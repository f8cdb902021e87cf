import { createHash } from "node:crypto";
import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock, isAppError } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { hashSecret } from "../kernel/sealing.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import { type DeviceIdentity, deviceUri, toPem } from "../protocol/index.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import type { Authorities, IssuingAuthority } from "./authorities.ts";
import { type CertificateRequest, readCertificateRequest } from "./certificate-request.ts";
import * as certificates from "./certificate-store.ts";
import { claimProblem } from "./claim-tokens.ts";
import * as store from "./enrolment-store.ts";
import { SUPERSEDED_GRACE_MS } from "./peer-check.ts";
import type { DevicePeer } from "./peers.ts";
import { BACKDATE_MS, commonNameOf, deviceCertificate } from "./profiles.ts";

/** By what right a certificate is asked for; whom it may name follows from this alone. */
export type EnrolmentAuthority =
  | { kind: "claim"; token: string }
  | { kind: "operator"; actor: Actor; deviceId: string }
  | { kind: "certificate"; peer: DevicePeer };

export interface EnrolmentRequest {
  tenantId: string;
  /** PKCS#10 as PEM, DER or base64. */
  csr: string | Uint8Array;
  /** The door it came through, e.g. `est`; written down with the certificate. */
  via: string;
  authority: EnrolmentAuthority;
  /** What a new device is, where an operator enrols it. */
  device?: store.DeviceAttributes | undefined;
}

export interface Enrolment {
  deviceId: string;
  serial: string;
  /** The device's certificate alone. */
  certificatePem: string;
  /** The device's certificate and the tenant's authority: what a TLS client presents. */
  chainPem: string;
  rootPem: string;
}

interface Deps {
  db: Database;
  clock: Clock;
  tenancy: Tenancy;
  authorities: Authorities;
  trustDomain: string;
}

const DAY_MS = 86_400_000;
/** Certificates of one device that are accepted at a time. */
const MAX_ACTIVE = 3;
/** More than are ever accepted at a time; older ones no longer matter. */
const MAX_READ = 50;
/** Refused claims that a tenant's audit log takes in a minute: anyone may knock. */
const MAX_REFUSALS_PER_MINUTE = 30;
const MAX_TENANTS_TRACKED = 10_000;

const issued = counter("vautn_certificates_issued_total", "Certificates issued to devices", [
  "authority",
]);
const refused = counter("vautn_enrolments_refused_total", "Enrolments that were not permitted", [
  "authority",
  "reason",
]);

/** Issues certificates: one transaction for the right, the device, the certificate and the audit. */
export function createEnrolment(deps: Deps): (request: EnrolmentRequest) => Promise<Enrolment> {
  const { db, clock, tenancy, authorities, trustDomain } = deps;
  const refusalsOf = new TtlCache<{ count: number }>({
    clock,
    ttlMs: 60_000,
    maxEntries: MAX_TENANTS_TRACKED,
  });

  return async function enroll(request) {
    const { tenantId, authority } = request;
    try {
      const csr = readCertificateRequest(request.csr);
      const identity = checkName(request, csr, trustDomain);
      const settings = await tenancy.settings(tenantId);
      const issuer = await authorities.issuing(tenantId);
      const root = await authorities.root();
      const result = await db.tenant(tenantId, async (tx) => {
        const now = new Date(clock.now());
        await assertTenantActive(tx, tenantId);
        const actor = await permit(tx, request, identity, csr, settings.maxDevices, now);
        const earlier = await certificates.certificatesOf(
          tx,
          tenantId,
          identity.deviceId,
          MAX_READ,
        );
        assertPeerStillStands(authority, earlier);
        await assertKeyIsFree(tx, identity, csr);
        await retire(tx, tenantId, authority, earlier, now);
        const lifetimeMs = settings.certificateLifetimeDays * DAY_MS;
        const certificate = await issue(tx, deps, { request, identity, csr, issuer, lifetimeMs });
        await tenancy.audit.record(tx, tenantId, {
          actor,
          action: "device.enroll",
          targetKind: "device",
          targetId: identity.deviceId,
          outcome: "done",
          details: { serial: certificate.serial, via: request.via, authority: authority.kind },
        });
        return certificate;
      });
      issued.inc({ authority: authority.kind });
      return {
        deviceId: identity.deviceId,
        serial: result.serial,
        certificatePem: result.pem,
        chainPem: result.pem + issuer.certificatePem,
        rootPem: root.certificatePem,
      };
    } catch (error) {
      await noteRefusal(request, error);
      throw error;
    }
  };

  /** Refused claims of a known token and of a known device are written down, within bounds. */
  async function noteRefusal(request: EnrolmentRequest, error: unknown): Promise<void> {
    const { tenantId, authority } = request;
    if (!isAppError(error) || error.status >= 500) return;
    const reason = String(error.details.reason ?? error.code);
    refused.inc({ authority: authority.kind, reason });
    // Operators' refused requests are recorded by the API; a stranger's are counted only.
    if (authority.kind === "operator") return;
    if (authority.kind === "claim" && !error.details.claimToken) return;
    const seen = refusalsOf.get(tenantId) ?? { count: 0 };
    if (seen.count === 0) refusalsOf.set(tenantId, seen);
    seen.count += 1;
    if (seen.count > MAX_REFUSALS_PER_MINUTE) return;
    const actor = actorOf(authority, String(error.details.claimToken ?? ""));
    const targetId = String(error.details.deviceId ?? "");
    await db.tenant(tenantId, (tx) =>
      tenancy.audit.record(tx, tenantId, {
        actor,
        action: "device.enroll",
        targetKind: "device",
        targetId,
        outcome: "refused",
        details: { reason, via: request.via },
      }),
    );
  }
}

/** RFC 7030 §4.2: the request's name must be the one that the requester has proved a right to. */
function checkName(
  { tenantId, authority }: EnrolmentRequest,
  csr: CertificateRequest,
  trustDomain: string,
): DeviceIdentity {
  const { identity } = csr;
  const proved =
    authority.kind === "claim"
      ? { tenantId, deviceId: identity.deviceId }
      : authority.kind === "operator"
        ? { tenantId, deviceId: authority.deviceId }
        : { tenantId: authority.peer.tenantId, deviceId: authority.peer.deviceId };
  const agrees =
    proved.tenantId === tenantId &&
    identity.tenantId === tenantId &&
    identity.deviceId === proved.deviceId &&
    csr.uris.every((uri) => uri === deviceUri(proved, trustDomain));
  if (agrees) return proved;
  throw new AppError("csr-invalid", "the request names someone else than the requester", {
    reason: "name",
    deviceId: identity.deviceId,
  });
}

async function assertTenantActive(tx: Tx, tenantId: string): Promise<void> {
  const status = await store.tenantStatus(tx, tenantId);
  if (!status) throw new AppError("not-found", "there is no such tenant", { tenant: tenantId });
  if (status === "suspended") throw new AppError("forbidden", "the tenant is suspended");
}

/** Uses up the right to enrol, registers the device where it is new; returns who did it. */
async function permit(
  tx: Tx,
  { tenantId, authority, device }: EnrolmentRequest,
  { deviceId }: DeviceIdentity,
  csr: CertificateRequest,
  maxDevices: number,
  now: Date,
): Promise<Actor> {
  const claim =
    authority.kind === "claim"
      ? await spendClaim(tx, tenantId, deviceId, hashSecret(authority.token), csr, now)
      : undefined;
  const attributes = claim ? claim.attributes : device;
  if (authority.kind !== "certificate" && attributes) {
    const isNew = await store.insertDevice(tx, tenantId, deviceId, attributes, now);
    if (isNew && (await store.countDevices(tx, tenantId, maxDevices + 1)) > maxDevices) {
      throw new AppError("quota-exceeded", "the tenant has as many devices as it may", {
        limit: maxDevices,
        deviceId,
        ...(claim ? { claimToken: claim.name } : {}),
      });
    }
  }
  const status = await store.lockDevice(tx, tenantId, deviceId);
  if (!status) throw new AppError("not-found", "there is no such device", { deviceId });
  // Whoever wants it back makes it active again first: an act of its own, with its own record.
  if (status === "revoked") throw claimRefused("device-revoked", deviceId, claim?.name);
  return actorOf(authority, claim?.name ?? "");
}

/**
 * Counts one use of a claim token. Whoever finds a token must not become a device that is enrolled
 * already, used or still in its box. Only the holder of the same key may ask again, and is not
 * counted twice: the reply to the first request was lost.
 */
async function spendClaim(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  tokenHash: Buffer,
  csr: CertificateRequest,
  now: Date,
): Promise<{ name: string; attributes: store.DeviceAttributes }> {
  // The token's row is locked: everyone who claims by it comes one after the other.
  const token = await store.lockClaimToken(tx, tenantId, tokenHash);
  const earlier = await certificates.certificatesOf(tx, tenantId, deviceId, MAX_READ);
  const isRetry =
    earlier.length > 0 &&
    earlier.every(
      (one) => one.first_used_at === null && one.public_key_sha256 === csr.publicKeySha256,
    );
  const problem = claimProblem(token, deviceId, now);
  if (!token || (problem && !(isRetry && problem === "used-up"))) {
    throw claimRefused(problem ?? "unknown", deviceId, token?.name);
  }
  if (earlier.length > 0 && !isRetry) throw claimRefused("enrolled", deviceId, token.name);
  if (!isRetry) await store.countClaimUse(tx, tenantId, token.id);
  const { name, product, hardware_revision: hardwareRevision, region, tags } = token;
  return { name, attributes: { product, hardwareRevision, region, tags } };
}

/** One key belongs to one device, and ends with the certificate that was revoked. */
async function assertKeyIsFree(
  tx: Tx,
  { tenantId, deviceId }: DeviceIdentity,
  csr: CertificateRequest,
): Promise<void> {
  const { publicKeySha256 } = csr;
  const holders = await certificates.certificatesWithKey(tx, tenantId, publicKeySha256, MAX_READ);
  if (holders.some((holder) => holder.status === "revoked")) {
    throw new AppError("csr-invalid", "the key is the one of a revoked certificate", {
      reason: "key-revoked",
      deviceId,
    });
  }
  if (holders.some((holder) => holder.device_id !== deviceId)) {
    throw new AppError("csr-invalid", "the key is the one of another device", {
      reason: "key-in-use",
      deviceId,
    });
  }
}

function assertPeerStillStands(
  authority: EnrolmentAuthority,
  earlier: readonly certificates.CertificateRow[],
): void {
  if (authority.kind !== "certificate") return;
  const current = earlier.find((one) => one.serial === authority.peer.serial);
  if (current && current.status !== "revoked") return;
  throw new AppError("certificate-refused", "the current certificate was revoked", {
    reason: "revoked",
  });
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
  { clock, trustDomain }: Deps,
  what: {
    request: EnrolmentRequest;
    identity: DeviceIdentity;
    csr: CertificateRequest;
    issuer: IssuingAuthority;
    lifetimeMs: number;
  },
): Promise<{ serial: string; pem: string }> {
  const { request, identity, csr, issuer } = what;
  const now = clock.now();
  const validity = {
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(Math.min(now + what.lifetimeMs, issuer.notAfter.getTime())),
  };
  const { der, serial } = deviceCertificate(
    { issuer: issuer.issuer, publicKey: csr.publicKey, ...validity },
    identity,
    trustDomain,
  );
  const { tenantId, deviceId } = identity;
  await store.markEnrolled(tx, tenantId, deviceId, new Date(now));
  await certificates.insertCertificate(tx, tenantId, {
    serial,
    device_id: deviceId,
    ca_id: issuer.id,
    status: "active",
    subject: `O=${tenantId}, CN=${commonNameOf(identity)}`,
    fingerprint: createHash("sha256").update(der).digest("hex"),
    public_key_sha256: csr.publicKeySha256,
    not_before: validity.notBefore,
    not_after: validity.notAfter,
    issued_at: new Date(now),
    issued_via: request.via,
    first_used_at: null,
    superseded_at: null,
    revoked_at: null,
    revocation_reason: null,
  });
  return { serial, pem: toPem("CERTIFICATE", der) };
}

function claimRefused(reason: string, deviceId: string, claimToken: string | undefined): AppError {
  return new AppError("claim-refused", CLAIM_SENTENCES[reason] ?? reason, {
    reason,
    deviceId,
    ...(claimToken ? { claimToken } : {}),
  });
}

const CLAIM_SENTENCES: Record<string, string> = {
  unknown: "there is no such claim token",
  revoked: "the claim token was revoked",
  expired: "the claim token has expired",
  "used-up": "the claim token was used as often as it may",
  pattern: "the claim token is not for this device id",
  "device-revoked": "the device was revoked",
  enrolled: "the device is enrolled already: it renews with its certificate",
};

function actorOf(authority: EnrolmentAuthority, claimName: string): Actor {
  switch (authority.kind) {
    case "operator":
      return authority.actor;
    case "claim":
      return { kind: "system", id: "claim-token", name: claimName };
    case "certificate": {
      const { deviceId } = authority.peer;
      return { kind: "device", id: deviceId, name: deviceId };
    }
  }
}
