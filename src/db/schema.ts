// Written by tools/build-db-types.ts from migrations/. Do not edit.
import type { ColumnType, Generated } from "kysely";

// biome-ignore lint/suspicious/noExplicitAny: the shape is the owning module's
type AnyJson = any;
/** JSON as the driver returns it; give arrays to it as text, objects as they are. */
export type Json = ColumnType<AnyJson, object | string, object | string>;
export type OptionalJson = ColumnType<
  AnyJson,
  object | string | null | undefined,
  object | string | null
>;

export interface AcmeAccountsTable {
  directory_url: string;
  external_key_id: string;
  key_sealed: Buffer;
  account_url: string | null;
  created_at: Date;
}

export interface AcmeCertificatesTable {
  directory_url: string;
  names: string;
  certificate_pem: string | null;
  private_key_sealed: Buffer | null;
  not_before: Date | null;
  not_after: Date | null;
  failures: Generated<number>;
  last_step: string | null;
  last_error: string | null;
  attempted_at: Date | null;
  next_attempt_at: Date;
  leased_until: Date | null;
}

export interface AcmeChallengesTable {
  token: string;
  key_authorization: string;
  expires_at: Date;
}

export interface AlertChannelsTable {
  tenant_id: string;
  id: string;
  name: string;
  kind: "webhook" | "email" | "slack" | "pagerduty";
  settings: Json;
  secret_sealed: Buffer | null;
  enabled: boolean;
  created_at: Date;
  created_by: string;
  updated_at: Date;
}

export interface AlertDeliveriesTable {
  tenant_id: string;
  id: string;
  channel_id: string;
  notification: Json;
  status: "pending" | "delivered" | "failed";
  attempts: Generated<number>;
  next_attempt_at: Date | null;
  last_status: number | null;
  last_error: string | null;
  created_at: Date;
  delivered_at: Date | null;
}

export interface AlertFeedbackTable {
  tenant_id: string;
  alert_id: string;
  metric: string;
  useful: boolean;
  at: Date;
  by: string;
}

export interface AlertGroupMembersTable {
  tenant_id: string;
  group_id: string;
  alert_id: string;
}

export interface AlertGroupsTable {
  tenant_id: string;
  id: string;
  route: string;
  group_key: string;
  labels: Json;
  created_at: Date;
  flush_at: Date;
  flushed_at: Date | null;
  notified_at: Date | null;
  notified: OptionalJson;
  escalated: Generated<number>;
  heard_steps: Generated<number>;
}

export interface AlertHistoryTable {
  tenant_id: string;
  id: Generated<number>;
  alert_id: string;
  at: Date;
  what: string;
  who: string | null;
  details: OptionalJson;
}

export interface AlertPoliciesTable {
  tenant_id: string;
  document: Json;
  updated_at: Date;
  updated_by: string;
}

export interface AlertRuleStatesTable {
  tenant_id: string;
  rule_id: string;
  key: string;
  state: "pending" | "firing";
  since: Date;
  last_true_at: Date;
  value: number | null;
  labels: OptionalJson;
  dismissed: Generated<boolean>;
}

export interface AlertRulesTable {
  tenant_id: string;
  id: string;
  name: string;
  enabled: boolean;
  spec: Json;
  created_at: Date;
  created_by: string;
  updated_at: Date;
  updated_by: string;
  next_evaluation_at: Date;
  evaluated_at: Date | null;
  last_error: string | null;
  firing: Generated<number>;
  pending: Generated<number>;
}

export interface AlertSilencesTable {
  tenant_id: string;
  id: string;
  matchers: string[];
  starts_at: Date;
  ends_at: Date;
  comment: string;
  created_at: Date;
  created_by: string;
  ended_by: string | null;
}

export interface AlertsTable {
  tenant_id: string;
  id: string;
  dedup_key: string;
  kind: string;
  severity: "info" | "warning" | "critical";
  title: string;
  subject_kind: string;
  subject_id: string;
  state: "open" | "acknowledged" | "resolved";
  details: OptionalJson;
  occurrences: Generated<number>;
  opened_at: Date;
  last_seen_at: Date;
  acknowledged_at: Date | null;
  acknowledged_by: string | null;
  resolved_at: Date | null;
  labels: OptionalJson;
  annotations: OptionalJson;
  rule_id: string | null;
  resolved_by: string | null;
  undispatched: Generated<boolean>;
}

export interface ApiKeysTable {
  tenant_id: string;
  id: string;
  name: string;
  role: "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor" | null;
  key_hash: Buffer;
  created_by: string;
  created_at: Date;
  expires_at: Date | null;
  last_used_at: Date | null;
  revoked_at: Date | null;
  service_account_id: string | null;
  scopes: string[] | null;
  custom_role: string | null;
  groups: string[] | null;
}

export interface ApplicationCertificatesTable {
  tenant_id: string;
  serial: string;
  name: string;
  role: "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor";
  ca_id: string;
  status: "active" | "revoked";
  fingerprint: string;
  public_key_sha256: string;
  not_before: Date;
  not_after: Date;
  issued_at: Date;
  issued_by: string;
  last_used_at: Date | null;
  revoked_at: Date | null;
  revocation_reason: string | null;
  revocation_code: number | null;
}

