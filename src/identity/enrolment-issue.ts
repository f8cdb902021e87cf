import { hash } from "node:crypto";
import { type DeviceIdentity, toPem } from "../protocol/index.ts";
import type { IssuingAuthority } from "./authority-types.ts";
import type { CertificateRow } from "./certificate-store.ts";
import { BACKDATE_MS, commonNameOf } from "./profiles.ts";
import { publicKeyKind } from "./public-key-kind.ts";

export type IssuedCertificateRow = CertificateRow & { certificate_der: Buffer | null };

/** Makes a device's certificate and what the registry is to know of it. */
export async function issueCertificate(
  issuer: IssuingAuthority,
  identity: DeviceIdentity,
  subject: { publicKey: Buffer; publicKeySha256: string },
  { lifetimeMs, nowMs }: { lifetimeMs: number; nowMs: number },
): Promise<{ row: IssuedCertificateRow; pem: string }> {
  const { tenantId, deviceId } = identity;
  const { publicKey } = subject;
  const notBefore = new Date(nowMs - BACKDATE_MS);
  const notAfter = new Date(Math.min(nowMs + lifetimeMs, issuer.notAfter.getTime()));
  const { der, serial } = await issuer.devices.issue({ deviceId, publicKey, notBefore, notAfter });
  const row: IssuedCertificateRow = {
    serial,
    device_id: deviceId,
    ca_id: issuer.id,
    status: "active",
    subject: `O=${tenantId}, CN=${commonNameOf(identity)}`,
    fingerprint: hash("sha256", der, "hex"),
    public_key_sha256: subject.publicKeySha256,
    not_before: notBefore,
    not_after: notAfter,
    issued_at: new Date(nowMs),
    issued_via: "",
    first_used_at: null,
    superseded_at: null,
    revoked_at: null,
    revocation_reason: null,
    certificate_der: der,
    key_algorithm: publicKeyKind(publicKey),
  };
  return { row, pem: toPem("CERTIFICATE", der) };
}
