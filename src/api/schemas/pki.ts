import { Type } from "typebox";
import { listOf, nullable, Sha256, strict, TenantId, Timestamp, Uuid, view } from "./common.ts";

const authority = {
  id: Uuid,
  tenantId: nullable(Type.String()),
  kind: Type.Enum(["root", "tenant", "server"] as const),
  status: Type.Enum(["active", "retiring", "revoked", "ended"] as const),
  subject: Type.String(),
  fingerprint: Type.String({ description: "SHA-256 over the certificate, hex" }),
  algorithm: Type.String(),
  keyKind: Type.Enum(["sealed", "pkcs11", "offline"] as const),
  keyUri: nullable(Type.String({ description: "RFC 7512, of a key in a token" })),
  issuerId: nullable(Type.String({ description: "The root that signed it" })),
  createdAt: Timestamp,
  notAfter: Timestamp,
};

export const AuthorityView = view("Authority", authority);
export const AuthorityList = listOf("AuthorityList", AuthorityView);

export const AcmeStatusView = view("AcmeStatus", {
  directoryUrl: Type.String(),
  names: Type.Array(Type.String()),
  listeners: Type.Array(Type.Enum(["api", "device-http", "gateway"] as const)),
  state: Type.Enum(["waiting", "ordering", "valid", "failing", "expired"] as const),
  notAfter: nullable(Timestamp),
  renewAt: nullable(Timestamp),
  failures: Type.Integer({ description: "Attempts that failed since the last success" }),
  lastStep: nullable(Type.String({ description: "Where the last attempt failed" })),
  lastError: nullable(Type.String({ description: "What the authority said, or what went wrong" })),
  attemptedAt: nullable(Timestamp),
  nextAttemptAt: nullable(Timestamp),
});

const PendingAuthorityView = view("PendingAuthority", {
  id: Uuid,
  tenantId: nullable(Type.String()),
  kind: Type.Enum(["tenant", "server"] as const),
  subject: Type.String(),
  createdAt: Timestamp,
});

export const HierarchyView = view("Hierarchy", {
  authorities: Type.Array(AuthorityView),
  pending: Type.Array(PendingAuthorityView, { description: "What waits for the offline root" }),
  rootList: nullable(
    view("RootList", {
      state: Type.Enum(["missing", "current", "stale", "ending", "ended"] as const),
      number: nullable(Type.Integer()),
      thisUpdate: nullable(Timestamp),
      nextUpdate: nullable(Timestamp),
      entries: Type.Integer(),
      unlisted: Type.Integer({ description: "Authorities that were revoked since it was signed" }),
    }),
  ),
});

export const TenantAuthoritiesView = view("TenantAuthorities", {
  authorities: Type.Array(
    view("TenantAuthority", {
      ...authority,
      liveCertificates: Type.Integer({ description: "Certificates of it that are in use" }),
    }),
  ),
  pending: Type.Array(PendingAuthorityView),
});

export const RequestBundleView = view("AuthorityRequestBundle", {
  format: Type.String(),
  trustDomain: Type.String(),
  rootFingerprint: Type.String(),
  createdAt: Timestamp,
  requests: Type.Array(
    Type.Object({
      id: Type.String(),
      kind: Type.Enum(["tenant", "server"] as const),
      tenantId: Type.String(),
      csr: Type.String(),
    }),
  ),
  revocationList: Type.Optional(
    Type.Object(
      {
        number: Type.Integer(),
        entries: Type.Array(
          Type.Object({ serial: Type.String(), revokedAt: Timestamp, code: Type.Integer() }),
        ),
      },
      { description: "What the offline root's next revocation list is to say" },
    ),
  ),
});

const Pem = Type.String({ minLength: 1, maxLength: 16_384 });

export const ImportSignedBody = strict({
  format: Type.String({ maxLength: 64 }),
  rootFingerprint: Sha256,
  certificates: Type.Array(strict({ id: Uuid, certificatePem: Pem }), { maxItems: 10_000 }),
  revocationList: Type.Optional(
    Type.String({ maxLength: 2_000_000, description: "The root's revocation list, PEM" }),
  ),
});

const Algorithm = Type.Optional(Type.Enum(["ecdsa-p256", "ed25519"] as const));
const TokenUri = Type.Optional(
  Type.String({ maxLength: 1_000, description: "pkcs11:token=...;object=... (RFC 7512)" }),
);

export const RotateAuthorityBody = strict({ algorithm: Algorithm });
export const RotateBody = strict({
  kind: Type.Enum(["tenant", "server"] as const),
  tenant: Type.Optional(TenantId),
  algorithm: Algorithm,
  tokenUri: TokenUri,
});
export const RotateRootBody = strict({
  algorithm: Algorithm,
  tokenUri: TokenUri,
  certificatePem: Type.Optional(Pem),
  crossCertificatePem: Type.Optional(Pem),
});
export const RotationView = view("AuthorityRotation", {
  outcome: Type.Enum(["issued", "requested"] as const),
});

export const EndAuthorityBody = strict({
  force: Type.Optional(
    Type.Boolean({ description: "Even though certificates that it issued are in use" }),
  ),
});
export const EndedAuthorityView = view("EndedAuthority", {
  cutOff: Type.Integer({ description: "Certificates in use that were revoked with it" }),
});

export const CompromisedKeyView = view("CompromisedKey", {
  publicKeySha256: Type.String(),
  reason: Type.String(),
  addedBy: Type.String(),
  addedAt: Timestamp,
});
export const CompromisedKeyList = listOf("CompromisedKeyList", CompromisedKeyView);
export const AddCompromisedKeyBody = strict({
  pem: Pem,
  reason: Type.String({ minLength: 1, maxLength: 256 }),
});