export interface ApplicationMessagesTable {
  tenant_id: string;
  client_key: string;
  seq: Generated<number>;
  topic: string;
  payload: Buffer;
  qos: number;
  retain: boolean;
  properties: Json;
  identifiers: number[];
  expires_at: Date | null;
}

export interface ApplicationRetainedTable {
  tenant_id: string;
  topic: string;
  payload: Buffer;
  qos: number;
  properties: Json;
  expires_at: Date | null;
}

export interface ApplicationSessionsTable {
  tenant_id: string;
  client_key: string;
  epoch: number;
  holder: string;
  resumed: boolean;
  expiry_seconds: number;
  expires_at: Date | null;
  state: Json;
  armed_will: OptionalJson;
  will: OptionalJson;
  will_at: Date | null;
}

export interface ArtifactsTable {
  tenant_id: string;
  sha256: string;
  size_bytes: number;
  kind: "image" | "full-zstd" | "patch";
  created_at: Date;
}

export interface AuditCheckpointsTable {
  tenant_id: string;
  number: number;
  seq: number;
  hash: Buffer;
  at: Date;
  key_id: string;
  signature: Buffer;
}

export interface AuditEntriesTable {
  tenant_id: string;
  seq: number;
  at: Date;
  actor_kind: string;
  actor_id: string;
  actor_name: string;
  action: string;
  target_kind: string;
  target_id: string;
  outcome: "done" | "refused";
  address: string | null;
  trace_id: string | null;
  details: Json;
  previous_hash: Buffer;
  hash: Buffer;
}

export interface AuditHeadsTable {
  tenant_id: string;
  seq: number;
  hash: Buffer;
}

export interface AuditStreamsTable {
  tenant_id: string;
  id: string;
  url: string;
  secret_sealed: Buffer | null;
  authority_pem: string | null;
  seq: Generated<number>;
  attempts: Generated<number>;
  next_attempt_at: Date;
  last_error: string | null;
  delivered_at: Date | null;
  created_at: Date;
  created_by: string;
}

export interface AuthorityRequestsTable {
  tenant_id: string;
  id: string;
  kind: "tenant" | "server";
  subject: string;
  request_pem: string;
  key_kind: "sealed" | "pkcs11";
  key_uri: string | null;
  private_key_sealed: Buffer | null;
  created_at: Date;
}

export interface BreakGlassTable {
  id: string;
  tenant_id: string;
  user_id: string;
  role: "viewer" | "operator" | "fleet-engineer" | "auditor";
  reason: string;
  opened_at: Date;
  expires_at: Date;
  ended_at: Date | null;
}

export interface CertificateAuthoritiesTable {
  tenant_id: string;
  id: string;
  kind: "root" | "tenant" | "server";
  status: "active" | "retiring" | "revoked" | "ended";
  subject: string;
  certificate_pem: string;
  private_key_sealed: Buffer | null;
  fingerprint: string;
  key_identifier: string;
  created_at: Date;
  not_after: Date;
  key_kind: Generated<"sealed" | "offline" | "pkcs11">;
  key_uri: string | null;
  cross_certificate_pem: string | null;
  ended_at: Date | null;
  revoked_at: Date | null;
}

export interface CertificateKnocksTable {
  tenant_id: string;
  fingerprint: string;
  subject: string;
  issuer: string;
  device_id: string | null;
  reason: string;
  count: number;
  first_seen_at: Date;
  last_seen_at: Date;
  address: string | null;
}

export interface CertificateRotationsTable {
  tenant_id: string;
  device_id: string;
  step: string;
  error_element: string | null;
  error_message: string | null;
  failures: Generated<number>;
  serial: string | null;
  started_at: Date;
  updated_at: Date;
}

export interface CertificatesTable {
  tenant_id: string;
  serial: string;
  device_id: string;
  ca_id: string;
  status: "active" | "superseded" | "revoked";
  subject: string;
  fingerprint: string;
  public_key_sha256: string;
  not_before: Date;
  not_after: Date;
  issued_at: Date;
  issued_via: string;
  first_used_at: Date | null;
  superseded_at: Date | null;
  revoked_at: Date | null;
  revocation_reason: string | null;
  certificate_der: Buffer | null;
  confirmed_at: Date | null;
  revocation_code: number | null;
  held_status: "active" | "superseded" | null;
  revocation_changed_at: Date | null;
  key_algorithm: string | null;
}

export interface ClaimTokensTable {
  tenant_id: string;
  id: string;
  name: string;
  token_hash: Buffer;
  device_pattern: string;
  product: string;
  hardware_revision: string;
  region: Generated<string>;
  tags: OptionalJson;
  max_uses: number;
  used_count: Generated<number>;
  created_by: string;
  created_at: Date;
  expires_at: Date;
  revoked_at: Date | null;
  kind: Generated<"token" | "shared-secret" | "certificate">;
  approval: Generated<"automatic" | "preauthorised" | "pending">;
  webhook_url: string | null;
  webhook_secret_sealed: Buffer | null;
  webhook_on_failure: "refuse" | "pending" | null;
  secret_sealed: Buffer | null;
  certificate_pem: string | null;
  authority_id: string | null;
}

