import type { EventStreams } from "../event-stream.ts";
import type { Api } from "../types.ts";
import { type AcmeDeps, acmeRoutes } from "./acme.ts";
import { type AdmissionDeps, admissionRoutes } from "./admission.ts";
import { type AlertChannelDeps, alertChannelRoutes } from "./alert-channels.ts";
import { type AlertRuleDeps, alertRuleRoutes } from "./alert-rules.ts";
import { type AlertsDeps, alertRoutes } from "./alerts.ts";
import { type AnomalyDeps, anomalyRoutes } from "./anomalies.ts";
import { type ApplicationDeps, applicationRoutes } from "./applications.ts";
import { type ArtifactsDeps, artifactLinkRoutes } from "./artifacts.ts";
import { type AuditRouteDeps, auditRoutes } from "./audit.ts";
import { type AuditStreamDeps, auditStreamRoutes } from "./audit-streams.ts";
import { type BreakGlassDeps, breakGlassRoutes } from "./break-glass.ts";
import { type CertificatesDeps, certificateRoutes } from "./certificates.ts";
import { type ClaimDeps, claimRoutes } from "./claims.ts";
import { type CommandsDeps, commandRoutes } from "./commands.ts";
import { type ComponentsDeps, componentRoutes } from "./components.ts";
import { type DeclaredMetricsRouteDeps, declaredMetricRoutes } from "./declared-metrics.ts";
import { type DeviceRouteDeps, deviceRoutes } from "./devices.ts";
import { type EnrolmentDeps, enrolmentRoutes } from "./enrolment.ts";
import { type FactorDeps, factorRoutes } from "./factors.ts";
import { type FirmwareDeps, firmwareRoutes } from "./firmware.ts";
import { type FleetDeps, fleetRoutes } from "./fleet.ts";
import { type FleetHealthDeps, fleetHealthRoutes } from "./fleet-health.ts";
import { type KeyDeps, keyRoutes } from "./keys.ts";
import { type LogSearchesDeps, logSearchRoutes } from "./log-searches.ts";
import { type LogsDeps, logRoutes } from "./logs.ts";
import { type OperationsDeps, operationsRoutes } from "./operations.ts";
import { type OtlpDeps, otlpRootRoutes, otlpRoutes } from "./otlp.ts";
import { type PkiDeps, pkiRoutes } from "./pki.ts";
import { type PresenceDeps, presenceRoutes } from "./presence.ts";
import { type PrometheusDeps, prometheusRoutes } from "./prometheus.ts";
import { type ProviderDeps, providerRoutes } from "./providers.ts";
import { type RadarDeps, radarRoutes } from "./radar.ts";
import {
  type RegisteredAuthorityDeps,
  registeredAuthorityRoutes,
} from "./registered-authorities.ts";
import { type RetentionRouteDeps, retentionRoutes } from "./retention.ts";
import { type RoleDeps, roleRoutes } from "./roles.ts";
import { type RolloutsDeps, rolloutRoutes } from "./rollouts.ts";
import { type CampaignsDeps, campaignRoutes } from "./rotation-campaigns.ts";
import { type ServiceAccountDeps, serviceAccountRoutes, tokenRoutes } from "./service-accounts.ts";
import { type SessionDeps, sessionRoutes } from "./sessions.ts";
import { type TelemetryDeps, telemetryRoutes } from "./telemetry.ts";
import { type TelemetryExportDeps, telemetryExportRoutes } from "./telemetry-export.ts";
import { type TelemetryLiveDeps, telemetryLiveRoutes } from "./telemetry-live.ts";
import { type TelemetryQueryDeps, telemetryQueryRoutes } from "./telemetry-queries.ts";
import { type TenantDeps, tenantRoutes } from "./tenants.ts";
import { type TrustDeps, trustRoutes } from "./trust.ts";
import { type TwinRouteDeps, twinRoutes } from "./twins.ts";
import { type UpdatesDeps, updateRoutes } from "./updates.ts";
import { type UploadsDeps, uploadRoutes } from "./uploads.ts";
import { type UserDeps, userRoutes } from "./users.ts";
import { type WatchDeps, watchRoutes } from "./watch.ts";
import { type WebhooksDeps, webhookRoutes } from "./webhooks.ts";

