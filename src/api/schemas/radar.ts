import { Type } from "typebox";
import {
  DeviceId,
  FleetQueryText,
  nullable,
  page,
  strict,
  Timestamp,
  Uuid,
  view,
} from "./common.ts";

const NamedCount = view("NamedCount", { name: Type.String(), count: Type.Integer() });

export const RadarView = view("CertificateRadar", {
  generatedAt: Timestamp,
  devices: Type.Integer(),
  withoutCertificate: Type.Integer(),
  quarantined: Type.Integer(),
  held: Type.Integer({ description: "Certificates on hold" }),
  revoked: Type.Integer({ description: "Revoked for other reasons than that others followed" }),
  failing: Type.Integer({ description: "Devices whose rotation is in trouble" }),
  knocks24h: Type.Integer({ description: "Certificates refused within a day" }),
  expired: Type.Integer(),
  overdue: Type.Integer({ description: "Past five sixths of their life, and not renewed" }),
  weeks: Type.Array(view("ExpiryWeek", { startsAt: Timestamp, count: Type.Integer() }), {
    description: "In which week certificates end, from now on",
  }),
  later: Type.Integer(),
  algorithms: Type.Array(NamedCount),
  authorities: Type.Array(
    view("AuthorityCount", { id: Uuid, name: Type.String(), count: Type.Integer() }),
  ),
  steps: Type.Array(NamedCount, { description: "Steps at which rotations are stuck" }),
});

const RotationError = view("RotationError", { element: Type.String(), message: Type.String() });
export const TroubledRotationPage = page(
  "TroubledRotationPage",
  view("TroubledRotation", {
    deviceId: DeviceId,
    step: Type.String(),
    error: RotationError,
    failures: Type.Integer(),
    startedAt: Timestamp,
    updatedAt: Timestamp,
    notAfter: nullable(Timestamp),
  }),
);
export const KnockPage = page(
  "KnockPage",
  view("Knock", {
    fingerprint: Type.String(),
    subject: Type.String(),
    issuer: Type.String(),
    deviceId: nullable(Type.String()),
    reason: Type.String(),
    count: Type.Integer(),
    firstSeenAt: Timestamp,
    lastSeenAt: Timestamp,
    address: nullable(Type.String()),
  }),
);
export const DeviceRotationView = view("DeviceRotation", {
  state: nullable(
    view("RotationState", {
      step: Type.String(),
      error: nullable(RotationError),
      failures: Type.Integer(),
      serial: nullable(Type.String()),
      startedAt: Timestamp,
      updatedAt: Timestamp,
    }),
  ),
  failures: Type.Array(
    view("RotationFailure", {
      at: Timestamp,
      step: Type.String(),
      element: Type.String(),
      message: Type.String(),
    }),
  ),
});

export const CampaignStateName = Type.Enum([
  "waiting",
  "scheduled",
  "rotating",
  "succeeded",
  "failed",
  "skipped",
  "cancelled",
] as const);
export const CampaignView = view("RotationCampaign", {
  id: Uuid,
  status: Type.Enum(["running", "paused", "finished", "cancelled"] as const),
  query: Type.String({ description: "Empty where devices were named" }),
  concurrency: Type.Integer(),
  deadlineSeconds: Type.Integer(),
  jitterSeconds: Type.Integer(),
  createdAt: Timestamp,
  createdBy: Type.String(),
  finishedAt: nullable(Timestamp),
  total: Type.Integer(),
  waiting: Type.Integer(),
  rotating: Type.Integer(),
  succeeded: Type.Integer(),
  failed: Type.Integer(),
  skipped: Type.Integer(),
  cancelled: Type.Integer(),
});
export const CampaignPage = page("RotationCampaignPage", CampaignView);
export const CampaignDevicePage = page(
  "RotationCampaignDevicePage",
  view("RotationCampaignDevice", {
    deviceId: DeviceId,
    state: CampaignStateName,
    commandId: nullable(Uuid),
    sentAt: nullable(Timestamp),
    finishedAt: nullable(Timestamp),
    step: nullable(Type.String()),
    error: nullable(Type.String()),
  }),
);
export const CreateCampaignBody = strict({
  devices: Type.Optional(Type.Array(DeviceId, { minItems: 1, maxItems: 10_000 })),
  query: Type.Optional(FleetQueryText),
  concurrency: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 1_000, description: "Devices at a time; 50 if left out" }),
  ),
  deadlineSeconds: Type.Optional(
    Type.Integer({ minimum: 10, maximum: 30 * 86_400, description: "For each device; 3600" }),
  ),
  jitterSeconds: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 86_400, description: "Scatters the commands; 10" }),
  ),
});
