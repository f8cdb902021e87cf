import { Type } from "typebox";
import { REVOCATION_REASON_NAMES } from "../../identity/index.ts";
import {
  DeviceId,
  FleetQueryText,
  listOf,
  nullable,
  page,
  strict,
  Timestamp,
  Uuid,
  view,
} from "./common.ts";

export const Serial = Type.String({
  pattern: "^[0-9a-f]{1,64}$",
  description: "Serial number in lower-case hex",
});
export const CertificateStatus = Type.Enum(["active", "superseded", "held", "revoked"] as const);
const Reason = Type.Enum(REVOCATION_REASON_NAMES, {
  description: "CRLReason of RFC 5280; certificateHold can be lifted",
});
const Comment = Type.String({ minLength: 1, maxLength: 256 });

export const CertificateView = view("Certificate", {
  serial: Type.String(),
  deviceId: DeviceId,
  authorityId: Uuid,
  status: CertificateStatus,
  subject: Type.String(),
  fingerprint: Type.String(),
  keyAlgorithm: nullable(Type.String({ description: "Such as ec-p256, ed25519, rsa-2048" })),
  notBefore: Timestamp,
  notAfter: Timestamp,
  issuedAt: Timestamp,
  issuedVia: Type.String(),
  firstUsedAt: nullable(Timestamp),
  confirmedAt: nullable(Timestamp),
  supersededAt: nullable(Timestamp),
  revokedAt: nullable(Timestamp),
  revocationReason: nullable(Type.String({ description: "In people's words" })),
  revocationCode: nullable(Reason),
});
export const CertificateList = listOf("CertificateList", CertificateView);
export const CertificatePage = page("CertificatePage", CertificateView);

/** Which certificates: by serial, or all of the devices that are named or that a query finds. */
const Selection = {
  serials: Type.Optional(Type.Array(Serial, { minItems: 1, maxItems: 10_000 })),
  devices: Type.Optional(Type.Array(DeviceId, { minItems: 1, maxItems: 10_000 })),
  query: Type.Optional(FleetQueryText),
};
export const RevokeCertificatesBody = strict({
  ...Selection,
  reason: Reason,
  comment: Type.Optional(Comment),
});
export const UnholdCertificatesBody = strict({ ...Selection, comment: Type.Optional(Comment) });
export const RevocationOutcomeView = view("RevocationOutcome", {
  certificates: Type.Integer({ description: "Certificates whose standing changed" }),
  devices: Type.Integer({ description: "Devices that they belong to, or that were revoked" }),
  unknown: Type.Array(Type.String(), { description: "What the tenant does not have, first 100" }),
  unknownCount: Type.Integer(),
});

export const QuarantineBody = strict({ reason: Comment });
export const QuarantineList = listOf(
  "QuarantineList",
  view("Quarantine", {
    id: Uuid,
    reason: Type.String(),
    setAt: Timestamp,
    setBy: Type.String(),
    liftReason: nullable(Type.String()),
    liftedAt: nullable(Timestamp),
    liftedBy: nullable(Type.String()),
  }),
);