/** What the routes need of the modules: each resource names its own part. */
export type ResourceDeps = AcmeDeps &
  AdmissionDeps &
  AlertChannelDeps &
  AlertRuleDeps &
  AlertsDeps &
  ArtifactsDeps &
  ApplicationDeps &
  AuditRouteDeps &
  AuditStreamDeps &
  BreakGlassDeps &
  CampaignsDeps &
  CertificatesDeps &
  ClaimDeps &
  CommandsDeps &
  ComponentsDeps &
  DeclaredMetricsRouteDeps &
  DeviceRouteDeps &
  EnrolmentDeps &
  FactorDeps &
  FirmwareDeps &
  FleetDeps &
  AnomalyDeps &
  FleetHealthDeps &
  PresenceDeps &
  KeyDeps &
  LogsDeps &
  LogSearchesDeps &
  OperationsDeps &
  OtlpDeps &
  PkiDeps &
  PrometheusDeps &
  ProviderDeps &
  RegisteredAuthorityDeps &
  RadarDeps &
  RetentionRouteDeps &
  RoleDeps &
  RolloutsDeps &
  ServiceAccountDeps &
  SessionDeps &
  TelemetryDeps &
  TelemetryExportDeps &
  Omit<TelemetryLiveDeps, "streams"> &
  TelemetryQueryDeps &
  TenantDeps &
  TrustDeps &
  TwinRouteDeps &
  UpdatesDeps &
  UploadsDeps &
  UserDeps &
  Omit<WatchDeps, "streams"> &
  WebhooksDeps;

export async function registerResources(
  api: Api,
  deps: ResourceDeps & { streams: EventStreams },
): Promise<void> {
  operationsRoutes(api, deps);
  await api.register(async (scope) => otlpRootRoutes(scope as unknown as Api, deps));
  await api.register(
    async (scope) => {
      const routes = scope as unknown as Api;
      sessionRoutes(routes, deps);
      providerRoutes(routes, deps);
      factorRoutes(routes, deps);
      serviceAccountRoutes(routes, deps);
      await scope.register((inner) => tokenRoutes(inner as unknown as Api, deps));
      tenantRoutes(routes, deps);
      keyRoutes(routes, deps);
      applicationRoutes(routes, deps);
      userRoutes(routes, deps);
      roleRoutes(routes, deps);
      auditRoutes(routes, deps);
      auditStreamRoutes(routes, deps);
      breakGlassRoutes(routes, deps);
      deviceRoutes(routes, deps);
      twinRoutes(routes, deps);
      enrolmentRoutes(routes, deps);
      claimRoutes(routes, deps);
      admissionRoutes(routes, deps);
      registeredAuthorityRoutes(routes, deps);
      certificateRoutes(routes, deps);
      radarRoutes(routes, deps);
      campaignRoutes(routes, deps);
      telemetryRoutes(routes, deps);
      telemetryQueryRoutes(routes, deps);
      telemetryExportRoutes(routes, deps);
      telemetryLiveRoutes(routes, deps);
      retentionRoutes(routes, deps);
      // A scope of its own: forms, and errors in the shape that its callers know.
      await scope.register(async (inner) => prometheusRoutes(inner as unknown as Api, deps));
      declaredMetricRoutes(routes, deps);
      fleetRoutes(routes, deps);
      anomalyRoutes(routes, deps);
      fleetHealthRoutes(routes, deps);
      presenceRoutes(routes, deps);
      commandRoutes(routes, deps);
      firmwareRoutes(routes, deps);
      componentRoutes(routes, deps);
      uploadRoutes(routes, deps);
      artifactLinkRoutes(routes, deps);
      trustRoutes(routes, deps);
      pkiRoutes(routes, deps);
      acmeRoutes(routes, deps);
      rolloutRoutes(routes, deps);
      updateRoutes(routes, deps);
      watchRoutes(routes, deps);
      logRoutes(routes, deps);
      logSearchRoutes(routes, deps);
      await scope.register(async (inner) => otlpRoutes(inner as unknown as Api, deps));
      alertRoutes(routes, deps);
      alertRuleRoutes(routes, deps);
      alertChannelRoutes(routes, deps);
      webhookRoutes(routes, deps);
    },
    { prefix: "/api/v1" },
  );
}