export interface ClaimUsesTable {
  tenant_id: string;
  claim_id: string;
  device_id: string;
  request_key_sha256: string;
  used_at: Date;
}

export interface CmpTransactionsTable {
  tenant_id: string;
  id: Buffer;
  status: "waiting" | "issued" | "confirmed" | "rejected";
  request: string;
  peer_hash: Buffer;
  message: Buffer | null;
  device_id: string;
  certificate_serial: string | null;
  certificate_sha256: string | null;
  created_at: Date;
  expires_at: Date;
  certificate_der: Buffer | null;
}

export interface CommandBatchesTable {
  tenant_id: string;
  id: string;
  name: string;
  target_kind: "devices" | "group" | "query";
  target: string;
  state: "running" | "paused" | "cancelled";
  device_count: number;
  ttl_seconds: number;
  concurrency: number | null;
  batch_size: number | null;
  interval_seconds: number | null;
  release_at: Date | null;
  created_at: Date;
  created_by: string;
  traceparent: string | null;
  confined_to: Generated<string[] | null>;
}

export interface CommandsTable {
  tenant_id: string;
  id: string;
  device_id: string;
  seq: Generated<number>;
  name: string;
  args: Json;
  status:
    | "waiting"
    | "queued"
    | "delivered"
    | "accepted"
    | "running"
    | "succeeded"
    | "failed"
    | "rejected"
    | "expired"
    | "timed-out"
    | "replaced"
    | "cancelled";
  created_at: Date;
  created_by: string;
  expires_at: Date;
  delivered_at: Date | null;
  finished_at: Date | null;
  output: OptionalJson;
  error: string | null;
  late_result: OptionalJson;
  late_result_at: Date | null;
  traceparent: string | null;
  batch_id: string | null;
  priority: Generated<number>;
  coalesce_key: string | null;
  replaced_by: string | null;
  deliver_seconds: number | null;
  accept_seconds: number | null;
  run_seconds: number | null;
  deadline_at: Date | null;
  attempt: Generated<number>;
  max_attempts: Generated<number>;
  retry_seconds: Generated<number>;
  retry_on: Generated<string[]>;
  retry_of: string | null;
  retried_by: string | null;
  release_at: Date | null;
  accepted_at: Date | null;
  progress: number | null;
  stream: string | null;
  stream_next: Generated<number>;
  stream_cut: Generated<boolean>;
  due_at: Date | null;
}

export interface CompromisedKeysTable {
  public_key_sha256: string;
  reason: string;
  added_by: string;
  added_at: Date;
}

export interface DeltasTable {
  tenant_id: string;
  source_sha256: string;
  target_sha256: string;
  format:
    | "full-zstd"
    | "zstd-patch"
    | "vdelta-fast"
    | "vdelta-small"
    | "unpacked-fast"
    | "unpacked-small";
  status: "queued" | "building" | "ready" | "failed" | "skipped";
  artifact_sha256: string | null;
  size_bytes: number | null;
  target_size_bytes: number | null;
  build_ms: number | null;
  error: string | null;
  attempts: Generated<number>;
  lease_expires_at: Date | null;
  created_at: Date;
  finished_at: Date | null;
  progress: number | null;
  requires: string | null;
  unpacked: OptionalJson;
  devices: Generated<number>;
}

export interface DetectorLeasesTable {
  tenant_id: string;
  holder: string;
  until: Date;
}

export interface DetectorMetricsTable {
  tenant_id: string;
  metric: string;
  enabled: boolean;
  updated_at: Date;
  updated_by: string;
}

export interface DetectorSnapshotsTable {
  tenant_id: string;
  part: number;
  data: Buffer;
  saved_at: Date;
}

export interface DetectorWorkersTable {
  name: string;
  seen_at: Date;
}

export interface DeviceGroupsTable {
  tenant_id: string;
  name: string;
  query: string;
  created_at: Date;
}

export interface DeviceIncidentsTable {
  tenant_id: string;
  device_id: string;
  kind: string;
  key: string;
  occurred_at: Date;
  received_at: Date;
  firmware_sha256: string | null;
  details: OptionalJson;
  counted_at: Date | null;
  boot_id: string | null;
  told_by_boot: Generated<boolean>;
  also_key: string | null;
  signature: string | null;
}

