import { createHash } from "node:crypto";
import type { Database, Tx } from "../db/index.ts";
import { type Clock, isAppError } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import { type DeviceIdentity, toPem } from "../protocol/index.ts";
import type { Tenancy } from "../tenancy/index.ts";
import type { Authorities, IssuingAuthority } from "./authorities.ts";
import { type CertificateRequest, readCertificateRequest } from "./certificate-request.ts";
import * as certificates from "./certificate-store.ts";
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
import { markEnrolled } from "./enrolment-store.ts";
import { SUPERSEDED_GRACE_MS } from "./peer-check.ts";
import { BACKDATE_MS, commonNameOf } from "./profiles.ts";
import { assertIssuingRate, issuedBefore, recordRequest } from "./rotation.ts";

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
      const csr = await readCertificateRequest(request.csr);
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
        await assertPeerStillStands(tx, authority);
        await assertKeyIsFree(tx, identity, csr);
        const again = await issuedBefore(tx, identity, authority, csr, issuer.id, clock.now());
        if (again) return again;
        await assertIssuingRate(tx, identity, authority, clock.now());
        await retire(tx, tenantId, authority, earlier, now);
        const lifetimeMs = settings.certificateLifetimeDays * DAY_MS;
        const certificate = await issue(tx, deps, { request, identity, csr, issuer, lifetimeMs });
        await recordRequest(tx, authority, certificate, now);
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
    const { authority } = request;
    if (!isAppError(error) || error.status >= 500) return;
    // A device that reaches for another tenant is its own tenant's affair.
    const tenantId = authority.kind === "certificate" ? authority.peer.tenantId : request.tenantId;
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
    await db.tenant(tenantId, async (tx) => {
      const why = { reason, message: error.message };
      await recordRequest(tx, authority, why, new Date(clock.now()));
      await tenancy.audit.record(tx, tenantId, {
        actor,
        action: "device.enroll",
        targetKind: "device",
        targetId,
        outcome: "refused",
        details: { reason, via: request.via },
      });
    });
  }
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
  const { tenantId, deviceId } = identity;
  const { publicKey } = csr;
  const { der, serial } = await issuer.devices.issue({ deviceId, publicKey, ...validity });
  await markEnrolled(tx, tenantId, deviceId, new Date(now));
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
    // Kept for who has to be given it again.
    certificate_der: request.authority.kind === "certificate" ? der : null,
  });
  return { serial, pem: toPem("CERTIFICATE", der) };
}
