import { Type } from "typebox";
import {
  DeviceId,
  listOf,
  Name,
  nullable,
  page,
  Sha256,
  strict,
  Tags,
  Timestamp,
  Uuid,
  view,
  Word,
} from "./common.ts";

const Pattern = Type.String({
  pattern: "^[A-Za-z0-9*?][A-Za-z0-9._*?-]{0,127}$",
  description: "Device ids that it may enrol: * and ? stand for any characters and for one",
});
const Csr = Type.String({
  maxLength: 16 * 1024,
  description: "PKCS#10 request, PEM or base64 DER",
});
const CertificatePem = Type.String({ maxLength: 16 * 1024, description: "PEM" });
const Region = Type.String({ maxLength: 64 });
const Approval = Type.Enum(["automatic", "preauthorised", "pending"] as const);
const WebhookSecret = Type.Optional(
  Type.String({ description: "Signs what the webhook is asked; shown this once" }),
);

/** What a device is that is new. */
const Device = {
  product: Word,
  hardwareRevision: Word,
  region: Type.Optional(Region),
  tags: Type.Optional(Tags),
};

/** Who decides besides the proof. */
const Policy = {
  approval: Type.Optional(
    Type.Enum(["automatic", "preauthorised", "pending"] as const, {
      description: "Nothing more, a place on the list, or a person's word (default automatic)",
    }),
  ),
  webhook: Type.Optional(
    strict({
      url: Type.String({ maxLength: 2048 }),
      onFailure: Type.Optional(
        Type.Enum(["refuse", "pending"] as const, {
          description: "What happens where it gives no usable answer (default refuse)",
        }),
      ),
    }),
  ),
};

const Claim = {
  name: Name,
  devicePattern: Pattern,
  ...Device,
  ...Policy,
  maxUses: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
  expiresAt: Timestamp,
};

export const ClaimTokenView = view("ClaimToken", {
  id: Uuid,
  kind: Type.Enum(["token", "shared-secret", "certificate"] as const),
  name: Type.String(),
  devicePattern: Type.String(),
  product: Type.String(),
  hardwareRevision: Type.String(),
  region: Type.String(),
  tags: Type.Record(Type.String(), Type.Unknown()),
  maxUses: Type.Integer(),
  usedCount: Type.Integer(),
  approval: Approval,
  webhookUrl: nullable(Type.String()),
  certificatePem: nullable(Type.String()),
  createdBy: Type.String(),
  createdAt: Timestamp,
  expiresAt: Timestamp,
  revokedAt: nullable(Timestamp),
});
export const ClaimTokenList = listOf("ClaimTokenList", ClaimTokenView);
export const CreateClaimTokenBody = strict(Claim);
export const CreatedClaimTokenView = view("CreatedClaimToken", {
  id: Uuid,
  token: Type.String({ description: "Shown this once" }),
  webhookSecret: WebhookSecret,
});
export const CreatedClaimSecretView = view("CreatedClaimSecret", {
  id: Uuid,
  reference: Type.String({ description: "What CMP sends as senderKID" }),
  secret: Type.String({ description: "Shown this once" }),
  webhookSecret: WebhookSecret,
});
export const CreateClaimCertificateBody = strict({
  ...Claim,
  csr: Type.Optional(Csr),
  authorityId: Type.Optional(Uuid),
});
export const CreatedClaimCertificateView = view("CreatedClaimCertificate", {
  id: Uuid,
  certificatePem: nullable(Type.String()),
  chainPem: nullable(Type.String()),
  keyPem: nullable(Type.String({ description: "Shown this once; null with a request" })),
  webhookSecret: WebhookSecret,
});

export const PendingEnrolmentView = view("PendingEnrolment", {
  id: Uuid,
  deviceId: Type.String(),
  publicKeySha256: Type.String({ description: "To be compared with what the device shows" }),
  status: Type.Enum(["pending", "accepted", "rejected"] as const),
  authority: Type.String(),
  authorityName: Type.String(),
  via: Type.String(),
  address: nullable(Type.String()),
  product: Type.String(),
  hardwareRevision: Type.String(),
  region: Type.String(),
  tags: Type.Record(Type.String(), Type.Unknown()),
  cause: Type.String(),
  requestedAt: Timestamp,
  lastAskedAt: Timestamp,
  expiresAt: Timestamp,
  decidedAt: nullable(Timestamp),
  decidedBy: nullable(Type.String()),
  decisionReason: nullable(Type.String()),
});
export const PendingEnrolmentList = listOf("PendingEnrolmentList", PendingEnrolmentView);
export const PendingQuery = strict({
  status: Type.Optional(Type.Enum(["pending", "accepted", "rejected"] as const)),
});
export const RejectBody = strict({ reason: Type.String({ minLength: 1, maxLength: 256 }) });