export interface DeviceStatesTable {
  tenant_id: string;
  device_id: string;
  presence: Generated<"never" | "online" | "late" | "offline">;
  presence_changed_at: Date | null;
  presence_deadline_at: Date | null;
  connected: Generated<boolean>;
  gateway_id: string | null;
  connection_id: string | null;
  connected_at: Date | null;
  disconnected_at: Date | null;
  disconnect_reason: string | null;
  last_seen_at: Date | null;
  last_heartbeat_at: Date | null;
  heartbeat_seq: Generated<number>;
  boot_id: string | null;
  booted_at: Date | null;
  uptime_seconds: number | null;
  firmware_version: string | null;
  firmware_version_key: string | null;
  firmware_sha256: string | null;
  slot: string | null;
  other_slot_version: string | null;
  other_slot_sha256: string | null;
  formats: Generated<string[]>;
  metrics: OptionalJson;
  assignment_sequence: Generated<number>;
  boot_chain: OptionalJson;
  secure_boot: boolean | null;
  clock_offset_ms: number | null;
  heartbeat_jitter_ms: Generated<number>;
  asleep_until: Date | null;
  link_drops: Generated<number>;
  link_drops_at: Date | null;
  health: Generated<"unknown" | "healthy" | "degraded" | "failing" | "offline">;
  health_reasons: OptionalJson;
  health_changed_at: Date | null;
  health_due_at: Date | null;
}

export interface DeviceTimelineTable {
  tenant_id: string;
  device_id: string;
  at: Date;
  id: Generated<string>;
  kind: string;
  details: OptionalJson;
}

export interface DevicesTable {
  tenant_id: string;
  id: string;
  product: string;
  hardware_revision: string;
  region: Generated<string>;
  tags: OptionalJson;
  status: Generated<"active" | "quarantined" | "revoked">;
  created_at: Date;
  enrolled_at: Date | null;
}

export interface DownloadSharesTable {
  tenant_id: string;
  rollout_id: string;
  process: string;
  wanted: number;
  active: number;
  places: number;
  bytes_per_second: number;
  until: Date;
}

export interface FleetHistoryTable {
  tenant_id: string;
  at: Date;
  firmware: string;
  hardware: string;
  product: string;
  region: string;
  total: number;
  online: number;
  healthy: number;
  degraded: number;
  failing: number;
  offline: number;
}

export interface FleetHistoryLabelsTable {
  tenant_id: string;
  at: Date;
  label: string;
  key: string;
  total: number;
  online: number;
  healthy: number;
  degraded: number;
  failing: number;
  offline: number;
}

export interface IdempotencyKeysTable {
  tenant_id: string;
  key: string;
  request_hash: Buffer;
  status: number;
  response: OptionalJson;
  created_at: Date;
}

export interface InstanceSettingsTable {
  key: string;
  value: Json;
  updated_at: Date;
}

export interface LogSearchesTable {
  tenant_id: string;
  name: string;
  filter: Json;
  updated_at: Date;
  updated_by: string;
}

export interface MembershipsTable {
  tenant_id: string;
  user_id: string;
  role: "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor" | null;
  created_at: Date;
  granted_by: string | null;
  custom_role: string | null;
  groups: string[] | null;
}

export interface MqttGatewaysTable {
  gateway_id: string;
  seen_at: Date;
}

export interface MqttRetainedTable {
  tenant_id: string;
  device_id: string;
  suffix: string;
  payload: Buffer;
  qos: number;
  properties: Json;
  expires_at: Date | null;
}

export interface MqttSessionsTable {
  tenant_id: string;
  device_id: string;
  epoch: number;
  gateway_id: string;
  former_gateway_id: string | null;
  resumed: boolean;
  expiry_seconds: number;
  expires_at: Date | null;
  state: Json;
  will: OptionalJson;
  will_at: Date | null;
  armed_will: OptionalJson;
}

export interface OnlineKeysTable {
  tenant_id: string;
  key_id: string;
  public_key: Json;
  private_key_sealed: Buffer;
  created_at: Date;
  role: "director" | "repository";
  ordinal: Generated<number>;
}

export interface PasskeysTable {
  credential_id: Buffer;
  id: string;
  user_id: string;
  name: string;
  public_key: Buffer;
  counter: number;
  transports: string[];
  is_backed_up: boolean;
  created_at: Date;
  last_used_at: Date | null;
}

export interface PendingEnrolmentsTable {
  tenant_id: string;
  id: string;
  device_id: string;
  public_key_sha256: string;
  status: "pending" | "accepted" | "rejected";
  authority: string;
  authority_name: string;
  via: string;
  address: string | null;
  product: string;
  hardware_revision: string;
  region: Generated<string>;
  tags: OptionalJson;
  cause: string;
  requested_at: Date;
  last_asked_at: Date;
  expires_at: Date;
  decided_at: Date | null;
  decided_by: string | null;
  decision_reason: string | null;
}

export interface PersonalKeysTable {
  id: string;
  user_id: string;
  name: string;
  key_hash: Buffer;
  created_at: Date;
  expires_at: Date | null;
  last_used_at: Date | null;
  revoked_at: Date | null;
}

export interface PreauthorisedDevicesTable {
  tenant_id: string;
  device_id: string;
  serial_number: string | null;
  product: string;
  hardware_revision: string;
  region: Generated<string>;
  tags: OptionalJson;
  public_key_sha256: string | null;
  added_by: string;
  added_at: Date;
  enrolled_at: Date | null;
}

