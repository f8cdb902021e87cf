import type { Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { type DeviceIdentity, deviceUri } from "../protocol/index.ts";
import type { Actor } from "../tenancy/index.ts";
import type { CertificateRequest } from "./certificate-request.ts";
import * as certificates from "./certificate-store.ts";
import { claimUri } from "./claim-certificates.ts";
import { lockClaim } from "./claim-store.ts";
import { isCompromised } from "./compromised-keys.ts";
import { type ClaimAuthority, claimRefused, proofOf, spendClaim } from "./enrolment-claims.ts";
import * as store from "./enrolment-store.ts";
import type { DevicePeer } from "./peers.ts";
import { assertAsListed, attributesOf } from "./preauthorised.ts";
import { entryOf, entryWithKey, markEntryEnrolled } from "./preauthorised-store.ts";

/** By what right a certificate is asked for; whom it may name follows from this alone. */
export type EnrolmentAuthority =
  | ClaimAuthority
  /** The key itself: the tenant's list of expected devices names it. */
  | { kind: "listed-key" }
  | { kind: "operator"; actor: Actor; deviceId: string }
  | { kind: "certificate"; peer: DevicePeer };

export interface EnrolmentRequest {
  tenantId: string;
  /** PKCS#10 as PEM, DER or base64; or a request of another form that was read and proved. */
  csr: string | Uint8Array | CertificateRequest;
  /** The door it came through, e.g. `est`; written down with the certificate. */
  via: string;
  authority: EnrolmentAuthority;
  /** What a new device is, where an operator enrols it. */
  device?: store.DeviceAttributes | undefined;
  /** The platform makes the key, for a device that cannot; the request's own key only signs it. */
  serverKey?: boolean | undefined;
  /** DER of the public key by which the connection was proved: such a key may be encrypted for it. */
  clientKey?: Buffer | undefined;
  /** Network address of who asks, for the records. */
  address?: string | undefined;
}

/** More than are ever accepted at a time; older ones no longer matter. */
export const MAX_READ = 50;

/** RFC 7030 §4.2: the request's name must be the one that the requester has proved a right to. */
export function checkName(
  { tenantId, authority }: EnrolmentRequest,
  csr: CertificateRequest,
  trustDomain: string,
): DeviceIdentity {
  const { name } = csr;
  const proved = {
    tenantId: authority.kind === "certificate" ? authority.peer.tenantId : tenantId,
    deviceId: provedDevice(authority) ?? name.deviceId,
  };
  const { deviceId } = proved;
  if (deviceId === undefined) {
    throw new AppError("csr-invalid", "the request names no device", { reason: "name" });
  }
  const identity = { tenantId: proved.tenantId, deviceId };
  const agrees =
    identity.tenantId === tenantId &&
    (name.tenantId ?? tenantId) === tenantId &&
    (name.deviceId ?? deviceId) === deviceId &&
    csr.uris.every(
      (uri) =>
        uri === deviceUri(identity, trustDomain) ||
        // Clients of CMP ask for the names of the certificate that they sign with.
        (isProvedClaim(authority) && uri === claimUri(tenantId, authority.claimId, trustDomain)),
    );
  if (agrees) return identity;
  throw new AppError("csr-invalid", "the request names someone else than the requester", {
    reason: "name",
    deviceId: name.deviceId ?? deviceId,
  });
}

function isProvedClaim(
  authority: EnrolmentAuthority,
): authority is Extract<EnrolmentAuthority, { claimId: string }> {
  return authority.kind === "claim" && "claimId" in authority;
}

function provedDevice(authority: EnrolmentAuthority): string | undefined {
  if (authority.kind === "operator") return authority.deviceId;
  return authority.kind === "certificate" ? authority.peer.deviceId : undefined;
}

export async function assertTenantActive(tx: Tx, tenantId: string): Promise<void> {
  assertActive(tenantId, await store.tenantStatus(tx, tenantId));
}

export function assertActive(tenantId: string, status: "active" | "suspended" | undefined): void {
  if (!status) throw new AppError("not-found", "there is no such tenant", { tenant: tenantId });
  if (status === "suspended") throw new AppError("forbidden", "the tenant is suspended");
}

interface Permission {
  identity: DeviceIdentity;
  csr: CertificateRequest;
  /** What the device is, where the policy said so. */
  attributes: store.DeviceAttributes | undefined;
  maxDevices: number;
  now: Date;
}

/**
 * Uses up the right to enrol and registers the device where it is new; returns who did it and the
 * certificates that the device has. Claim and device are locked before those are read: of two who
 * want to become one device at the same moment, by one claim or by two, one finds the other there.
 */
export async function permit(
  tx: Tx,
  { tenantId, authority, device }: EnrolmentRequest,
  { identity, csr, attributes, maxDevices, now }: Permission,
): Promise<{ actor: Actor; earlier: certificates.CertificateRow[] }> {
  const { deviceId } = identity;
  const claim =
    authority.kind === "claim" ? await lockClaim(tx, tenantId, proofOf(authority)) : undefined;
  const listed =
    authority.kind === "listed-key" ? await listedDevice(tx, tenantId, deviceId, csr) : undefined;
  const description = attributes ?? listed ?? device;
  if (authority.kind !== "certificate" && description) {
    const isNew = await store.insertDevice(tx, tenantId, deviceId, description, now);
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
  const earlier = await certificates.certificatesOf(tx, tenantId, deviceId, MAX_READ);
  if (authority.kind === "claim") {
    await spendClaim(tx, claim, { tenantId, deviceId, csr, earlier, now });
  }
  if (authority.kind !== "certificate") await markEntryEnrolled(tx, tenantId, deviceId, now);
  return { actor: actorOf(authority, claim?.name ?? ""), earlier };
}

/** The device that the list expects with this very key. */
export async function listedDevice(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  csr: CertificateRequest,
): Promise<store.DeviceAttributes> {
  const entry = await entryWithKey(tx, tenantId, csr.publicKeySha256);
  if (!entry) {
    throw new AppError("unauthenticated", "enrolment needs a claim, a certificate or a listed key");
  }
  if (entry.device_id !== deviceId) {
    const details = { reason: "name", deviceId, listed: entry.device_id };
    throw new AppError("csr-invalid", "the key is listed for another device", details);
  }
  assertAsListed(entry, csr);
  return attributesOf(entry);
}

/** What the list says of a device, whose request must then be as listed. */
export async function listedAttributes(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  csr: CertificateRequest,
): Promise<store.DeviceAttributes | undefined> {
  const entry = await entryOf(tx, tenantId, deviceId);
  if (!entry) return undefined;
  assertAsListed(entry, csr);
  return attributesOf(entry);
}

/** Refuses a key that is not free for this device. */
export async function assertKeyIsFree(
  tx: Tx,
  { tenantId, deviceId }: DeviceIdentity,
  publicKeySha256: string,
): Promise<void> {
  const holders = await certificates.certificatesWithKey(tx, tenantId, publicKeySha256, MAX_READ);
  const refusal = keyRefusal(deviceId, holders, await isCompromised(tx, publicKeySha256));
  if (refusal) throw refusal;
}

/** One key belongs to one device, and ends with the certificate that was revoked. */
export function keyRefusal(
  deviceId: string,
  holders: readonly { device_id: string; status: string; revocation_reason: string | null }[],
  isCompromisedKey: boolean,
): AppError | undefined {
  const refuse = (reason: string, message: string) =>
    new AppError("csr-invalid", message, { reason, deviceId });
  // A key that went with its own successor is not burnt: it may have been renewed unchanged.
  const isBurnt = holders.some(
    (holder) => holder.status === "revoked" && holder.revocation_reason !== "superseded",
  );
  if (isBurnt) return refuse("key-revoked", "the key is the one of a revoked certificate");
  if (isCompromisedKey) return refuse("key-compromised", "the key is known to be in other hands");
  return holders.some((holder) => holder.device_id !== deviceId)
    ? refuse("key-in-use", "the key is the one of another device")
    : undefined;
}

export function actorOf(authority: EnrolmentAuthority, claimName: string): Actor {
  switch (authority.kind) {
    case "operator":
      return authority.actor;
    case "claim":
      return { kind: "system", id: "claim-token", name: claimName };
    case "listed-key":
      return { kind: "system", id: "preauthorised", name: "preauthorised list" };
    case "certificate": {
      const { deviceId } = authority.peer;
      return { kind: "device", id: deviceId, name: deviceId };
    }
  }
}
