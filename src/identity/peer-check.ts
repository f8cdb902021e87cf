import type { X509Certificate } from "node:crypto";
import { type DeviceIdentity, deviceUri, parseDeviceUri } from "../protocol/index.ts";
import { CLIENT_AUTH } from "./certificate-builder.ts";
import type { Standing } from "./certificate-store.ts";
import { commonNameOf } from "./profiles.ts";

/** Why a client certificate is not accepted. */
export type CertificateRefusal =
  | "missing"
  | "malformed"
  | "foreign-ca"
  | "wrong-usage"
  | "expired"
  | "not-yet-valid"
  | "unknown"
  | "revoked"
  | "suspended";

/** How long a certificate is still accepted after its successor was first used. A device that
 * loses power between trying the new one and making it its own comes back with the old one. */
export const SUPERSEDED_GRACE_MS = 24 * 3_600_000;

/**
 * The device that a certificate names, or the refusal: exactly one alternative name, which is a URI
 * of ours, a subject that says the same, and the right to be a client and nothing more.
 */
export function nameOf(
  certificate: X509Certificate,
  trustDomain: string,
): DeviceIdentity | CertificateRefusal {
  if (certificate.ca) return "wrong-usage";
  const names = certificate.subjectAltName ?? "";
  const identity = parseDeviceUri(names.replace(/^URI:/, ""), trustDomain);
  // Compared as a whole: a second name, another kind of name or an escaped one makes it differ.
  if (!identity || names !== `URI:${deviceUri(identity, trustDomain)}`) return "malformed";
  if (certificate.subject !== `O=${identity.tenantId}\nCN=${commonNameOf(identity)}`) {
    return "malformed";
  }
  // What Node calls `keyUsage` is the extended one.
  if (!certificate.keyUsage?.includes(CLIENT_AUTH)) return "wrong-usage";
  return identity;
}

/** Whether one of the tenant's own authorities, itself within its time, issued the certificate. */
export function isIssuedBy(
  certificate: X509Certificate,
  authorities: readonly { certificate: X509Certificate }[],
  nowMs: number,
): boolean {
  return authorities.some(
    (authority) =>
      authority.certificate.validFromDate.getTime() <= nowMs &&
      authority.certificate.validToDate.getTime() > nowMs &&
      certificate.issuer === authority.certificate.subject &&
      certificate.verify(authority.certificate.publicKey),
  );
}

export function timeRefusal(
  certificate: X509Certificate,
  nowMs: number,
): CertificateRefusal | undefined {
  if (certificate.validFromDate.getTime() > nowMs) return "not-yet-valid";
  if (certificate.validToDate.getTime() <= nowMs) return "expired";
  return undefined;
}

/** What the registry has against a certificate that is genuine. */
export function standingRefusal(
  standing: Standing | undefined,
  facts: { deviceId: string; fingerprint: string; nowMs: number },
): CertificateRefusal | undefined {
  if (!standing) return "unknown";
  if (standing.deviceId !== facts.deviceId || standing.fingerprint !== facts.fingerprint) {
    return "unknown";
  }
  if (standing.status === "revoked" || standing.deviceStatus === "revoked") return "revoked";
  if (standing.status === "superseded" && isPastGrace(standing, facts.nowMs)) return "revoked";
  if (standing.tenantStatus !== "active") return "suspended";
  return undefined;
}

function isPastGrace(standing: Standing, nowMs: number): boolean {
  return nowMs >= (standing.supersededAt?.getTime() ?? 0) + SUPERSEDED_GRACE_MS;
}