export interface PresenceRulesTable {
  tenant_id: string;
  product: string;
  heartbeat_interval_seconds: number;
  offline_after_missed: number;
  sleep: OptionalJson;
  updated_at: Date;
  updated_by: string;
}

export interface ProductMetadataTable {
  tenant_id: string;
  product: string;
  root_version: number;
  snapshot: Json;
  timestamp: Json;
  renew_at: Date;
}

export interface ProductMetricSlotsTable {
  tenant_id: string;
  product: string;
  slot: number;
  name: string;
  decimals: number;
  in_use_from: Date;
}

export interface ProductMetricsTable {
  tenant_id: string;
  product: string;
  name: string;
  type: "number" | "integer" | "boolean" | "string" | "position";
  unit: Generated<string>;
  description: Generated<string>;
  minimum: number | null;
  maximum: number | null;
  decimals: number | null;
  declared_at: Date;
}

export interface QuarantinesTable {
  tenant_id: string;
  id: string;
  device_id: string;
  reason: string;
  set_at: Date;
  set_by: string;
  lift_reason: string | null;
  lifted_at: Date | null;
  lifted_by: string | null;
}

export interface RecoveryCodesTable {
  user_id: string;
  code_hash: Buffer;
  created_at: Date;
  used_at: Date | null;
}

export interface RegisteredAuthoritiesTable {
  tenant_id: string;
  id: string;
  name: string;
  status: "unproved" | "active" | "disabled";
  purpose: "devices" | "claims";
  certificate_pem: string;
  subject: string;
  subject_sha256: string;
  public_key_sha256: string;
  fingerprint: string;
  not_after: Date;
  code: string;
  code_expires_at: Date;
  proved_at: Date | null;
  mapping: Json;
  device_pattern: string;
  product: string;
  hardware_revision: string;
  region: Generated<string>;
  tags: OptionalJson;
  max_devices: number;
  device_count: Generated<number>;
  approval: "automatic" | "preauthorised" | "pending";
  webhook_url: string | null;
  webhook_secret_sealed: Buffer | null;
  webhook_on_failure: "refuse" | "pending" | null;
  created_by: string;
  created_at: Date;
}

export interface RegisteredCertificatesTable {
  tenant_id: string;
  fingerprint: string;
  authority_id: string;
  device_id: string;
  serial: string;
  public_key_sha256: string;
  subject: string;
  not_after: Date;
  status: Generated<"active" | "revoked">;
  first_used_at: Date;
}

export interface ReleaseComponentsTable {
  tenant_id: string;
  release_id: string;
  position: number;
  name: string;
  version: string | null;
  version_key: string | null;
  license: string | null;
  purl: string | null;
  purl_name: string | null;
}

export interface ReleaseFilesTable {
  tenant_id: string;
  release_id: string;
  role: "component" | "sbom" | "provenance";
  component: string;
  name: string;
  sha256: string;
  size_bytes: number;
  summary: OptionalJson;
  components_listed: Generated<boolean>;
}

export interface ReleasesTable {
  tenant_id: string;
  id: string;
  product: string;
  version: string;
  hardware_revisions: string[];
  minimum_source_version: string | null;
  security_counter: number;
  image_sha256: string;
  image_size_bytes: number;
  image_name: string;
  envelope: Json;
  status: "published" | "yanked";
  yank_reason: string | null;
  notes: Generated<string>;
  published_at: Date;
  published_by: string;
  delta_warning: string | null;
  channel: "dev" | "beta" | "stable";
}

export interface RemovedCertificatesTable {
  tenant_id: string;
  ca_id: string;
  serial: string;
  not_after: Date;
  removed_at: Generated<Date>;
}

export interface RevocationListsTable {
  tenant_id: string;
  ca_id: string;
  kind: "full" | "delta";
  number: number;
  base_number: number | null;
  entries: number;
  content_sha256: string;
  this_update: Date;
  next_update: Date;
  der: Buffer;
}

export interface RolesTable {
  tenant_id: string;
  name: string;
  description: string;
  permissions: string[];
  created_at: Date;
  created_by: string;
  updated_at: Date;
}

export interface RolloutArrivalsTable {
  tenant_id: string;
  device_id: string;
}

export interface RolloutCohortsTable {
  tenant_id: string;
  rollout_id: string;
  cohort: number;
  hardware_revision: string | null;
  region: string | null;
  treated: Generated<number>;
  control: Generated<number>;
}

export interface RolloutCountersTable {
  tenant_id: string;
  rollout_id: string;
  stage_index: number;
  state: string;
  devices: Generated<number>;
  excluded: Generated<number>;
  bytes_downloaded: Generated<number>;
  bytes_full: Generated<number>;
  bytes_platform: Generated<number>;
  bytes_store: Generated<number>;
  bytes_cache: Generated<number>;
}