export const PreauthorisedView = view("PreauthorisedDevice", {
  deviceId: Type.String(),
  serialNumber: nullable(Type.String()),
  product: Type.String(),
  hardwareRevision: Type.String(),
  region: Type.String(),
  tags: Type.Record(Type.String(), Type.Unknown()),
  publicKeySha256: nullable(Type.String()),
  addedBy: Type.String(),
  addedAt: Timestamp,
  enrolledAt: nullable(Timestamp),
});
export const PreauthorisedPage = page("PreauthorisedDevicePage", PreauthorisedView);
export const AddPreauthorisedBody = strict({
  items: Type.Array(
    strict({
      deviceId: DeviceId,
      serialNumber: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
      publicKeySha256: Type.Optional(Sha256),
      ...Device,
    }),
    { minItems: 1, maxItems: 1_000 },
  ),
});
export const AddedPreauthorised = listOf(
  "AddedPreauthorisedDevices",
  Type.Object({
    deviceId: Type.String(),
    outcome: Type.Enum(["added", "changed", "refused"] as const),
    reason: Type.Optional(Type.String()),
  }),
);

const Field = Type.Optional(Type.String({ minLength: 1, maxLength: 256 }));
const Mapping = strict({
  template: Type.String({
    minLength: 1,
    maxLength: 256,
    description:
      "The device's id: letters, digits, . _ - and {cn} {ou} {o} {serialNumber} {uri} {dns}",
  }),
  fields: Type.Optional(
    strict(
      { cn: Field, ou: Field, o: Field, serialNumber: Field, uri: Field, dns: Field },
      { description: "What a field must look like; {} is the part that the template takes" },
    ),
  ),
});
export const RegisteredAuthorityView = view("RegisteredAuthority", {
  id: Uuid,
  name: Type.String(),
  status: Type.Enum(["unproved", "active", "disabled"] as const),
  purpose: Type.Enum(["devices", "claims"] as const),
  subject: Type.String(),
  fingerprint: Type.String(),
  notAfter: Timestamp,
  code: Type.String({ description: "Common name of the certificate that proves possession" }),
  codeExpiresAt: Timestamp,
  provedAt: nullable(Timestamp),
  mapping: Type.Object({
    template: Type.String(),
    fields: Type.Optional(Type.Record(Type.String(), Type.String())),
  }),
  devicePattern: Type.String(),
  product: Type.String(),
  hardwareRevision: Type.String(),
  region: Type.String(),
  tags: Type.Record(Type.String(), Type.Unknown()),
  maxDevices: Type.Integer(),
  deviceCount: Type.Integer(),
  approval: Approval,
  webhookUrl: nullable(Type.String()),
  createdBy: Type.String(),
  createdAt: Timestamp,
});
export const RegisteredAuthorityList = listOf("RegisteredAuthorityList", RegisteredAuthorityView);
export const RegisterAuthorityBody = strict({
  name: Name,
  certificatePem: CertificatePem,
  purpose: Type.Optional(Type.Enum(["devices", "claims"] as const)),
  mapping: Mapping,
  devicePattern: Pattern,
  ...Device,
  ...Policy,
  maxDevices: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
});
export const RegisteredAuthorityCreated = view("RegisteredAuthorityCreated", {
  authority: RegisteredAuthorityView,
  webhookSecret: WebhookSecret,
});
export const ProveAuthorityBody = strict({ certificatePem: CertificatePem });

export const EnrollDevicesBody = strict({
  items: Type.Array(strict({ id: DeviceId, csr: Csr, ...Device }), { minItems: 1, maxItems: 200 }),
});
export const EnrolledDevices = view("EnrolledDevices", {
  rootPem: Type.String(),
  items: Type.Array(
    view("EnrolledRow", {
      id: Type.String(),
      certificate: nullable(
        Type.Object({
          serial: Type.String(),
          certificatePem: Type.String(),
          chainPem: Type.String(),
        }),
      ),
      error: nullable(
        Type.Object({
          code: Type.String(),
          message: Type.String(),
          reason: nullable(Type.String()),
          step: nullable(Type.String()),
        }),
      ),
    }),
  ),
});
