import type { CertificateRow } from "./certificate-store.ts";
import { HOLD, type RevocationReasonName, revocationReasonOf } from "./revocation-reasons.ts";

/** A certificate as people see it. */
export interface CertificateView {
  serial: string;
  deviceId: string;
  /** The authority that issued it. */
  authorityId: string;
  status: "active" | "superseded" | "held" | "revoked";
  subject: string;
  /** SHA-256 over the DER, hex. */
  fingerprint: string;
  /** Of the certified key, such as `ec-p256`; null where that was not written down. */
  keyAlgorithm: string | null;
  notBefore: Date;
  notAfter: Date;
  issuedAt: Date;
  issuedVia: string;
  firstUsedAt: Date | null;
  /** When the device said that it uses it. */
  confirmedAt: Date | null;
  supersededAt: Date | null;
  revokedAt: Date | null;
  /** Why, in people's words. */
  revocationReason: string | null;
  /** Why, as RFC 5280 counts it. */
  revocationCode: RevocationReasonName | null;
}

export function certificateView(row: CertificateRow): CertificateView {
  return {
    serial: row.serial,
    deviceId: row.device_id,
    authorityId: row.ca_id,
    status: row.status === "revoked" && row.revocation_code === HOLD ? "held" : row.status,
    subject: row.subject,
    fingerprint: row.fingerprint,
    keyAlgorithm: row.key_algorithm ?? null,
    notBefore: row.not_before,
    notAfter: row.not_after,
    issuedAt: row.issued_at,
    issuedVia: row.issued_via,
    firstUsedAt: row.first_used_at,
    confirmedAt: row.confirmed_at ?? null,
    supersededAt: row.superseded_at,
    revokedAt: row.revoked_at,
    revocationReason: row.revocation_reason,
    revocationCode: revocationReasonOf(row.revocation_code ?? null),
  };
}