export interface RolloutDevicesTable {
  tenant_id: string;
  rollout_id: string;
  device_id: string;
  stage_index: number;
  ordinal: number;
  state:
    | "pending"
    | "offered"
    | "downloading"
    | "installing"
    | "rebooting"
    | "confirming"
    | "succeeded"
    | "failed"
    | "fell-back"
    | "rejected"
    | "silent"
    | "withdrawn";
  progress: number | null;
  update_id: string;
  source_version: string | null;
  source_sha256: string | null;
  target_release_id: string;
  target_sha256: string;
  excluded_reason: string | null;
  assignment: OptionalJson;
  cancelled_at: Date | null;
  boot_id: string | null;
  counted: OptionalJson;
  offered_at: Date | null;
  phase_deadline_at: Date | null;
  updated_at: Date | null;
  finished_at: Date | null;
  failure: OptionalJson;
  format: string | null;
  bytes_downloaded: Generated<number>;
  bytes_full: Generated<number>;
  site: string | null;
  zone: string | null;
  hops_left: Generated<number>;
  attempts: Generated<number>;
  waiting_for: OptionalJson;
  cohort: Generated<number>;
  is_absent: Generated<boolean>;
  bytes_platform: number | null;
  bytes_store: number | null;
  bytes_cache: number | null;
}

export interface RolloutEvidenceTable {
  tenant_id: string;
  rollout_id: string;
  metric: string;
  arm: "treated" | "control";
  events: Generated<number>;
  raw_events: Generated<number>;
  exposure_ms: Generated<number>;
  cohort: Generated<number>;
}

export interface RolloutPardonsTable {
  tenant_id: string;
  device_id: string;
  pardoned_at: Date;
  pardoned_by: string;
}

export interface RolloutPresenceTable {
  tenant_id: string;
  device_id: string;
}

export interface RolloutStagesTable {
  tenant_id: string;
  rollout_id: string;
  stage_index: number;
  name: string;
  is_holdback: boolean;
  cumulative_devices: number;
  started_at: Date | null;
  finished_at: Date | null;
}

export interface RolloutStopsTable {
  tenant_id: string;
  stopped_at: Date;
  stopped_by: string;
  reason: string;
}

export interface RolloutVerdictsTable {
  tenant_id: string;
  rollout_id: string;
  seq: number;
  at: Date;
  stage_index: number;
  decision:
    | "wait"
    | "promote"
    | "pause"
    | "ask"
    | "finish"
    | "resume"
    | "rollback"
    | "cancel"
    | "start";
  rule: string;
  sentence: string;
  numbers: Json;
  decided_by: string;
  basis: OptionalJson;
}

export interface RolloutsTable {
  tenant_id: string;
  id: string;
  name: string;
  kind: "update" | "rollback";
  release_id: string;
  rolls_back: string | null;
  query: string;
  policy: Json;
  state:
    | "preparing"
    | "running"
    | "paused"
    | "needs-decision"
    | "succeeded"
    | "rolling-back"
    | "rolled-back"
    | "cancelled"
    | "failed";
  state_reason: Generated<string>;
  stage_index: Generated<number>;
  stage_started_at: Date | null;
  gate_state: OptionalJson;
  accrued_at: Date | null;
  last_verdict: OptionalJson;
  looks: Generated<number>;
  next_evaluation_at: Date | null;
  revision: Generated<number>;
  created_at: Date;
  created_by: string;
  started_at: Date | null;
  finished_at: Date | null;
  paused_at: Date | null;
  traceparent: string | null;
  priority: Generated<number>;
  is_dynamic: Generated<boolean>;
  swept_at: Date | null;
  created_by_id: string | null;
  needs_approval: Generated<boolean>;
  approved_at: Date | null;
  approved_by: string | null;
  look_due_at: Date | null;
  polled_at: Date | null;
  rolls_back_stage: number | null;
  confined_to: Generated<string[] | null>;
}

export interface RotationCampaignDevicesTable {
  tenant_id: string;
  campaign_id: string;
  device_id: string;
  state: "waiting" | "scheduled" | "rotating" | "succeeded" | "failed" | "skipped" | "cancelled";
  due_at: Date | null;
  command_id: string | null;
  sent_at: Date | null;
  finished_at: Date | null;
  step: string | null;
  error: string | null;
}

export interface RotationCampaignsTable {
  tenant_id: string;
  id: string;
  status: "running" | "paused" | "finished" | "cancelled";
  query: string;
  concurrency: number;
  deadline_seconds: number;
  jitter_seconds: number;
  created_at: Date;
  created_by: string;
  finished_at: Date | null;
  total: number;
  waiting: number;
  rotating: Generated<number>;
  succeeded: Generated<number>;
  failed: Generated<number>;
  skipped: Generated<number>;
  cancelled: Generated<number>;
}

export interface RotationFailuresTable {
  tenant_id: string;
  seq: Generated<number>;
  device_id: string;
  at: Date;
  step: string;
  element: string;
  message: string;
}

export interface ServiceAccountTokensTable {
  tenant_id: string;
  service_account_id: string;
  token_hash: Buffer;
  expires_at: Date;
}

