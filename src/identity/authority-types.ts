import { X509Certificate } from "node:crypto";
import type { KeyAlgorithm } from "./authority-key.ts";
import type { Issuer } from "./certificate-builder.ts";
import type { DeviceCertificates } from "./device-certificates.ts";

export type AuthorityKind = "root" | "tenant" | "server";

/** Where an authority's key lies: sealed here, in a token, or on a machine without a network. */
export type KeyKind = "sealed" | "pkcs11" | "offline";

export interface KeyColumns {
  key_kind: KeyKind;
  /** RFC 7512, of a key in a token. */
  key_uri: string | null;
  private_key_sealed: Buffer | null;
}

export interface AuthorityRow extends KeyColumns {
  tenant_id: string;
  id: string;
  kind: AuthorityKind;
  status: "active" | "retiring" | "revoked" | "ended";
  subject: string;
  certificate_pem: string;
  cross_certificate_pem: string | null;
  fingerprint: string;
  key_identifier: string;
  created_at: Date;
  not_after: Date;
  ended_at: Date | null;
}

/** Where a new authority's key is to be made. */
export type KeyPlace =
  | { kind: "sealed"; algorithm?: KeyAlgorithm }
  | { kind: "pkcs11"; uri: string };

/** An authority as verifiers need it. */
export interface Authority {
  id: string;
  certificate: X509Certificate;
  certificatePem: string;
  notAfter: Date;
}

/** An authority that can sign. */
export interface IssuingAuthority extends Authority {
  issuer: Issuer;
  devices: DeviceCertificates;
}

/** A root: what it is reached by from its predecessor is given along with it. */
export interface RootAuthority extends Authority {
  crossCertificatePem: string | null;
}

export function authorityOf(row: AuthorityRow): Authority {
  return {
    id: row.id,
    certificate: new X509Certificate(row.certificate_pem),
    certificatePem: row.certificate_pem,
    notAfter: row.not_after,
  };
}

/** Whether one authority's certificate was signed by the other's key. */
export function isSignedBy(
  certificate: X509Certificate,
  issuer: Pick<Authority, "certificate">,
): boolean {
  return (
    certificate.issuer === issuer.certificate.subject &&
    certificate.verify(issuer.certificate.publicKey)
  );
}
