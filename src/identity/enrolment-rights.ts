import type { Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { hashSecret } from "../kernel/sealing.ts";
import { type DeviceIdentity, deviceUri } from "../protocol/index.ts";
import type { Actor } from "../tenancy/index.ts";
import type { CertificateRequest } from "./certificate-request.ts";
import * as certificates from "./certificate-store.ts";
import { claimProblem } from "./claim-tokens.ts";
import * as store from "./enrolment-store.ts";
import type { DevicePeer } from "./peers.ts";

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

/** More than are ever accepted at a time; older ones no longer matter. */
export const MAX_READ = 50;

/** RFC 7030 §4.2: the request's name must be the one that the requester has proved a right to. */
export function checkName(
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

export async function assertTenantActive(tx: Tx, tenantId: string): Promise<void> {
  const status = await store.tenantStatus(tx, tenantId);
  if (!status) throw new AppError("not-found", "there is no such tenant", { tenant: tenantId });
  if (status === "suspended") throw new AppError("forbidden", "the tenant is suspended");
}

/** Uses up the right to enrol, registers the device where it is new; returns who did it. */
export async function permit(
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
export async function assertKeyIsFree(
  tx: Tx,
  { tenantId, deviceId }: DeviceIdentity,
  csr: CertificateRequest,
): Promise<void> {
  const { publicKeySha256 } = csr;
  const holders = await certificates.certificatesWithKey(tx, tenantId, publicKeySha256, MAX_READ);
  // A key that went with its own successor is not burnt: it may have been renewed unchanged.
  const isBurnt = (holder: (typeof holders)[number]) =>
    holder.status === "revoked" && holder.revocation_reason !== "superseded";
  if (holders.some(isBurnt)) {
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

export async function assertPeerStillStands(tx: Tx, authority: EnrolmentAuthority): Promise<void> {
  if (authority.kind !== "certificate") return;
  const { tenantId, deviceId, serial } = authority.peer;
  const current = await certificates.standingOf(tx, tenantId, serial);
  if (current?.deviceId === deviceId && current.status !== "revoked") return;
  throw new AppError("certificate-refused", "the current certificate was revoked", {
    reason: "revoked",
  });
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

export function actorOf(authority: EnrolmentAuthority, claimName: string): Actor {
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