export interface ServiceAccountsTable {
  tenant_id: string;
  id: string;
  name: string;
  issuer: string;
  audience: string;
  conditions: Json;
  role: string;
  scopes: string[] | null;
  lifetime_seconds: number;
  created_by: string;
  created_at: Date;
  last_used_at: Date | null;
}

export interface SessionsTable {
  token_hash: Buffer;
  user_id: string;
  created_at: Date;
  last_used_at: Date;
  expires_at: Date;
  revoked_at: Date | null;
  address: string | null;
  user_agent: string | null;
  id: Generated<string>;
  method: Generated<string>;
  provider_id: string | null;
  id_token_sealed: Buffer | null;
  authenticated_at: Date;
  rotate_after: Date;
  next_hash: Buffer | null;
  next_at: Date | null;
  previous_hash: Buffer | null;
  previous_until: Date | null;
  must_enrol: Generated<boolean>;
}

export interface SignInProvidersTable {
  id: string;
  name: string;
  issuer: string;
  client_id: string;
  client_secret_sealed: Buffer | null;
  scopes: string[];
  links_by_email: boolean;
  creates_users: boolean;
  email_domains: Generated<string[]>;
  role_mappings: OptionalJson;
  enabled: boolean;
  created_at: Date;
  updated_at: Date;
}

export interface StandingChangesTable {
  tenant_id: string;
  seq: Generated<number>;
  xact: Generated<string>;
  at: Generated<Date>;
  kind: "revoked" | "restored" | "quarantined" | "released" | "suspended" | "resumed";
  device_id: string | null;
  serial: string | null;
}

export interface TelemetryRetentionRulesTable {
  tenant_id: string;
  position: number;
  pattern: string;
  point_days: number;
  minute_days: number;
  hour_days: number;
  day_days: number;
}

export interface TenantDeletionsTable {
  tenant: string;
  deleted_at: Date;
  receipt: OptionalJson;
  found: OptionalJson;
}

export interface TenantUsageTable {
  tenant_id: string;
  day: string;
  quota: string;
  amount: number;
  warned: Generated<number>;
}

export interface TenantsTable {
  id: string;
  name: string;
  status: Generated<"active" | "suspended">;
  settings: OptionalJson;
  created_at: Date;
  storage_class: Generated<"shared" | "separate">;
  deletes_at: Date | null;
  storage_move: OptionalJson;
}

export interface TlsTicketKeysTable {
  slot: number;
  secret_sealed: Buffer;
  created_at: Date;
}

export interface TrustRootsTable {
  tenant_id: string;
  version: number;
  envelope: Json;
  created_at: Date;
}

export interface TrustTargetsTable {
  tenant_id: string;
  version: number;
  envelope: Json;
  created_at: Date;
}

export interface TwinsTable {
  tenant_id: string;
  device_id: string;
  desired: OptionalJson;
  desired_version: Generated<number>;
  last_patch: OptionalJson;
  desired_at: Date | null;
  desired_by: string | null;
  reported: OptionalJson;
  reported_version: Generated<number>;
  reported_at: Date | null;
  held_version: Generated<number>;
  applied_version: Generated<number>;
  fault: OptionalJson;
}

export interface UploadsTable {
  tenant_id: string;
  id: string;
  status: "open" | "finishing" | "complete";
  size_bytes: number;
  offset_bytes: number;
  metadata: string;
  name: string;
  expected_sha256: string | null;
  sha256: string | null;
  created_at: Date;
  created_by: string;
  expires_at: Date;
  lock_token: string | null;
  locked_until: Date | null;
  staging_state: string | null;
  place: Generated<"shared" | "separate">;
}

export interface UsedChallengesTable {
  challenge_hash: Buffer;
  expires_at: Date;
}

export interface UserIdentitiesTable {
  provider_id: string;
  subject: string;
  user_id: string;
  email: string | null;
  created_at: Date;
  last_used_at: Date | null;
}

export interface UserTotpTable {
  user_id: string;
  secret_sealed: Buffer;
  created_at: Date;
  confirmed_at: Date | null;
  last_step: Generated<number>;
}

export interface UsersTable {
  id: string;
  email: string;
  name: string;
  password_hash: string | null;
  platform_role: "platform-administrator" | "platform-operator" | null;
  created_at: Date;
  disabled_at: Date | null;
  needs_second_factor: Generated<boolean>;
}

export interface WebhookDeliveriesTable {
  tenant_id: string;
  id: string;
  webhook_id: string;
  event: Json;
  status: "pending" | "delivered" | "failed";
  attempts: Generated<number>;
  next_attempt_at: Date | null;
  last_status: number | null;
  last_error: string | null;
  created_at: Date;
  delivered_at: Date | null;
}

export interface WebhooksTable {
  tenant_id: string;
  id: string;
  url: string;
  secret_sealed: Buffer;
  event_types: string[];
  enabled: Generated<boolean>;
  created_at: Date;
  created_by: string;
}

