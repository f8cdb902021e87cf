import { Type } from "typebox";
import { REVOCATION_REASON_NAMES } from "../../identity/index.ts";
import { nullable, page, Role, strict, Timestamp, view } from "./common.ts";

/** A hold cannot be lifted from an application: it is issued anew. */
const HOLD_NAME = "certificateHold";

const ApplicationName = Type.String({
  pattern: "^[a-z0-9][a-z0-9-]{0,62}$",
  description: "It stands in the certificate: spiffe://<tenant>.<domain>/application/<name>",
});
export const Serial = Type.String({ pattern: "^[0-9a-f]{1,64}$" });

const certificate = {
  serial: Serial,
  name: ApplicationName,
  role: Role,
  status: Type.Enum(["active", "expired", "revoked"] as const),
  notBefore: Timestamp,
  notAfter: Timestamp,
  issuedAt: Timestamp,
  issuedBy: Type.String(),
  lastUsedAt: nullable(Timestamp),
  revokedAt: nullable(Timestamp),
  revocationReason: nullable(Type.String()),
};

export const ApplicationCertificateView = view("ApplicationCertificate", certificate);
export const ApplicationCertificatePage = page(
  "ApplicationCertificatePage",
  ApplicationCertificateView,
);

export const IssueApplicationBody = strict({
  name: ApplicationName,
  role: Role,
  csr: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 16_384,
      description: "PKCS#10, PEM or base64 DER; without it a key is made and shown once",
    }),
  ),
  lifetimeHours: Type.Optional(Type.Integer({ minimum: 1, maximum: 17_568, default: 2_160 })),
});

export const IssuedApplicationView = view("IssuedApplicationCertificate", {
  ...certificate,
  chainPem: Type.String({ description: "The certificate and the tenant's authority" }),
  rootsPem: Type.String({ description: "What the client trusts" }),
  keyPem: Type.Optional(Type.String({ description: "Shown this once" })),
});

export const RevokeApplicationQuery = strict({
  reason: Type.Optional(Type.Enum(REVOCATION_REASON_NAMES.filter((name) => name !== HOLD_NAME))),
});
