import type * as G from "../../../src/client/generated-api.ts";

/** The API's shapes in the words of the pages, narrower where openapi.json says less. */
export type Session = G.Whoami;
export type Membership = Session["tenants"][number];
export type TenantRole = "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor";
export type RoleView = G.Role;
export type QuotaUse = G.QuotaUse;
export const TENANT_ROLES: readonly TenantRole[] = [
  "viewer",
  "operator",
  "fleet-engineer",
  "administrator",
  "auditor",
];

export type TenantView = G.Tenant;
export type TenantSettings = G.TenantSettings;
export type UserView = G.User;
export type DeviceView = G.Device;
export type FleetSummary = G.FleetSummary;
export type GroupView = G.Group;
export type HealthRow = G.FleetHealthRow;
export type MatrixCell = G.MatrixCell;
export type FleetMoment = G.FleetMoment;
export type CrashGroupView = G.CrashGroup;
export type RestartGroupView = G.RestartGroup;
export type ComparisonView = G.ReleaseComparison;
export type SeriesPoint = G.TelemetryPoint;
export type Series = G.TelemetrySeries;
export type LatestMetric = G.LatestMetric;
export type DeviceEventRecord = G.DeviceEvent;
export type TimelineEntry = G.TimelineEntry;
export type CertificateView = G.Certificate;
export type CommandView = G.Command;
export type TwinView = G.Twin;
export type CommandStatus = G.Command["status"];
export type CommandBatchView = G.CommandBatch;
export type LogRecord = G.LogLine;
export type Span = G.Span;
export type Trace = G.Trace;
export type ReleaseView = G.Release;
export type ReleaseDetailView = G.ReleaseDetail;
export type ReleaseFileView = ReleaseDetailView["files"][number];
export type ProvenanceView = G.ProvenanceSummary;
export type SbomView = G.SbomSummary;
export type ComponentView = G.ReleaseComponent;
export type Channel = ReleaseView["channel"];
export const CHANNELS: readonly Channel[] = ["dev", "beta", "stable"];
export type DeltaView = G.Delta;
export type AlertView = G.Alert;
export type AuditEntry = G.AuditEntry;
export type AuditProof = G.AuditVerification;
export type ApplicationCertificate = G.ApplicationCertificate;
export type IssuedApplication = G.IssuedApplicationCertificate;
export type KeyView = G.ApiKey;
export type ClaimTokenView = G.ClaimToken;
export type WebhookView = G.Webhook;

export interface UpdateFailure {
  phase: string;
  element: string;
  message: string;
}
export type UpdateRecord = Omit<G.DeviceUpdate, "failure"> & { failure: UpdateFailure | null };

export type RolloutPolicy = G.RolloutPolicy;
export type RolloutPlan = G.RolloutPlan;
export type RolloutSpec = G.Operations["createRollout"]["body"];
export type StageView = G.RolloutStage;
export type Evidence = G.RolloutEvidence;
export type RolloutDevice = G.RolloutDevice;
export type Verdict = G.RolloutVerdict;
export type RolloutView = G.Rollout;

/** What the gate counted, inside a verdict's `numbers`. */
export interface VerdictNumbers {
  metrics?: Record<string, Evidence & { pauseAt?: number }>;
  excluded?: Record<string, number>;
  observations?: { metric: string; value: number; devices: number; deviceHours: number }[];
  stageAgeSeconds?: number;
}

/** The numbers of a verdict; a person's decision has none. */
export function numbersOf(verdict: Verdict | null): VerdictNumbers {
  return (verdict?.numbers ?? {}) as VerdictNumbers;
}

export function failureOf(device: RolloutDevice): UpdateFailure | null {
  return (device.failure ?? null) as UpdateFailure | null;
}

export type Radar = G.CertificateRadar;
export type Campaign = G.RotationCampaign;
export type Knock = G.Knock;
export type PendingEnrolment = G.PendingEnrolment;
export type PreauthorisedDevice = G.PreauthorisedDevice;
export type RegisteredAuthority = G.RegisteredAuthority;
export type TroubledRotation = G.TroubledRotation;