export interface Schema {
  acme_accounts: AcmeAccountsTable;
  acme_certificates: AcmeCertificatesTable;
  acme_challenges: AcmeChallengesTable;
  alert_channels: AlertChannelsTable;
  alert_deliveries: AlertDeliveriesTable;
  alert_feedback: AlertFeedbackTable;
  alert_group_members: AlertGroupMembersTable;
  alert_groups: AlertGroupsTable;
  alert_history: AlertHistoryTable;
  alert_policies: AlertPoliciesTable;
  alert_rule_states: AlertRuleStatesTable;
  alert_rules: AlertRulesTable;
  alert_silences: AlertSilencesTable;
  alerts: AlertsTable;
  api_keys: ApiKeysTable;
  application_certificates: ApplicationCertificatesTable;
  application_messages: ApplicationMessagesTable;
  application_retained: ApplicationRetainedTable;
  application_sessions: ApplicationSessionsTable;
  artifacts: ArtifactsTable;
  audit_checkpoints: AuditCheckpointsTable;
  audit_entries: AuditEntriesTable;
  audit_heads: AuditHeadsTable;
  audit_streams: AuditStreamsTable;
  authority_requests: AuthorityRequestsTable;
  break_glass: BreakGlassTable;
  certificate_authorities: CertificateAuthoritiesTable;
  certificate_knocks: CertificateKnocksTable;
  certificate_rotations: CertificateRotationsTable;
  certificates: CertificatesTable;
  claim_tokens: ClaimTokensTable;
  claim_uses: ClaimUsesTable;
  cmp_transactions: CmpTransactionsTable;
  command_batches: CommandBatchesTable;
  commands: CommandsTable;
  compromised_keys: CompromisedKeysTable;
  deltas: DeltasTable;
  detector_leases: DetectorLeasesTable;
  detector_metrics: DetectorMetricsTable;
  detector_snapshots: DetectorSnapshotsTable;
  detector_workers: DetectorWorkersTable;
  device_groups: DeviceGroupsTable;
  device_incidents: DeviceIncidentsTable;
  device_states: DeviceStatesTable;
  device_timeline: DeviceTimelineTable;
  devices: DevicesTable;
  download_shares: DownloadSharesTable;
  fleet_history: FleetHistoryTable;
  fleet_history_labels: FleetHistoryLabelsTable;
  idempotency_keys: IdempotencyKeysTable;
  instance_settings: InstanceSettingsTable;
  log_searches: LogSearchesTable;
  memberships: MembershipsTable;
  mqtt_gateways: MqttGatewaysTable;
  mqtt_retained: MqttRetainedTable;
  mqtt_sessions: MqttSessionsTable;
  online_keys: OnlineKeysTable;
  passkeys: PasskeysTable;
  pending_enrolments: PendingEnrolmentsTable;
  personal_keys: PersonalKeysTable;
  preauthorised_devices: PreauthorisedDevicesTable;
  presence_rules: PresenceRulesTable;
  product_metadata: ProductMetadataTable;
  product_metric_slots: ProductMetricSlotsTable;
  product_metrics: ProductMetricsTable;
  quarantines: QuarantinesTable;
  recovery_codes: RecoveryCodesTable;
  registered_authorities: RegisteredAuthoritiesTable;
  registered_certificates: RegisteredCertificatesTable;
  release_components: ReleaseComponentsTable;
  release_files: ReleaseFilesTable;
  releases: ReleasesTable;
  removed_certificates: RemovedCertificatesTable;
  revocation_lists: RevocationListsTable;
  roles: RolesTable;
  rollout_arrivals: RolloutArrivalsTable;
  rollout_cohorts: RolloutCohortsTable;
  rollout_counters: RolloutCountersTable;
  rollout_devices: RolloutDevicesTable;
  rollout_evidence: RolloutEvidenceTable;
  rollout_pardons: RolloutPardonsTable;
  rollout_presence: RolloutPresenceTable;
  rollout_stages: RolloutStagesTable;
  rollout_stops: RolloutStopsTable;
  rollout_verdicts: RolloutVerdictsTable;
  rollouts: RolloutsTable;
  rotation_campaign_devices: RotationCampaignDevicesTable;
  rotation_campaigns: RotationCampaignsTable;
  rotation_failures: RotationFailuresTable;
  service_account_tokens: ServiceAccountTokensTable;
  service_accounts: ServiceAccountsTable;
  sessions: SessionsTable;
  sign_in_providers: SignInProvidersTable;
  standing_changes: StandingChangesTable;
  telemetry_retention_rules: TelemetryRetentionRulesTable;
  tenant_deletions: TenantDeletionsTable;
  tenant_usage: TenantUsageTable;
  tenants: TenantsTable;
  tls_ticket_keys: TlsTicketKeysTable;
  trust_roots: TrustRootsTable;
  trust_targets: TrustTargetsTable;
  twins: TwinsTable;
  uploads: UploadsTable;
  used_challenges: UsedChallengesTable;
  user_identities: UserIdentitiesTable;
  user_totp: UserTotpTable;
  users: UsersTable;
  webhook_deliveries: WebhookDeliveriesTable;
  webhooks: WebhooksTable;
}
