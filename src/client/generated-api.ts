// Written by tools/build-openapi.ts from the routes' schemas. Do not edit.

export type AcmeStatus = {
  directoryUrl: string;
  names: Array<string>;
  listeners: Array<"api" | "device-http" | "gateway">;
  state: "waiting" | "ordering" | "valid" | "failing" | "expired";
  notAfter: string | null;
  renewAt: string | null;
  /** Attempts that failed since the last success */
  failures: number;
  lastStep: string | null;
  lastError: string | null;
  attemptedAt: string | null;
  nextAttemptAt: string | null;
};

export type AddedPreauthorisedDevices = {
  items: Array<{
    deviceId: string;
    outcome: "added" | "changed" | "refused";
    reason?: string | undefined;
  }>;
};

export type Alert = {
  id: string;
  kind: string;
  severity: "info" | "warning" | "critical";
  title: string;
  subjectKind: string;
  subjectId: string;
  state: "open" | "acknowledged" | "resolved";
  details: Record<string, unknown>;
  occurrences: number;
  openedAt: string;
  lastSeenAt: string;
  acknowledgedAt: string | null;
  acknowledgedBy: string | null;
  resolvedAt: string | null;
  resolvedBy: string | null;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  ruleId: string | null;
  mutedBy?:
    | {
        by: "silence" | "inhibition" | "maintenance";
        of: string;
      }
    | null
    | undefined;
};

export type AlertChannel = {
  id: string;
  name: string;
  kind: "webhook" | "email" | "slack" | "pagerduty";
  settings: AlertChannelSettings;
  enabled: boolean;
  createdAt: string;
  createdBy: string;
  updatedAt: string;
};

export type AlertChannelList = {
  items: Array<AlertChannel>;
};

export type AlertChannelSettings = {
  /** webhook: where to. pagerduty: another address of the Events API v2 */
  url?: string | undefined;
  /** email */
  to?: Array<string> | undefined;
  /** An e-mail address without a name */
  from?: string | undefined;
  /** email: a server of the tenant's own; else the platform's */
  smtp?:
    | {
        host: string;
        port: number;
        security: "tls" | "starttls" | "none";
        username?: string | undefined;
      }
    | undefined;
  /** Whether the end of an alert is told, which is the default */
  sendResolved?: boolean | undefined;
};

export type AlertChannelUpdate = {
  name: string;
  settings: AlertChannelSettings;
  enabled?: boolean | undefined;
  /** slack: the webhook's URL; pagerduty: the integration key; email: the password */
  secret?: string | undefined;
};

export type AlertDefaultRoute = {
  /** Alerts that agree in these labels are told together; `[]` makes one group */
  groupBy?: Array<string> | undefined;
  /** Before a new group is told first */
  groupWaitSeconds?: number | undefined;
  /** Before a changed group is told */
  groupIntervalSeconds?: number | undefined;
  /** Before the same is said again */
  repeatIntervalSeconds?: number | undefined;
  /** Names of channels; `*` stands for every one */
  channels?: Array<string | "*"> | undefined;
  escalation?: Array<EscalationStep> | undefined;
};

export type AlertHistory = {
  items: Array<AlertStep>;
};

export type AlertNotification = {
  id: string;
  summary: string;
  status: "pending" | "delivered" | "failed";
  attempts: number;
  nextAttemptAt: string | null;
  lastStatus: number | null;
  lastError: string | null;
  createdAt: string;
  deliveredAt: string | null;
};

export type AlertNotificationList = {
  items: Array<AlertNotification>;
};

export type AlertPage = {
  items: Array<Alert>;
  nextCursor: string | null;
};

export type AlertPolicy = {
  default?: AlertDefaultRoute | undefined;
  routes?: Array<AlertRoute> | undefined;
  inhibitions?: Array<Inhibition> | undefined;
  maintenance?: Array<MaintenanceWindow> | undefined;
};

export type AlertPolicyView = {
  document: AlertPolicy;
  updatedAt: string | null;
  updatedBy: string | null;
};

export type AlertRoute = {
  name: string;
  /** As Alertmanager writes them: `severity="critical"`, `device=~"hub-.*"` */
  matchers: Array<string>;
  continue?: boolean | undefined;
  /** Alerts that agree in these labels are told together; `[]` makes one group */
  groupBy?: Array<string> | undefined;
  /** Before a new group is told first */
  groupWaitSeconds?: number | undefined;
  /** Before a changed group is told */
  groupIntervalSeconds?: number | undefined;
  /** Before the same is said again */
  repeatIntervalSeconds?: number | undefined;
  /** Names of channels; `*` stands for every one */
  channels?: Array<string | "*"> | undefined;
  escalation?: Array<EscalationStep> | undefined;
};

export type AlertRule = {
  id: string;
  spec: AlertRuleSpec;
  state: "firing" | "pending" | "inactive" | "disabled" | "failing";
  firing: number;
  pending: number;
  evaluatedAt: string | null;
  lastError: string | null;
  createdAt: string;
  createdBy: string;
  updatedAt: string;
  updatedBy: string;
};

export type AlertRuleList = {
  items: Array<AlertRule>;
};

export type AlertRulePreview = {
  /** Figures that the rule looks at */
  samples: number;
  /** Of these, how many fulfil its condition now */
  holding: number;
  /** Whether one alert would speak for all of them */
  isCollapsed: boolean;
  items: Array<AlertRuleSample>;
};

export type AlertRuleSample = {
  key: string;
  value: number;
  holds: boolean;
  labels: Record<string, string>;
};

export type AlertRuleSource = {
  kind:
    | "devices"
    | "metric"
    | "anomalies"
    | "logs"
    | "rollouts"
    | "certificates"
    | "quota"
    | "platform";
  /** Fleet query: of these devices. For `devices` it is the condition itself */
  query?: string | undefined;
  /** devices, measure share: the fleet query of what counts as the whole */
  within?: string | undefined;
  /** One figure for each device, which is the default, or one for all */
  per?: "device" | "fleet" | undefined;
  /** devices per fleet: how many, or which share of the whole (0 to 1) */
  measure?: "count" | "share" | undefined;
  metric?: string | undefined;
  aggregate?: "mean" | "min" | "max" | "p50" | "p95" | undefined;
  windowSeconds?: number | undefined;
  words?: string | undefined;
  /** This and what is more severe */
  level?: "trace" | "debug" | "info" | "warn" | "error" | "fatal" | undefined;
  states?: Array<string> | undefined;
  resource?: "devices" | undefined;
  check?:
    | "postgresql"
    | "clickhouse"
    | "blobs"
    | "disk"
    | "writes"
    | "journal"
    | "bus"
    | "any"
    | undefined;
};

export type AlertRuleSpec = {
  name: string;
  description?: string | undefined;
  enabled?: boolean | undefined;
  severity: "info" | "warning" | "critical";
  source: AlertRuleSource;
  condition?:
    | {
        operator: ">" | ">=" | "<" | "<=" | "==" | "!=";
        threshold: number;
        /** Hysteresis: once it fires, the condition holds until this is passed */
        clearThreshold?: number | undefined;
      }
    | undefined;
  /** Prometheus's `for` */
  forSeconds?: number | undefined;
  /** Prometheus's `keep_firing_for` */
  keepFiringForSeconds?: number | undefined;
  everySeconds?: number | undefined;
  /** What becomes of an alert whose figure is missing */
  noData?: "resolve" | "keep" | undefined;
  /** From more devices on, one alert speaks for all of them */
  collapseAbove?: number | undefined;
  labels?: Record<string, string> | undefined;
  annotations?: Record<string, string> | undefined;
};

export type AlertSilence = {
  id: string;
  matchers: Array<string>;
  startsAt: string;
  endsAt: string;
  comment: string;
  state: "pending" | "active" | "expired";
  createdAt: string;
  createdBy: string;
  endedBy: string | null;
};

export type AlertSilenceList = {
  items: Array<AlertSilence>;
};

export type AlertStep = {
  at: string;
  what: string;
  who: string | null;
  details: Record<string, unknown>;
};

export type ApiKey = {
  id: string;
  name: string;
  role: string | null;
  groups: Array<string> | null;
  scopes: Array<string> | null;
  createdAt: string;
  expiresAt: string | null;
  lastUsedAt: string | null;
  revokedAt: string | null;
};

export type ApiKeyList = {
  items: Array<ApiKey>;
};

export type ApplicationCertificate = {
  serial: string;
  /** It stands in the certificate: spiffe://<tenant>.<domain>/application/<name> */
  name: string;
  role: "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor";
  status: "active" | "expired" | "revoked";
  notBefore: string;
  notAfter: string;
  issuedAt: string;
  issuedBy: string;
  lastUsedAt: string | null;
  revokedAt: string | null;
  revocationReason: string | null;
};

export type ApplicationCertificatePage = {
  items: Array<ApplicationCertificate>;
  nextCursor: string | null;
};

export type ArtifactLink = {
  /** As good as the artifact itself until it expires */
  url: string;
  expiresAt: string;
};

export type AuditCheckpoint = {
  signed: {
    _type: "audit-checkpoint";
    log: string;
    number: number;
    seq: number;
    /** Hex */
    hash: string;
    /** Milliseconds since the epoch */
    at: number;
  };
  signatures: Array<{
    keyid: string;
    sig: string;
  }>;
};

export type AuditCheckpointPage = {
  key: {
    keytype: string;
    scheme: string;
    keyval: {
      public: string;
    };
  };
  /** Of master keys that were replaced, the last one first: what they had signed stands */
  replacedKeys: Array<{
    keytype: string;
    scheme: string;
    keyval: {
      public: string;
    };
  }>;
  items: Array<AuditCheckpoint>;
  nextCursor: string | null;
};

export type AuditEntry = {
  seq: number;
  at: string;
  actor: {
    kind: string;
    id: string;
    name: string;
  };
  action: string;
  targetKind: string;
  targetId: string;
  outcome: "done" | "refused";
  /** Hex */
  hash: string;
  address: string | null;
  traceId: string | null;
  details: Record<string, unknown>;
};

export type AuditPage = {
  items: Array<AuditEntry>;
  nextCursor: string | null;
};

export type AuditStream = {
  id: string;
  url: string;
  /** The last entry that the receiver has taken */
  seq: number;
  /** That have failed in a row */
  attempts: number;
  lastError: string | null;
  deliveredAt: string | null;
  nextAttemptAt: string;
  createdAt: string;
  createdBy: string;
};

export type AuditStreamList = {
  items: Array<AuditStream>;
};

export type AuditVerification = {
  /** Those that fit; not those deleted by age */
  entries: number;
  intact: boolean;
  firstBroken?: number | undefined;
  reason?: "missing" | "altered" | "cut" | "checkpoint" | "signature" | undefined;
  head?:
    | {
        seq: number;
        hash: string;
      }
    | undefined;
  /** Deleted by age up to this entry */
  forgottenUpTo?: number | undefined;
  signed?:
    | {
        number: number;
        /** The last entry that a signature covers */
        seq: number;
        at: string;
        keyId: string;
      }
    | undefined;
};

export type Authority = {
  id: string;
  tenantId: string | null;
  kind: "root" | "tenant" | "server";
  status: "active" | "retiring" | "revoked" | "ended";
  subject: string;
  /** SHA-256 over the certificate, hex */
  fingerprint: string;
  algorithm: string;
  keyKind: "sealed" | "pkcs11" | "offline";
  keyUri: string | null;
  issuerId: string | null;
  createdAt: string;
  notAfter: string;
};

export type AuthorityCount = {
  id: string;
  name: string;
  count: number;
};

export type AuthorityList = {
  items: Array<Authority>;
};

export type AuthorityRequestBundle = {
  format: string;
  trustDomain: string;
  rootFingerprint: string;
  createdAt: string;
  requests: Array<{
    id: string;
    kind: "tenant" | "server";
    tenantId: string;
    csr: string;
  }>;
  /** What the offline root's next revocation list is to say */
  revocationList?:
    | {
        number: number;
        entries: Array<{
          serial: string;
          revokedAt: string;
          code: number;
        }>;
      }
    | undefined;
};

export type AuthorityRotation = {
  outcome: "issued" | "requested";
};

export type BootChain = {
  /** Who verifies: uefi, u-boot */
  kind: string;
  secureBoot: boolean;
  /** Keys can be changed by anyone */
  setupMode: boolean;
  /** SHA-256 of the contents of PK, KEK, db, dbx */
  keys: Record<string, string>;
  stages: Array<{
    /** loader, system, configuration */
    stage: string;
    version: string;
    counter?: number | undefined;
    /** The lowest counter that is accepted */
    floor?: number | undefined;
    /** current, previous, built-in */
    source?: string | undefined;
    /** Why a newer one does not run */
    fault?: string | undefined;
  }>;
};

export type BreakGlass = {
  id: string;
  tenantId: string;
  by: string;
  role: "viewer" | "operator" | "fleet-engineer" | "auditor";
  reason: string;
  openedAt: string;
  expiresAt: string;
  endedAt: string | null;
};

export type BreakGlassEnded = {
  ended: Array<string>;
};

export type BreakGlassList = {
  items: Array<BreakGlass>;
};

export type Certificate = {
  serial: string;
  deviceId: string;
  authorityId: string;
  status: "active" | "superseded" | "held" | "revoked";
  subject: string;
  fingerprint: string;
  keyAlgorithm: string | null;
  notBefore: string;
  notAfter: string;
  issuedAt: string;
  issuedVia: string;
  firstUsedAt: string | null;
  confirmedAt: string | null;
  supersededAt: string | null;
  revokedAt: string | null;
  revocationReason: string | null;
  revocationCode:
    | "unspecified"
    | "keyCompromise"
    | "cACompromise"
    | "affiliationChanged"
    | "superseded"
    | "cessationOfOperation"
    | "certificateHold"
    | "privilegeWithdrawn"
    | "aACompromise"
    | null;
};

export type CertificateBundle = {
  serial: string;
  certificatePem: string;
  chainPem: string;
  rootPem: string;
};

export type CertificateList = {
  items: Array<Certificate>;
};

export type CertificatePage = {
  items: Array<Certificate>;
  nextCursor: string | null;
};

export type CertificateRadar = {
  generatedAt: string;
  devices: number;
  withoutCertificate: number;
  quarantined: number;
  /** Certificates on hold */
  held: number;
  /** Revoked for other reasons than that others followed */
  revoked: number;
  /** Devices whose rotation is in trouble */
  failing: number;
  /** Certificates refused within a day */
  knocks24h: number;
  expired: number;
  /** Past five sixths of their life, and not renewed */
  overdue: number;
  /** In which week certificates end, from now on */
  weeks: Array<ExpiryWeek>;
  later: number;
  algorithms: Array<NamedCount>;
  authorities: Array<AuthorityCount>;
  /** Steps at which rotations are stuck */
  steps: Array<NamedCount>;
};

export type ClaimToken = {
  id: string;
  kind: "token" | "shared-secret" | "certificate";
  name: string;
  devicePattern: string;
  product: string;
  hardwareRevision: string;
  region: string;
  tags: Record<string, unknown>;
  maxUses: number;
  usedCount: number;
  approval: "automatic" | "preauthorised" | "pending";
  webhookUrl: string | null;
  certificatePem: string | null;
  createdBy: string;
  createdAt: string;
  expiresAt: string;
  revokedAt: string | null;
};

export type ClaimTokenList = {
  items: Array<ClaimToken>;
};

export type Command = {
  id: string;
  deviceId: string;
  batchId: string | null;
  name: string;
  args: unknown;
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
  priority: number;
  coalesceKey: string | null;
  /** Each attempt is a command of its own */
  attempt: number;
  maxAttempts: number;
  retryDelaySeconds: number;
  /** Ends after which another attempt is made */
  retryOn: Array<string>;
  deadlines: {
    deliveredSeconds: number | null;
    acceptedSeconds: number | null;
    runningSeconds: number | null;
  };
  retryOf: string | null;
  retriedBy: string | null;
  replacedBy: string | null;
  createdAt: string;
  createdBy: string;
  expiresAt: string;
  deliveredAt: string | null;
  acceptedAt: string | null;
  finishedAt: string | null;
  progress: number | null;
  output: unknown;
  error: string | null;
  stream: string | null;
  /** Earlier parts of the stream are gone */
  streamCut: boolean;
  /** What the device said after the end */
  lateResult: unknown;
  traceparent: string | null;
};

export type CommandBatch = {
  id: string;
  name: string;
  targetKind: "devices" | "group" | "query";
  /** The query, the group, or how many devices were named */
  target: string;
  state: "running" | "paused" | "cancelled" | "done";
  devices: number;
  /** Devices by the state of their last attempt */
  counts: {
    waiting: number;
    queued: number;
    delivered: number;
    accepted: number;
    running: number;
    succeeded: number;
    failed: number;
    rejected: number;
    expired: number;
    "timed-out": number;
    replaced: number;
    cancelled: number;
  };
  concurrency: number | null;
  batchSize: number | null;
  intervalSeconds: number | null;
  ttlSeconds: number;
  createdAt: string;
  createdBy: string;
  traceparent: string | null;
};

export type CommandBatchPage = {
  items: Array<CommandBatch>;
  nextCursor: string | null;
};

export type CommandPage = {
  items: Array<Command>;
  nextCursor: string | null;
};

export type CompromisedKey = {
  publicKeySha256: string;
  reason: string;
  addedBy: string;
  addedAt: string;
};

export type CompromisedKeyList = {
  items: Array<CompromisedKey>;
};

export type CrashGroup = {
  /** What the crashes have in common */
  signature: string;
  /** crash, fallback, self-test-failed */
  kind: string;
  count: number;
  devices: number;
  firmware: Array<{
    version: string;
    count: number;
  }>;
  firstSeenAt: string;
  lastSeenAt: string;
  example: {
    deviceId: string;
    details: Record<string, unknown>;
  };
};

export type CrashGroupList = {
  items: Array<CrashGroup>;
};

export type CreatedAlertChannel = {
  id: string;
  name: string;
  kind: "webhook" | "email" | "slack" | "pagerduty";
  settings: AlertChannelSettings;
  enabled: boolean;
  createdAt: string;
  createdBy: string;
  updatedAt: string;
  secret: string | null;
};

export type CreatedApiKey = {
  id: string;
  /** Shown this once */
  key: string;
};

export type CreatedAuditStream = {
  id: string;
  url: string;
  /** The last entry that the receiver has taken */
  seq: number;
  /** That have failed in a row */
  attempts: number;
  lastError: string | null;
  deliveredAt: string | null;
  nextAttemptAt: string;
  createdAt: string;
  createdBy: string;
  secret: string | null;
};

export type CreatedClaimCertificate = {
  id: string;
  certificatePem: string | null;
  chainPem: string | null;
  keyPem: string | null;
  /** Signs what the webhook is asked; shown this once */
  webhookSecret?: string | undefined;
};

export type CreatedClaimSecret = {
  id: string;
  /** What CMP sends as senderKID */
  reference: string;
  /** Shown this once */
  secret: string;
  /** Signs what the webhook is asked; shown this once */
  webhookSecret?: string | undefined;
};

export type CreatedClaimToken = {
  id: string;
  /** Shown this once */
  token: string;
  /** Signs what the webhook is asked; shown this once */
  webhookSecret?: string | undefined;
};

export type CreatedPasskey = {
  id: string;
};

export type CreatedWebhook = {
  id: string;
  /** whsec_…, shown this once */
  secret: string;
};

export type DayOfTelemetry = {
  day: number;
  points: number;
  sizeBytes: number;
};

export type DeclaredMetric = {
  name: string;
  type: "number" | "integer" | "boolean" | "string" | "position";
  /** Such as °C or km/h */
  unit?: string | undefined;
  description?: string | undefined;
  /** Smaller values are refused */
  minimum?: number | undefined;
  /** Greater values are refused */
  maximum?: number | undefined;
  /** Digits behind the point: numbers that have no more take a third of the room */
  decimals?: number | undefined;
};

export type DeclaredMetricOfProduct = {
  product: string;
  name: string;
  type: "number" | "integer" | "boolean" | "string" | "position";
  /** Such as °C or km/h */
  unit?: string | undefined;
  description?: string | undefined;
  /** Smaller values are refused */
  minimum?: number | undefined;
  /** Greater values are refused */
  maximum?: number | undefined;
  /** Digits behind the point: numbers that have no more take a third of the room */
  decimals?: number | undefined;
};

export type DeclaredMetrics = {
  items: Array<DeclaredMetricOfProduct>;
};

export type DelegatedRole = {
  name: string;
  keyids: Array<string>;
  threshold: number;
  paths: Array<string>;
  terminating: boolean;
};

export type Delta = {
  sourceSha256: string | null;
  targetSha256: string;
  format:
    | "full"
    | "full-zstd"
    | "zstd-patch"
    | "vdelta-fast"
    | "vdelta-small"
    | "unpacked-fast"
    | "unpacked-small";
  /** Devices that ran the source when it was asked for */
  devices: number;
  status: "queued" | "building" | "ready" | "failed" | "skipped";
  artifactSha256: string | null;
  sizeBytes: number | null;
  targetSizeBytes: number | null;
  ratio: number | null;
  buildMs: number | null;
  progress: number | null;
  error: string | null;
  unpacked: UnpackedImages | null;
};

export type DeltaList = {
  items: Array<Delta>;
};

export type Device = {
  id: string;
  product: string;
  hardwareRevision: string;
  region: string;
  tags: Record<string, unknown>;
  status: "active" | "quarantined" | "revoked";
  presence: "never" | "online" | "late" | "offline";
  presenceChangedAt: string | null;
  health: "unknown" | "healthy" | "degraded" | "failing" | "offline";
  /** Every reason, the worst first */
  healthReasons: Array<HealthReason>;
  healthChangedAt: string | null;
  asleepUntil: string | null;
  lastSeenAt: string | null;
  connected: boolean;
  firmware: RunningFirmware | null;
  otherSlot: {
    version: string;
    sha256: string;
  } | null;
  formats: Array<string>;
  bootId: string | null;
  clockOffsetMs: number | null;
  uptimeSeconds: number | null;
  metrics: Record<string, number>;
  bootChain: BootChain | null;
  createdAt: string;
};

export type DeviceConnection = {
  /** Where devices connect by MQTT over mutual TLS */
  mqttUrl: string;
  /** Where devices fetch artifacts and certificates */
  httpsUrl: string;
  /** The root certificate that devices trust */
  rootPem: string;
};

export type DeviceEvent = {
  /** Milliseconds since the epoch */
  ts: number;
  type: string;
  details: Record<string, unknown>;
};

export type DeviceEventList = {
  items: Array<DeviceEvent>;
};

export type DevicePage = {
  items: Array<Device>;
  nextCursor: string | null;
  /** Devices that the query matches */
  total?: number | undefined;
};

export type DeviceRotation = {
  state: RotationState | null;
  failures: Array<RotationFailure>;
};

export type DeviceTimeline = {
  items: Array<TimelineEntry>;
  nextCursor: string | null;
};

export type DeviceUpdate = {
  updateId: string;
  rolloutId: string;
  rolloutName: string;
  state: string;
  progress: number | null;
  waitingFor: {
    element: string;
    message: string;
  } | null;
  sourceVersion: string | null;
  targetVersion: string;
  format: string | null;
  bytesDownloaded: number;
  bytesFull: number;
  failure: unknown;
  offeredAt: string | null;
  finishedAt: string | null;
};

export type DeviceUpdateList = {
  items: Array<DeviceUpdate>;
};

export type EndedAuthority = {
  /** Certificates in use that were revoked with it */
  cutOff: number;
};

export type EndedSessions = {
  ended: number;
};

export type EnrolledDevice = {
  device: Device;
  certificate: CertificateBundle | null;
};

export type EnrolledDevices = {
  rootPem: string;
  items: Array<EnrolledRow>;
};

export type EnrolledRow = {
  id: string;
  certificate: {
    serial: string;
    certificatePem: string;
    chainPem: string;
  } | null;
  error: {
    code: string;
    message: string;
    reason: string | null;
    step: string | null;
  } | null;
};

export type EscalationStep = {
  afterSeconds: number;
  /** Names of channels; `*` stands for every one */
  channels: Array<string | "*">;
};

export type EstimatedSize = {
  rows: number;
  sizeBytes: number;
};

export type ExchangedToken = {
  /** A key (`vk_…`) */
  access_token: string;
  issued_token_type: "urn:ietf:params:oauth:token-type:access_token";
  token_type: "Bearer";
  expires_in: number;
  scope?: string | undefined;
};

export type ExpiryWeek = {
  startsAt: string;
  count: number;
};

export type Factors = {
  totp: {
    confirmedAt: string;
  } | null;
  recoveryCodesLeft: number;
  passkeys: Array<Passkey>;
  /** Signing in with a password alone is not enough */
  isRequired: boolean;
};

export type FleetHealth = {
  items: Array<FleetHealthRow>;
};

export type FleetHealthRow = {
  key: string;
  total: number;
  online: number;
  late: number;
  offline: number;
  never: number;
  healthy: number;
  degraded: number;
  failing: number;
  crashes24h: number;
};

export type FleetHistory = {
  items: Array<FleetMoment>;
};

export type FleetLatest = {
  deviceId: string;
  metric: string;
  ts: number;
  value: number;
  unit: string;
};

export type FleetLatestPage = {
  items: Array<FleetLatest>;
  nextCursor: string | null;
};

export type FleetMatrix = {
  items: Array<MatrixCell>;
};

export type FleetMetric = {
  metric: string;
  /** About how many devices have spoken of it */
  devices: number;
  lastTs: number;
  /** As declared; empty: not, or products differ */
  unit: string;
  description: string;
};

export type FleetMetricList = {
  items: Array<FleetMetric>;
};

export type FleetMoment = {
  at: string;
  key: string;
  total: number;
  online: number;
  healthy: number;
  degraded: number;
  failing: number;
  offline: number;
};

export type FleetSeries = {
  metric: string;
  resolution: SeriesResolution;
  /** Of the values; empty: none is declared, or products differ */
  unit: string;
  description: string;
  devices: number | null;
  series: Array<FleetSeriesLine>;
};

export type FleetSeriesLine = {
  key: string | null;
  /** Pairs of a bucket's beginning, in milliseconds since the epoch, and value */
  points: Array<Array<number | null>>;
};

export type FleetSummary = {
  total: number;
  online: number;
  late: number;
  offline: number;
  never: number;
  healthy: number;
  degraded: number;
  failing: number;
  crashes24h: number;
  /** Not resolved, and not muted by a silence or the like */
  openAlerts: number;
  runningRollouts: number;
};

export type Group = {
  name: string;
  query: string;
  createdAt: string;
};

export type GroupList = {
  items: Array<Group>;
};

export type Health = {
  status: "ok";
};

export type HealthReason = {
  /** silent, late, asleep, crash-loop, link-flapping, … */
  code: string;
  message: string;
  since: string;
};

export type Hierarchy = {
  authorities: Array<Authority>;
  /** What waits for the offline root */
  pending: Array<PendingAuthority>;
  rootList: RootList | null;
};

export type Inhibition = {
  /** As Alertmanager writes them: `severity="critical"`, `device=~"hub-.*"` */
  source: Array<string>;
  /** As Alertmanager writes them: `severity="critical"`, `device=~"hub-.*"` */
  target: Array<string>;
  equal?: Array<string> | undefined;
};

export type IssuedApplicationCertificate = {
  serial: string;
  /** It stands in the certificate: spiffe://<tenant>.<domain>/application/<name> */
  name: string;
  role: "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor";
  status: "active" | "expired" | "revoked";
  notBefore: string;
  notAfter: string;
  issuedAt: string;
  issuedBy: string;
  lastUsedAt: string | null;
  revokedAt: string | null;
  revocationReason: string | null;
  /** The certificate and the tenant's authority */
  chainPem: string;
  /** What the client trusts */
  rootsPem: string;
  /** Shown this once */
  keyPem?: string | undefined;
};

export type KeptDays = {
  /** Days */
  points: number;
  minutes: number;
  hours: number;
  days: number;
};

export type KindComparison = {
  kind: string;
  target: Rate;
  source: Rate;
  ratio: number | null;
  /** 95 %: Wilson's interval of the target's share of the events */
  low: number;
  high: number | null;
  verdict: "better" | "worse" | "no-difference-shown" | "too-little-to-say";
};

export type Knock = {
  fingerprint: string;
  subject: string;
  issuer: string;
  deviceId: string | null;
  reason: string;
  count: number;
  firstSeenAt: string;
  lastSeenAt: string;
  address: string | null;
};

export type KnockPage = {
  items: Array<Knock>;
  nextCursor: string | null;
};

export type LatestMetric = {
  metric: string;
  ts: number;
  value: number;
  /** As the device's product declares it; else empty */
  unit: string;
  description: string;
};

export type LatestMetrics = {
  items: Array<LatestMetric>;
};

export type LogContext = {
  items: Array<LogLine>;
};

export type LogLine = {
  /** Milliseconds since the epoch */
  ts: number;
  level: "trace" | "debug" | "info" | "warn" | "error" | "fatal";
  deviceId: string | null;
  message: string;
  seq: number;
  logger: string | null;
  traceId: string | null;
  spanId: string | null;
  attributes: Record<string, unknown>;
};

export type LogPage = {
  items: Array<LogLine>;
  nextCursor: string | null;
};

export type LogSearch = {
  name: string;
  filter: LogSearchFilter;
  updatedAt: string;
  updatedBy: string;
};

export type LogSearchFilter = {
  /** All stand in the message, in any order and case */
  words?: string | undefined;
  /** Fleet query, for example `firmware.version < "2.4.0" and tags.site = "berlin" and online` */
  q?: string | undefined;
  /** A group's name */
  group?: string | undefined;
  logger?: string | undefined;
  /** An attribute and its value: `http.status=503` */
  field?: string | undefined;
  /** This level and what is more severe */
  level?: "trace" | "debug" | "info" | "warn" | "error" | "fatal" | undefined;
  device?: string | undefined;
  trace?: string | undefined;
  /** How far back from the moment of the question; any time where left out */
  rangeSeconds?: number | undefined;
};

export type LogSearchList = {
  items: Array<LogSearch>;
};

export type LogTail = {
  items: Array<LogLine>;
  /** Give it with the next request */
  position: string;
};

export type MaintenanceWindow = {
  name: string;
  /** As Alertmanager writes them: `severity="critical"`, `device=~"hub-.*"` */
  matchers: Array<string>;
  startsAt?: string | undefined;
  endsAt?: string | undefined;
  weekly?:
    | {
        from: string;
        to: string;
        days?: Array<"mon" | "tue" | "wed" | "thu" | "fri" | "sat" | "sun"> | undefined;
        timeZone?: string | undefined;
      }
    | undefined;
  comment?: string | undefined;
};

export type MatrixCell = {
  row: string;
  column: string;
  total: number;
  online: number;
  healthy: number;
  degraded: number;
  failing: number;
  offline: number;
  unknown: number;
};

export type MetricKeptDays = {
  /** For how many days points are kept */
  points: number;
  /** Their rollups by the minute */
  minutes: number;
  hours: number;
  days: number;
};

export type MetricRule = {
  metric: string;
  enabled: boolean;
  /** A score from here on is an alert; moved by feedback */
  threshold: number;
  useful: number;
  notUseful: number;
};

export type MetricRuleList = {
  items: Array<MetricRule>;
};

export type MetricUse = {
  metric: string;
  unit: string;
  points: number;
  pointBytes: number;
  rollupBytes: number;
  rollups: RollupRows;
  kept: KeptDays;
};

export type NamedCount = {
  name: string;
  count: number;
};

export type NewAlertChannel = {
  name: string;
  settings: AlertChannelSettings;
  enabled?: boolean | undefined;
  /** slack: the webhook's URL; pagerduty: the integration key; email: the password */
  secret?: string | undefined;
  kind: "webhook" | "email" | "slack" | "pagerduty";
};

export type NewAlertSilence = {
  /** As Alertmanager writes them: `severity="warning"`, `device=~"hub-.*"` */
  matchers: Array<string>;
  startsAt?: string | undefined;
  endsAt: string;
  comment: string;
};

export type OfferedProvider = {
  id: string;
  name: string;
};

export type OfferedProviderList = {
  items: Array<OfferedProvider>;
};

export type OnlineKeys = {
  director: SigningKey;
  repository: SigningKey;
};

export type OwnSession = {
  id: string;
  /** `password`, `oidc`, …, with further factors after a plus */
  method: string;
  provider: string | null;
  createdAt: string;
  lastUsedAt: string;
  expiresAt: string;
  address: string | null;
  userAgent: string | null;
  isCurrent: boolean;
};

export type OwnSessionList = {
  items: Array<OwnSession>;
};

export type Passkey = {
  id: string;
  name: string;
  isBackedUp: boolean;
  createdAt: string;
  lastUsedAt: string | null;
};

export type PasskeyChallenge = {
  /** For navigator.credentials, as JSON */
  options: Record<string, unknown>;
  /** To be sent along with the answer; five minutes */
  challenge: string;
};

export type PatchedTwins = {
  /** Devices that were meant */
  devices: number;
  /** Those of them that ought to be something else now */
  changed: number;
};

export type PenaltyBox = {
  items: Array<{
    deviceId: string;
    failures: number;
    lastFailedAt: string;
  }>;
};

export type PendingAuthority = {
  id: string;
  tenantId: string | null;
  kind: "tenant" | "server";
  subject: string;
  createdAt: string;
};

export type PendingEnrolment = {
  id: string;
  deviceId: string;
  /** To be compared with what the device shows */
  publicKeySha256: string;
  status: "pending" | "accepted" | "rejected";
  authority: string;
  authorityName: string;
  via: string;
  address: string | null;
  product: string;
  hardwareRevision: string;
  region: string;
  tags: Record<string, unknown>;
  cause: string;
  requestedAt: string;
  lastAskedAt: string;
  expiresAt: string;
  decidedAt: string | null;
  decidedBy: string | null;
  decisionReason: string | null;
};

export type PendingEnrolmentList = {
  items: Array<PendingEnrolment>;
};

export type Permission = {
  name: string;
  meaning: string;
  /** Whether it can be confined to groups */
  confinable: boolean;
};

export type PreauthorisedDevice = {
  deviceId: string;
  serialNumber: string | null;
  product: string;
  hardwareRevision: string;
  region: string;
  tags: Record<string, unknown>;
  publicKeySha256: string | null;
  addedBy: string;
  addedAt: string;
  enrolledAt: string | null;
};

export type PreauthorisedDevicePage = {
  items: Array<PreauthorisedDevice>;
  nextCursor: string | null;
};

export type PresenceRule = {
  product: string;
  heartbeatIntervalSeconds: number;
  offlineAfterMissed: number;
  sleep: Array<{
    /** UTC */
    from: string;
    /** UTC */
    to: string;
  }>;
  updatedAt: string;
  updatedBy: string;
};

export type PresenceRuleList = {
  items: Array<PresenceRule>;
};

export type Problem = {
  type: string;
  title: string;
  status: number;
  detail: string;
  code:
    | "invalid-request"
    | "invalid-query"
    | "invalid-cursor"
    | "query-too-expensive"
    | "unauthenticated"
    | "invalid-credentials"
    | "forbidden"
    | "not-found"
    | "method-not-allowed"
    | "conflict"
    | "already-exists"
    | "precondition-failed"
    | "payload-too-large"
    | "unsupported-media-type"
    | "range-not-satisfiable"
    | "invalid-content"
    | "idempotency-key-reused"
    | "rate-limited"
    | "quota-exceeded"
    | "internal"
    | "unavailable"
    | "second-factor-needed"
    | "second-factor-required"
    | "sign-in-again"
    | "sign-in-refused"
    | "provider-unavailable"
    | "csr-invalid"
    | "claim-refused"
    | "certificate-refused"
    | "enrolment-refused"
    | "enrolment-pending"
    | "authority-pending"
    | "authority-in-use"
    | "topic-refused"
    | "message-invalid"
    | "message-too-large"
    | "trust-root-invalid"
    | "manifest-invalid"
    | "signature-invalid"
    | "image-mismatch"
    | "release-yanked"
    | "release-incompatible"
    | "delta-invalid"
    | "delta-pointless"
    | "upload-offset"
    | "upload-gone"
    | "upload-locked"
    | "checksum-mismatch"
    | "storage-full"
    | "link-refused"
    | "rollout-state"
    | "own-approval"
    | "update-refused";
  traceId: string;
  /** Fields that were refused */
  errors?:
    | Array<{
        path: string;
        message: string;
      }>
    | undefined;
  details?: Record<string, unknown> | undefined;
};

export type ProductMetrics = {
  product: string;
  items: Array<DeclaredMetric>;
};

export type ProvenanceSummary = {
  predicateType: string;
  subjects: Array<{
    name: string;
    sha256: string;
  }>;
  /** Of the keys that the manifest names */
  signers: Array<string>;
  builder: string | null;
  buildType: string | null;
  sources: Array<string>;
};

export type ProviderSignOut = {
  url: string | null;
};

export type Quarantine = {
  id: string;
  reason: string;
  setAt: string;
  setBy: string;
  liftReason: string | null;
  liftedAt: string | null;
  liftedBy: string | null;
};

export type QuarantineList = {
  items: Array<Quarantine>;
};

export type QuotaUse = {
  quota: string;
  title: string;
  /** The sum of today (UTC), or the most at one moment of it */
  used: number;
  /** 0: none */
  limit: number;
  period: "day" | "peak";
  unit: string;
  state: "ok" | "warning" | "reached";
  /** What happens at the limit */
  refusal: string;
  /** The tenant's setting that holds the limit */
  setting: string;
};

export type Rate = {
  /** At most one a device and day */
  events: number;
  deviceHours: number;
  rate: number | null;
  low: number | null;
  high: number | null;
};

export type Readiness = {
  ready: boolean;
  /** The worst of all checks; degraded is ready all the same */
  state: "ok" | "degraded" | "failed";
  checks: Record<string, "up" | "degraded" | "down">;
  /** Why a check is not up */
  reasons: Record<string, string>;
};

export type RecoveryCodes = {
  /** Shown this once; each opens once */
  recoveryCodes: Array<string>;
};

export type RegisteredAuthority = {
  id: string;
  name: string;
  status: "unproved" | "active" | "disabled";
  purpose: "devices" | "claims";
  subject: string;
  fingerprint: string;
  notAfter: string;
  /** Common name of the certificate that proves possession */
  code: string;
  codeExpiresAt: string;
  provedAt: string | null;
  mapping: {
    template: string;
    fields?: Record<string, string> | undefined;
  };
  devicePattern: string;
  product: string;
  hardwareRevision: string;
  region: string;
  tags: Record<string, unknown>;
  maxDevices: number;
  deviceCount: number;
  approval: "automatic" | "preauthorised" | "pending";
  webhookUrl: string | null;
  createdBy: string;
  createdAt: string;
};

export type RegisteredAuthorityCreated = {
  authority: RegisteredAuthority;
  /** Signs what the webhook is asked; shown this once */
  webhookSecret?: string | undefined;
};

export type RegisteredAuthorityList = {
  items: Array<RegisteredAuthority>;
};

export type Release = {
  id: string;
  product: string;
  version: string;
  hardwareRevisions: Array<string>;
  minimumSourceVersion: string | null;
  securityCounter: number;
  imageSha256: string;
  imageSizeBytes: number;
  imageName: string;
  status: "published" | "yanked";
  channel: "dev" | "beta" | "stable";
  yankReason: string | null;
  notes: string;
  publishedAt: string;
  publishedBy: string;
  /** Ids of the keys that signed it */
  signers: Array<string>;
  deltaWarning: string | null;
};

export type ReleaseComparison = {
  from: string;
  to: string;
  target: VersionLife | null;
  source: VersionLife | null;
  kinds: Array<KindComparison>;
};

export type ReleaseComponent = {
  name: string;
  version: string | null;
  license: string | null;
  purl: string | null;
  release: {
    id: string;
    product: string;
    version: string;
    channel: "dev" | "beta" | "stable";
    status: "published" | "yanked";
  };
};

export type ReleaseComponentPage = {
  items: Array<ReleaseComponent>;
  nextCursor: string | null;
};

export type ReleaseDetail = {
  id: string;
  product: string;
  version: string;
  hardwareRevisions: Array<string>;
  minimumSourceVersion: string | null;
  securityCounter: number;
  imageSha256: string;
  imageSizeBytes: number;
  imageName: string;
  status: "published" | "yanked";
  channel: "dev" | "beta" | "stable";
  yankReason: string | null;
  notes: string;
  publishedAt: string;
  publishedBy: string;
  /** Ids of the keys that signed it */
  signers: Array<string>;
  deltaWarning: string | null;
  envelope: ReleaseEnvelope;
  files: Array<ReleaseFile>;
};

export type ReleaseEnvelope = {
  signed: ReleaseManifest;
  signatures: Array<Signature>;
};

export type ReleaseFile = {
  role: "component" | "sbom" | "provenance";
  component: string;
  name: string;
  sha256: string;
  sizeBytes: number;
  summary: SbomSummary | ProvenanceSummary | null;
};

export type ReleaseManifest = {
  _type: "release";
  specVersion: 1;
  tenant: string;
  product: string;
  version: string;
  hardwareRevisions: Array<string>;
  securityCounter: number;
  minimumSourceVersion: string | null;
  image: {
    name: string;
    sha256: string;
    sizeBytes: number;
    /** What the content was recognised as */
    kind?: string | undefined;
    facts?: Record<string, string> | undefined;
  };
  components?:
    | Array<{
        name: string;
        sha256: string;
        sizeBytes: number;
        /** What the content was recognised as */
        kind?: string | undefined;
        facts?: Record<string, string> | undefined;
        component: string;
      }>
    | undefined;
  createdAt: string;
  expires: string;
  notes?: string | undefined;
  sbom?:
    | {
        name: string;
        sha256: string;
        sizeBytes: number;
        format: string;
      }
    | undefined;
  provenance?:
    | {
        name: string;
        sha256: string;
        sizeBytes: number;
        predicateType: string;
      }
    | undefined;
};

export type ReleasePage = {
  items: Array<Release>;
  nextCursor: string | null;
};

export type RestartGroup = {
  /** What the restarts have in common */
  signature: string;
  /** As devices gave it: watchdog, power-on, brown-out, update, command … */
  reason: string;
  /** By an update, a command or a user */
  isAsked: boolean;
  count: number;
  devices: number;
  firmware: Array<{
    version: string;
    count: number;
  }>;
  firstSeenAt: string;
  lastSeenAt: string;
  /** The device of the last of them */
  exampleDeviceId: string;
};

export type RestartGroupList = {
  items: Array<RestartGroup>;
};

export type RetentionEstimate = {
  points: EstimatedSize;
  rollups: EstimatedSize;
  sizeBytes: number;
  /** Of what the telemetry takes now, 0 to 1 */
  share: number;
};

export type RetentionRule = {
  /** A metric's name, in which * stands for any text */
  pattern: string;
  /** Days */
  points: number;
  minutes: number;
  hours: number;
  days: number;
};

export type RevocationOutcome = {
  /** Certificates whose standing changed */
  certificates: number;
  /** Devices that they belong to, or that were revoked */
  devices: number;
  /** What the tenant does not have, first 100 */
  unknown: Array<string>;
  unknownCount: number;
};

export type Role = {
  /** viewer, operator, fleet-engineer, administrator, auditor, or one of the tenant's own roles */
  name: string;
  description: string;
  permissions: Array<string>;
  isBuiltIn: boolean;
  /** Members who have it */
  members: number;
  /** Keys in use that have it */
  keys: number;
  updatedAt: string | null;
};

export type RoleList = {
  items: Array<Role>;
  permissions: Array<Permission>;
};

export type RoleMapping = {
  claim: string;
  value: string;
  tenantId: string;
  role: "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor";
};

export type Rollout = {
  id: string;
  name: string;
  kind: "update" | "rollback";
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
  stateReason: string;
  releaseId: string;
  release: {
    version: string;
    product: string;
  };
  rollsBack: string | null;
  rollsBackStage: number | null;
  query: string;
  policy: RolloutPolicy;
  stageIndex: number;
  stageStartedAt: string | null;
  stages: Array<RolloutStage>;
  totals: RolloutTotals;
  evidence: Record<string, RolloutEvidence>;
  lastVerdict: RolloutVerdict | null;
  nextEvaluationAt: string | null;
  nextLookAt: string | null;
  bytesDownloaded: number;
  bytesFull: number;
  bytesBySource: RolloutBytesBySource;
  createdAt: string;
  createdBy: string;
  /** Whether a second person has yet to agree */
  needsApproval: boolean;
  approvedBy: string | null;
  startedAt: string | null;
  pausedAt: string | null;
  finishedAt: string | null;
  revision: number;
};

export type RolloutBytesBySource = {
  /** Sent by the platform itself */
  platform: number;
  /** Sent by the store that the platform sends devices to */
  store: number;
  /** Sent by download caches of the devices' sites */
  cache: number;
  /** Of devices that do not say where their bytes came from */
  unknown: number;
};

export type RolloutDevice = {
  deviceId: string;
  stageIndex: number;
  state: string;
  progress: number | null;
  sourceVersion: string | null;
  excludedReason: string | null;
  format: string | null;
  bytesDownloaded: number;
  bytesFull: number;
  failure: unknown;
  offeredAt: string | null;
  updatedAt: string | null;
  finishedAt: string | null;
};

export type RolloutDevicePage = {
  items: Array<RolloutDevice>;
  nextCursor: string | null;
};

export type RolloutEstimate = {
  /** By the soak times alone */
  minimumSeconds: number;
  expectedSeconds: number | null;
  reach: {
    now: number;
    day: number;
    week: number;
    month: number;
    longer: number;
  };
  /** All but those away for a month were heard within */
  reachSeconds: number;
  crashesPerDeviceHour: number;
  stages: Array<{
    name: string;
    minimumSeconds: number;
    evidenceSeconds: number | null;
  }>;
};

export type RolloutEvidence = {
  treated: {
    events: number;
    deviceHours: number;
  };
  control: {
    events: number;
    deviceHours: number;
  };
  eValue: number | null;
  likelihoodRatio: number | null;
  pauseAt: number | null;
};

export type RolloutPage = {
  items: Array<Rollout>;
  nextCursor: string | null;
};

export type RolloutPlan = {
  totalDevices: number;
  stages: Array<{
    index: number;
    name: string;
    cumulativeDevices: number;
    deviceIds: Array<string>;
  }>;
  /** The first thousand, as in the lists below; the reasons count all */
  excluded: Array<{
    deviceId: string;
    reason: string;
  }>;
  /** How many devices have each reason, the commonest first */
  excludedReasons: Array<{
    reason: string;
    devices: number;
  }>;
  /** How many devices have each reason, the commonest first */
  notComparedReasons: Array<{
    reason: string;
    devices: number;
  }>;
  /** How many devices have each reason, the commonest first */
  withoutWayBackReasons: Array<{
    reason: string;
    devices: number;
  }>;
  /** Devices that a rollback could not return to what they run now, and why. */
  withoutWayBack: Array<{
    deviceId: string;
    reason: string;
  }>;
  /** In the plan, and left out of the gate's comparison */
  notCompared: Array<{
    deviceId: string;
    reason: string;
  }>;
  paths: Array<{
    from: string | null;
    /** Stepping stones, in order */
    via: Array<string>;
    to: string;
    devices: number;
  }>;
  /** What full images would cost */
  bytesFull: number;
  /** What the artifacts that are ready now cost */
  bytesExpected: number;
  estimate: RolloutEstimate;
  warnings: Array<string>;
};

export type RolloutPlanDevice = {
  deviceId: string;
  stageIndex: number | null;
  reason: string | null;
};

export type RolloutPlanDevicePage = {
  items: Array<RolloutPlanDevice>;
  nextCursor: string | null;
};

export type RolloutPolicy = {
  stages: Array<{
    name: string;
    devices?: number | undefined;
    percent?: number | undefined;
    minSoakSeconds?: number | undefined;
    rampSeconds?: number | undefined;
  }>;
  minSoakSeconds: number;
  maxSoakSeconds: number | null;
  holdbackPercent: number;
  order?: "random" | "least-critical-first" | "one-per-site-first" | undefined;
  criticalityTag?: string | undefined;
  siteTag?: string | undefined;
  disruption?:
    | {
        tag?: string | undefined;
        atMost: number;
      }
    | undefined;
  window?:
    | {
        from: string;
        to: string;
        days?: Array<"mon" | "tue" | "wed" | "thu" | "fri" | "sat" | "sun"> | undefined;
        zoneTag?: string | undefined;
        timeZone?: string | undefined;
      }
    | undefined;
  maxConcurrent?: number | undefined;
  downloads?:
    | {
        concurrent?: number | undefined;
        bytesPerSecond?: number | undefined;
      }
    | undefined;
  priority?: number | undefined;
  steppingStones?: Array<string> | undefined;
  startAt?: string | undefined;
  dynamic?: boolean | undefined;
  retry?:
    | {
        attempts: number;
        afterSeconds: number;
      }
    | undefined;
  penalty?:
    | {
        failures: number;
        days: number;
      }
    | undefined;
  deadlines: {
    offered: number;
    downloading: number;
    installing: number;
    rebooting: number;
    confirming: number;
  };
  onBreach: "pause" | "rollback" | "rollback-stage";
  rollbackAutomatically: boolean;
  requireSecureBoot: boolean;
  askAfterSeconds: number;
  evaluateEverySeconds: number;
  alpha: number;
  promoteLikelihoodRatio: number;
  rateRatio: number;
  canaryCrashLimit: number;
  toleratedFailureShare: number;
  metrics?:
    | Array<{
        metric: string;
        query?: string | undefined;
        aggregate?: "mean" | "min" | "max" | "p50" | "p95" | undefined;
        source?: "points" | "rollups" | undefined;
        transform?: "increase" | "rate" | "delta" | undefined;
        worse: "higher" | "lower";
        toleranceShare?: number | undefined;
        tolerance?: number | undefined;
        windowSeconds?: number | undefined;
        minimumPairs?: number | undefined;
      }>
    | undefined;
  thresholds: Array<{
    metric: string;
    aggregate?: "mean" | "min" | "max" | "p50" | "p95" | undefined;
    above?: number | undefined;
    growsBy?: number | undefined;
    minimumDeviceHours?: number | undefined;
    minimumDevices?: number | undefined;
  }>;
};

export type RolloutPolicyInput = {
  stages?:
    | Array<{
        name: string;
        devices?: number | undefined;
        percent?: number | undefined;
        minSoakSeconds?: number | undefined;
        rampSeconds?: number | undefined;
      }>
    | undefined;
  minSoakSeconds?: number | undefined;
  maxSoakSeconds?: number | null | undefined;
  holdbackPercent?: number | undefined;
  order?: "random" | "least-critical-first" | "one-per-site-first" | undefined;
  criticalityTag?: string | undefined;
  siteTag?: string | undefined;
  disruption?:
    | {
        tag?: string | undefined;
        atMost: number;
      }
    | undefined;
  window?:
    | {
        from: string;
        to: string;
        days?: Array<"mon" | "tue" | "wed" | "thu" | "fri" | "sat" | "sun"> | undefined;
        zoneTag?: string | undefined;
        timeZone?: string | undefined;
      }
    | undefined;
  maxConcurrent?: number | undefined;
  downloads?:
    | {
        concurrent?: number | undefined;
        bytesPerSecond?: number | undefined;
      }
    | undefined;
  priority?: number | undefined;
  steppingStones?: Array<string> | undefined;
  startAt?: string | undefined;
  dynamic?: boolean | undefined;
  retry?:
    | {
        attempts: number;
        afterSeconds: number;
      }
    | undefined;
  penalty?:
    | {
        failures: number;
        days: number;
      }
    | undefined;
  deadlines?:
    | {
        offered?: number | undefined;
        downloading?: number | undefined;
        installing?: number | undefined;
        rebooting?: number | undefined;
        confirming?: number | undefined;
      }
    | undefined;
  onBreach?: "pause" | "rollback" | "rollback-stage" | undefined;
  rollbackAutomatically?: boolean | undefined;
  requireSecureBoot?: boolean | undefined;
  askAfterSeconds?: number | undefined;
  evaluateEverySeconds?: number | undefined;
  alpha?: number | undefined;
  promoteLikelihoodRatio?: number | undefined;
  rateRatio?: number | undefined;
  canaryCrashLimit?: number | undefined;
  toleratedFailureShare?: number | undefined;
  metrics?:
    | Array<{
        metric: string;
        query?: string | undefined;
        aggregate?: "mean" | "min" | "max" | "p50" | "p95" | undefined;
        source?: "points" | "rollups" | undefined;
        transform?: "increase" | "rate" | "delta" | undefined;
        worse: "higher" | "lower";
        toleranceShare?: number | undefined;
        tolerance?: number | undefined;
        windowSeconds?: number | undefined;
        minimumPairs?: number | undefined;
      }>
    | undefined;
  thresholds?:
    | Array<{
        metric: string;
        aggregate?: "mean" | "min" | "max" | "p50" | "p95" | undefined;
        above?: number | undefined;
        growsBy?: number | undefined;
        minimumDeviceHours?: number | undefined;
        minimumDevices?: number | undefined;
      }>
    | undefined;
};

export type RolloutReplay = {
  verdict: RolloutVerdict;
  replayed: {
    decision: string;
    rule: string;
    sentence: string;
    numbers: Record<string, unknown>;
  };
  /** Whether the gate says the same again, to the last number */
  agrees: boolean;
};

export type RolloutStage = {
  index: number;
  name: string;
  cumulativeDevices: number;
  startedAt: string | null;
  finishedAt: string | null;
  counts: Record<string, number>;
};

export type RolloutTotals = {
  devices: number;
  pending: number;
  inProgress: number;
  succeeded: number;
  failed: number;
  excluded: number;
};

export type RolloutVerdict = {
  seq?: number | undefined;
  at: string;
  stageIndex?: number | undefined;
  decision: string;
  rule: string;
  sentence: string;
  numbers: Record<string, unknown>;
  decidedBy?: string | undefined;
};

export type RolloutVerdictPage = {
  items: Array<RolloutVerdict>;
  nextCursor: string | null;
};

export type RollupRows = {
  minutes: number;
  hours: number;
  days: number;
};

export type RootEnvelope = {
  signed: RootMetadata;
  signatures: Array<Signature>;
};

export type RootList = {
  state: "missing" | "current" | "stale" | "ending" | "ended";
  number: number | null;
  thisUpdate: string | null;
  nextUpdate: string | null;
  entries: number;
  /** Authorities that were revoked since it was signed */
  unlisted: number;
};

export type RootMetadata = {
  _type: "root";
  spec_version: string;
  version: number;
  expires: string;
  tenant: string;
  consistent_snapshot: boolean;
  keys: Record<string, SigningKey>;
  roles: {
    root: SigningRole;
    targets: SigningRole;
    snapshot: SigningRole;
    timestamp: SigningRole;
  };
  director: SigningRole;
};

export type RotationCampaign = {
  id: string;
  status: "running" | "paused" | "finished" | "cancelled";
  /** Empty where devices were named */
  query: string;
  concurrency: number;
  deadlineSeconds: number;
  jitterSeconds: number;
  createdAt: string;
  createdBy: string;
  finishedAt: string | null;
  total: number;
  waiting: number;
  rotating: number;
  succeeded: number;
  failed: number;
  skipped: number;
  cancelled: number;
};

export type RotationCampaignDevice = {
  deviceId: string;
  state: "waiting" | "scheduled" | "rotating" | "succeeded" | "failed" | "skipped" | "cancelled";
  commandId: string | null;
  sentAt: string | null;
  finishedAt: string | null;
  step: string | null;
  error: string | null;
};

export type RotationCampaignDevicePage = {
  items: Array<RotationCampaignDevice>;
  nextCursor: string | null;
};

export type RotationCampaignPage = {
  items: Array<RotationCampaign>;
  nextCursor: string | null;
};

export type RotationError = {
  element: string;
  message: string;
};

export type RotationFailure = {
  at: string;
  step: string;
  element: string;
  message: string;
};

export type RotationState = {
  step: string;
  error: RotationError | null;
  failures: number;
  serial: string | null;
  startedAt: string;
  updatedAt: string;
};

export type RunningFirmware = {
  version: string;
  sha256: string;
  slot: string;
};

export type SbomComponent = {
  name: string;
  version: string | null;
  license: string | null;
  purl: string | null;
};

export type SbomSummary = {
  format: "cyclonedx" | "spdx";
  specVersion: string;
  componentCount: number;
  /** The first of them; listComponents has all */
  components: Array<SbomComponent>;
};

export type SentCommands = {
  /** The first 500 */
  items: Array<Command>;
  batch: CommandBatch | null;
};

export type SeriesResolution = {
  source: "raw" | "1m" | "1h" | "1d";
  stepMs: number;
  /** Beginning of the first bucket */
  from: number;
  to: number;
  /** Percentiles and counters from rollups are not exact */
  approximate: boolean;
};

export type ServiceAccount = {
  id: string;
  name: string;
  issuer: string;
  audience: string;
  conditions: Array<TokenCondition>;
  role: "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor";
  scopes: Array<string> | null;
  lifetimeSeconds: number;
  createdAt: string;
  lastUsedAt: string | null;
};

export type ServiceAccountList = {
  items: Array<ServiceAccount>;
};

export type Session = {
  user: {
    id: string;
    email: string;
    name: string;
  };
  platformRole: "platform-administrator" | "platform-operator" | null;
  tenants: Array<TenantAccess>;
  expiresAt: string;
  /** It may set up a second factor and nothing else */
  mustEnrol: boolean;
};

export type SignInPolicy = {
  secondFactor: "optional" | "administrators" | "everybody";
};

export type SignInProvider = {
  id: string;
  name: string;
  issuer: string;
  clientId: string;
  hasSecret: boolean;
  scopes: Array<string>;
  linksByEmail: boolean;
  createsUsers: boolean;
  emailDomains: Array<string>;
  roleMappings: Array<RoleMapping>;
  enabled: boolean;
  createdAt: string;
  updatedAt: string;
};

export type SignInProviderCheck = {
  issuer: string;
  authorizationEndpoint: string | null;
  endSessionEndpoint: string | null;
  supportsPkce: boolean;
  algorithms: Array<string>;
  /** To be registered with the provider */
  redirectUri: string;
  /** To be registered as the place after signing out */
  signOutUri: string;
};

export type SignInProviderList = {
  items: Array<SignInProvider>;
};

export type Signature = {
  keyid: string;
  /** Hex */
  sig: string;
};

export type SignedIn = {
  user: {
    id: string;
    email: string;
    name: string;
  };
  expiresAt: string;
};

export type SigningKey = {
  keytype: "ed25519" | "ecdsa";
  scheme: "ed25519" | "ecdsa-sha2-nistp256";
  keyval: {
    /** Ed25519: 32 bytes in hex; P-256: PEM */
    public: string;
  };
};

export type SigningRole = {
  keyids: Array<string>;
  threshold: number;
};

export type Span = {
  spanId: string;
  parentSpanId: string | null;
  name: string;
  service: string;
  startMs: number;
  durationMs: number;
  status: "unset" | "ok" | "error";
  statusMessage: string | null;
  attributes: Record<string, unknown>;
};

export type TableUse = {
  table: string;
  rows: number;
  sizeBytes: number;
  /** Before compression */
  rawBytes: number;
  bytesPerRow: number;
  /** How many bytes became one */
  compression: number;
  /** Where the files are shared: the tenant's part of the rows */
  isEstimate: boolean;
};

export type TargetsEnvelope = {
  signed: TargetsMetadata;
  signatures: Array<Signature>;
};

export type TargetsMetadata = {
  _type: "targets";
  spec_version: string;
  version: number;
  expires: string;
  tenant: string;
  targets: Record<string, unknown>;
  delegations?:
    | {
        keys: Record<string, SigningKey>;
        roles: Array<DelegatedRole>;
      }
    | undefined;
};

export type TelemetryPoint = {
  ts: number;
  min: number;
  max: number;
  mean: number;
  count: number;
};

export type TelemetryRetention = {
  all: KeptDays;
  /** The first whose pattern fits a metric counts */
  rules: Array<RetentionRule>;
};

export type TelemetrySeries = {
  metric: string;
  /** As the device's product declares it; else empty */
  unit: string;
  description: string;
  points: Array<TelemetryPoint>;
  /** What was read: points, or their rollups by the minute, the hour or the day */
  source: "raw" | "1m" | "1h" | "1d";
  stepMs: number | null;
  kept: MetricKeptDays;
};

export type TelemetryText = {
  deviceId: string;
  metric: string;
  /** Milliseconds since the epoch */
  ts: number;
  text: string;
  /** What was added to the device's own time, which was `ts - clockShiftMs` */
  clockShiftMs: number;
};

export type TelemetryTextPage = {
  items: Array<TelemetryText>;
  nextCursor: string | null;
};

export type TelemetryUsage = {
  at: number;
  storageClass: "shared" | "separate";
  points: number;
  /** Of points and rollups */
  sizeBytes: number;
  bytesPerPoint: number | null;
  bytesPerPointWithRollups: number | null;
  tables: Array<TableUse>;
  metrics: Array<MetricUse>;
  days: Array<DayOfTelemetry>;
};

export type Tenant = {
  id: string;
  name: string;
  status: "active" | "suspended";
  settings: TenantSettings;
  /** Of telemetry, events, log lines, spans (in partitions of its own) and artifacts (in a folder or under a prefix of its own), where it is separate; the registry, commands and the audit log are rows of one database in either case */
  storageClass: "shared" | "separate";
  storageMove: {
    since: string;
    /** Tables whose rows are there */
    done: number;
    /** All of them; 0 before the first is begun */
    of: number;
    copiedAt: string | null;
  } | null;
  createdAt: string;
  deletesAt: string | null;
};

export type TenantAccess = {
  id: string;
  name: string;
  role: string | null;
  /** What the caller may there */
  permissions: Array<string>;
  groups: Array<string> | null;
};

export type TenantAuthorities = {
  authorities: Array<TenantAuthority>;
  pending: Array<PendingAuthority>;
};

export type TenantAuthority = {
  id: string;
  tenantId: string | null;
  kind: "root" | "tenant" | "server";
  status: "active" | "retiring" | "revoked" | "ended";
  subject: string;
  /** SHA-256 over the certificate, hex */
  fingerprint: string;
  algorithm: string;
  keyKind: "sealed" | "pkcs11" | "offline";
  keyUri: string | null;
  issuerId: string | null;
  createdAt: string;
  notAfter: string;
  /** Certificates of it that are in use */
  liveCertificates: number;
};

export type TenantDeletion = {
  /** Until then it can be restored */
  deletesAt: string;
};

export type TenantDeletionReceipt = {
  receipt: {
    signed: {
      _type: "tenant-deletion";
      tenant: string;
      deletedAt: string;
      removed: {
        postgresql: Record<string, number>;
        clickhouse: Record<string, number>;
        blobs: {
          count: number;
          sizeBytes: number;
          sharedWithOthers: number;
        };
        uploads: number;
      };
      left: {
        postgresql: Record<string, number>;
        clickhouse: Record<string, number>;
        /** Files in a place of its own; absent in older receipts */
        ownBlobs?: number | undefined;
      };
      kept: Record<string, string>;
    };
    signatures: Array<{
      keyid: string;
      sig: string;
    }>;
  };
  key: {
    keytype: string;
    scheme: string;
    keyval: {
      public: string;
    };
  };
};

export type TenantList = {
  items: Array<Tenant>;
};

export type TenantSettings = {
  heartbeatIntervalSeconds: number;
  offlineAfterMissed: number;
  certificateLifetimeHours: number;
  certificateGraceDays: number;
  maxDevices: number;
  maxReleases: number;
  maxWebhooks: number;
  maxDownloads: number;
  downloadBytesPerSecond: number;
  maxMessagesPerDay: number;
  maxMessageBytesPerDay: number;
  maxPointsPerDay: number;
  maxStorageBytes: number;
  maxApiRequestsPerMinute: number;
  maxDeltaSecondsPerDay: number;
  rolloutApprovals: number;
  telemetryRetentionDays: number;
  minuteRollupRetentionDays: number;
  hourRollupRetentionDays: number;
  dayRollupRetentionDays: number;
  logRetentionDays: number;
  auditRetentionDays: number;
};

export type TimelineEntry = {
  at: string;
  id: string;
  /** health, firmware, incident, alert-raised, alert-resolved */
  kind: string;
  details: Record<string, unknown>;
};

export type TokenCondition = {
  claim: string;
  /** What the claim must be; `*` stands for any text */
  value: string;
};

export type TotpSecret = {
  /** Base32, for typing; shown this once */
  secret: string;
  /** `otpauth://…`, for a QR code */
  uri: string;
};

export type Trace = {
  traceId: string;
  spans: Array<Span>;
  logs: Array<LogLine>;
};

export type TroubledRotation = {
  deviceId: string;
  step: string;
  error: RotationError;
  failures: number;
  startedAt: string;
  updatedAt: string;
  notAfter: string | null;
};

export type TroubledRotationPage = {
  items: Array<TroubledRotation>;
  nextCursor: string | null;
};

export type Twin = {
  desired: Record<string, unknown>;
  /** 0 before anybody has wanted anything */
  desiredVersion: number;
  desiredAt: string | null;
  desiredBy: string | null;
  reported: Record<string, unknown>;
  /** The device's own count */
  reportedVersion: number;
  reportedAt: string | null;
  /** The desired version that the device lives by */
  appliedVersion: number;
  fault: {
    version: number;
    message: string;
  } | null;
};

export type UnpackedImages = {
  /** Packed parts of the new image that the device packs again */
  streams: Array<{
    codec: string;
    count: number;
  }>;
  sourceFormBytes: number;
  /** Size of the new image with all of it unpacked */
  targetFormBytes: number;
  recipeBytes: number;
  requires: string | null;
};

export type UpdateStop = {
  stop: {
    stoppedAt: string;
    stoppedBy: string;
    reason: string;
  } | null;
};

export type Upload = {
  id: string;
  status: "open" | "complete";
  name: string;
  sizeBytes: number;
  /** What is here, and would survive a power cut */
  offsetBytes: number;
  sha256: string | null;
  createdAt: string;
  createdBy: string;
  expiresAt: string;
};

export type UploadPage = {
  items: Array<Upload>;
  nextCursor: string | null;
};

export type Usage = {
  /** From this part of a limit on an alert warns */
  warnAt: number;
  items: Array<QuotaUse>;
};

export type User = {
  id: string;
  email: string;
  name: string;
  platformRole: "platform-administrator" | "platform-operator" | null;
  memberships: Array<{
    tenantId: string;
    /** viewer, operator, fleet-engineer, administrator, auditor, or one of the tenant's own roles */
    role: string;
    groups: Array<string> | null;
  }>;
  createdAt: string;
  disabledAt: string | null;
};

export type UserIdentity = {
  provider: string;
  subject: string;
  email: string | null;
  createdAt: string;
  lastUsedAt: string | null;
};

export type UserIdentityList = {
  items: Array<UserIdentity>;
};

export type UserList = {
  items: Array<User>;
};

export type VersionLife = {
  version: string;
  devices: number;
  deviceHours: number;
  incidents: Record<string, number>;
  /** Now, by health */
  running: Record<string, number>;
};

export type Webhook = {
  id: string;
  url: string;
  eventTypes: Array<string>;
  enabled: boolean;
  createdAt: string;
  createdBy: string;
};

export type WebhookList = {
  items: Array<Webhook>;
};

export type Whoami = {
  actor: {
    kind: string;
    id: string;
    name: string;
  };
  platformRole: "platform-administrator" | "platform-operator" | null;
  tenants: Array<TenantAccess>;
  /** It may set up a second factor and nothing else */
  mustEnrol: boolean;
};

/** What each operation takes and gives. */
export interface Operations {
  getHealth: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: Health;
  };
  getReadiness: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: Readiness;
  };
  getMetrics: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: string;
  };
  signIn: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      email: string;
      password: string;
      /** Of an authenticator app, or a recovery code; asked for by second-factor-needed */
      code?: string | undefined;
    };
    answer: Session;
  };
  signOut: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  whoami: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: Whoami;
  };
  listPersonalKeys: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: ApiKeyList;
  };
  createPersonalKey: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      name: string;
      expiresAt?: string | undefined;
    };
    answer: CreatedApiKey;
  };
  revokePersonalKey: {
    params: { key: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  listOwnSessions: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: OwnSessionList;
  };
  endOwnSession: {
    params: { session: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  /** Ends every session of the caller but the one that asks */
  endOtherSessions: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: EndedSessions;
  };
  listOfferedProviders: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: OfferedProviderList;
  };
  /** Sends the browser to the provider */
  startProviderSignIn: {
    params: { provider: string };
    query: { next?: string | undefined };
    body: undefined;
    answer: undefined;
  };
  /** Where the provider sends the browser back to */
  finishProviderSignIn: {
    params: { provider: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  /** Where to go to leave the provider too, before the session here is ended */
  getProviderSignOut: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: ProviderSignOut;
  };
  listSignInProviders: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: SignInProviderList;
  };
  createSignInProvider: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      id: string;
      name: string;
      /** As it stands in tokens */
      issuer: string;
      clientId: string;
      clientSecret?: string | null | undefined;
      scopes?: Array<string> | undefined;
      /** A verified e-mail address leads to the user who has it */
      linksByEmail?: boolean | undefined;
      /** Somebody new becomes a user, where a mapping gives a role */
      createsUsers?: boolean | undefined;
      emailDomains?: Array<string> | undefined;
      roleMappings?:
        | Array<{
            /** Name of a claim; `a.b` looks into objects */
            claim: string;
            /** Text, or a member of a list */
            value: string;
            tenantId: string;
            role: "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor";
          }>
        | undefined;
      enabled?: boolean | undefined;
    };
    answer: SignInProvider;
  };
  /** Replaces the settings; the secret stays where none is given */
  replaceSignInProvider: {
    params: { provider: string };
    query: Record<never, never>;
    body: {
      name: string;
      /** As it stands in tokens */
      issuer: string;
      clientId: string;
      clientSecret?: string | null | undefined;
      scopes?: Array<string> | undefined;
      /** A verified e-mail address leads to the user who has it */
      linksByEmail?: boolean | undefined;
      /** Somebody new becomes a user, where a mapping gives a role */
      createsUsers?: boolean | undefined;
      emailDomains?: Array<string> | undefined;
      roleMappings?:
        | Array<{
            /** Name of a claim; `a.b` looks into objects */
            claim: string;
            /** Text, or a member of a list */
            value: string;
            tenantId: string;
            role: "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor";
          }>
        | undefined;
      enabled?: boolean | undefined;
    };
    answer: SignInProvider;
  };
  /** With its identities, its sessions and the memberships that it has granted */
  deleteSignInProvider: {
    params: { provider: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  /** Reads the provider's description, and tells what to register there */
  checkSignInProvider: {
    params: { provider: string };
    query: Record<never, never>;
    body: undefined;
    answer: SignInProviderCheck;
  };
  listUserIdentities: {
    params: { user: string };
    query: Record<never, never>;
    body: undefined;
    answer: UserIdentityList;
  };
  /** Names the subject that the user is at the provider */
  setUserIdentity: {
    params: { user: string; provider: string };
    query: Record<never, never>;
    body: {
      subject: string;
    };
    answer: undefined;
  };
  /** The user signs in there no longer; their sessions from there end */
  removeUserIdentity: {
    params: { user: string; provider: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  getOwnFactors: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: Factors;
  };
  /** A secret for an authenticator app; it counts once a code of it was shown */
  beginTotp: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: TotpSecret;
  };
  confirmTotp: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      /** Six digits of the app, or a recovery code */
      code: string;
    };
    answer: RecoveryCodes;
  };
  removeTotp: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      /** Six digits of the app, or a recovery code */
      code: string;
    };
    answer: undefined;
  };
  renewRecoveryCodes: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      /** Six digits of the app, or a recovery code */
      code: string;
    };
    answer: RecoveryCodes;
  };
  /** What the browser makes a passkey from */
  beginPasskey: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: PasskeyChallenge;
  };
  addPasskey: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      /** As it was given */
      challenge: string;
      name: string;
      response: Record<string, unknown>;
    };
    answer: CreatedPasskey;
  };
  removePasskey: {
    params: { passkey: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  beginPasskeySignIn: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: PasskeyChallenge;
  };
  signInWithPasskey: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      /** As it was given */
      challenge: string;
      response: Record<string, unknown>;
    };
    answer: SignedIn;
  };
  getSignInPolicy: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: SignInPolicy;
  };
  /** Who needs a second factor when they sign in with a password */
  setSignInPolicy: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      secondFactor: "optional" | "administrators" | "everybody";
    };
    answer: SignInPolicy;
  };
  requireSecondFactor: {
    params: { user: string };
    query: Record<never, never>;
    body: {
      isRequired: boolean;
    };
    answer: undefined;
  };
  /** For who has lost everything: the password alone counts, every session ends */
  resetUserFactors: {
    params: { user: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  listServiceAccounts: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: ServiceAccountList;
  };
  /** Lets tokens of an issuer that fit the conditions have keys of this role */
  createServiceAccount: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      name: string;
      /** As it stands in tokens */
      issuer: string;
      /** `aud` of its tokens */
      audience: string;
      conditions: Array<{
        claim: string;
        /** What the claim must be; `*` stands for any text */
        value: string;
      }>;
      role: "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor";
      scopes?:
        | Array<
            | "tenant.read"
            | "devices.read"
            | "devices.write"
            | "devices.enroll"
            | "devices.revoke"
            | "telemetry.read"
            | "logs.read"
            | "observations.write"
            | "commands.read"
            | "commands.send"
            | "exchange.read"
            | "exchange.publish"
            | "firmware.read"
            | "firmware.publish"
            | "trust.manage"
            | "authorities.manage"
            | "rollouts.read"
            | "rollouts.pause"
            | "rollouts.control"
            | "alerts.read"
            | "alerts.acknowledge"
            | "alerts.manage"
            | "webhooks.manage"
            | "tenancy.read"
            | "tenancy.manage"
            | "audit.read"
          >
        | undefined;
      lifetimeSeconds?: number | undefined;
    };
    answer: ServiceAccount;
  };
  /** With the keys that it has been given */
  deleteServiceAccount: {
    params: { tenant: string; serviceAccount: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  /** A key that is soon over, for a token of an issuer that the tenant has named */
  exchangeToken: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange";
      subject_token: string;
      subject_token_type:
        | "urn:ietf:params:oauth:token-type:jwt"
        | "urn:ietf:params:oauth:token-type:id_token";
      /** TENANT/SERVICE-ACCOUNT */
      audience: string;
      requested_token_type?: "urn:ietf:params:oauth:token-type:access_token" | undefined;
    };
    answer: ExchangedToken;
  };
  listTenants: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: TenantList;
  };
  createTenant: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      id: string;
      name: string;
      /** heartbeatIntervalSeconds, offlineAfterMissed, certificateLifetimeHours, … */
      settings?: Record<string, unknown> | undefined;
      /** Of telemetry, events, log lines, spans (in partitions of its own) and artifacts (in a folder or under a prefix of its own), where it is separate; the registry, commands and the audit log are rows of one database in either case */
      storageClass?: "shared" | "separate" | undefined;
    };
    answer: Tenant;
  };
  getTenant: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: Tenant;
  };
  updateTenant: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      /** heartbeatIntervalSeconds, offlineAfterMissed, certificateLifetimeHours, … */
      settings: Record<string, unknown>;
    };
    answer: Tenant;
  };
  /** Suspends the tenant now and deletes everything of it when the grace is over */
  deleteTenant: {
    params: { tenant: string };
    query: { confirm: string; graceHours?: number | undefined };
    body: undefined;
    answer: TenantDeletion;
  };
  /** What is used of each quota today (UTC), and what happens at its limit */
  getUsage: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: Usage;
  };
  /** The same for the platform's operators: how much there is, and nothing of what it is */
  getTenantFigures: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: Usage;
  };
  /** Moves the tenant's series and artifacts into partitions and a folder of its own, or back; until they are there it is suspended */
  moveTenantStorage: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      /** Of telemetry, events, log lines, spans (in partitions of its own) and artifacts (in a folder or under a prefix of its own), where it is separate; the registry, commands and the audit log are rows of one database in either case */
      storageClass: "shared" | "separate";
    };
    answer: Tenant;
  };
  /** All that the tenant owns as a tar archive, without secrets; see manifest.json */
  exportTenant: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: unknown;
  };
  /** Undoes the deletion of a tenant while its grace lasts */
  restoreTenant: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  /** The signed receipt of a tenant's deletion: what there was, and what is left */
  getDeletionReceipt: {
    params: { deletedTenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: TenantDeletionReceipt;
  };
  listKeys: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: ApiKeyList;
  };
  createKey: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      name: string;
      /** viewer, operator, fleet-engineer, administrator, auditor, or one of the tenant's own roles */
      role: string;
      /** Names of groups whose devices are meant; all devices where left out */
      groups?: Array<string> | undefined;
      /** What the key is confined to, of what its role may */
      scopes?:
        | Array<
            | "tenant.read"
            | "devices.read"
            | "devices.write"
            | "devices.enroll"
            | "devices.revoke"
            | "telemetry.read"
            | "logs.read"
            | "observations.write"
            | "commands.read"
            | "commands.send"
            | "exchange.read"
            | "exchange.publish"
            | "firmware.read"
            | "firmware.publish"
            | "trust.manage"
            | "authorities.manage"
            | "rollouts.read"
            | "rollouts.pause"
            | "rollouts.control"
            | "alerts.read"
            | "alerts.acknowledge"
            | "alerts.manage"
            | "webhooks.manage"
            | "tenancy.read"
            | "tenancy.manage"
            | "audit.read"
          >
        | undefined;
      expiresAt?: string | undefined;
    };
    answer: CreatedApiKey;
  };
  revokeKey: {
    params: { tenant: string; key: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  listApplicationCertificates: {
    params: { tenant: string };
    query: { cursor?: string | undefined; limit?: number | undefined };
    body: undefined;
    answer: ApplicationCertificatePage;
  };
  issueApplicationCertificate: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      /** It stands in the certificate: spiffe://<tenant>.<domain>/application/<name> */
      name: string;
      role: "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor";
      /** PKCS#10, PEM or base64 DER; without it a key is made and shown once */
      csr?: string | undefined;
      lifetimeHours?: number | undefined;
    };
    answer: IssuedApplicationCertificate;
  };
  /** Its connections end within five seconds */
  revokeApplicationCertificate: {
    params: { tenant: string; serial: string };
    query: {
      reason?:
        | "unspecified"
        | "keyCompromise"
        | "cACompromise"
        | "affiliationChanged"
        | "superseded"
        | "cessationOfOperation"
        | "privilegeWithdrawn"
        | "aACompromise"
        | undefined;
    };
    body: undefined;
    answer: undefined;
  };
  listUsers: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: UserList;
  };
  createUser: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      email: string;
      name: string;
      password?: string | undefined;
      platformRole?: "platform-administrator" | "platform-operator" | undefined;
      memberships?:
        | Array<{
            tenantId: string;
            role: "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor";
          }>
        | undefined;
    };
    answer: User;
  };
  setUserPassword: {
    params: { user: string };
    query: Record<never, never>;
    body: {
      password: string;
    };
    answer: undefined;
  };
  disableUser: {
    params: { user: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  listMembers: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: UserList;
  };
  /** Makes a user of this installation a member, or changes the role */
  setMember: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      email: string;
      /** viewer, operator, fleet-engineer, administrator, auditor, or one of the tenant's own roles */
      role: string;
      /** Names of groups whose devices are meant; all devices where left out */
      groups?: Array<string> | undefined;
    };
    answer: UserList;
  };
  removeMember: {
    params: { tenant: string; user: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  listRoles: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: RoleList;
  };
  createRole: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      /** viewer, operator, fleet-engineer, administrator, auditor, or one of the tenant's own roles */
      name: string;
      description?: string | undefined;
      permissions: Array<
        | "tenant.read"
        | "devices.read"
        | "devices.write"
        | "devices.enroll"
        | "devices.revoke"
        | "telemetry.read"
        | "logs.read"
        | "observations.write"
        | "commands.read"
        | "commands.send"
        | "exchange.read"
        | "exchange.publish"
        | "firmware.read"
        | "firmware.publish"
        | "trust.manage"
        | "authorities.manage"
        | "rollouts.read"
        | "rollouts.pause"
        | "rollouts.control"
        | "alerts.read"
        | "alerts.acknowledge"
        | "alerts.manage"
        | "webhooks.manage"
        | "tenancy.read"
        | "tenancy.manage"
        | "audit.read"
      >;
    };
    answer: Role;
  };
  /** Replaces what a role permits, for everybody who has it */
  replaceRole: {
    params: { tenant: string; ownRole: string };
    query: Record<never, never>;
    body: {
      description?: string | undefined;
      permissions: Array<
        | "tenant.read"
        | "devices.read"
        | "devices.write"
        | "devices.enroll"
        | "devices.revoke"
        | "telemetry.read"
        | "logs.read"
        | "observations.write"
        | "commands.read"
        | "commands.send"
        | "exchange.read"
        | "exchange.publish"
        | "firmware.read"
        | "firmware.publish"
        | "trust.manage"
        | "authorities.manage"
        | "rollouts.read"
        | "rollouts.pause"
        | "rollouts.control"
        | "alerts.read"
        | "alerts.acknowledge"
        | "alerts.manage"
        | "webhooks.manage"
        | "tenancy.read"
        | "tenancy.manage"
        | "audit.read"
      >;
    };
    answer: Role;
  };
  deleteRole: {
    params: { tenant: string; ownRole: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  /** What concerns no single tenant, and attempts on tenants by others */
  listPlatformAudit: {
    params: Record<never, never>;
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      action?: string | undefined;
      actor?: string | undefined;
      target?: string | undefined;
      outcome?: "done" | "refused" | undefined;
      from?: string | undefined;
      to?: string | undefined;
    };
    body: undefined;
    answer: AuditPage;
  };
  verifyPlatformAudit: {
    params: Record<never, never>;
    query: { seq?: number | undefined; hash?: string | undefined };
    body: undefined;
    answer: AuditVerification;
  };
  listAudit: {
    params: { tenant: string };
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      action?: string | undefined;
      actor?: string | undefined;
      target?: string | undefined;
      outcome?: "done" | "refused" | undefined;
      from?: string | undefined;
      to?: string | undefined;
    };
    body: undefined;
    answer: AuditPage;
  };
  verifyAudit: {
    params: { tenant: string };
    query: { seq?: number | undefined; hash?: string | undefined };
    body: undefined;
    answer: AuditVerification;
  };
  /** Signed ends of the platform's chain, oldest first */
  listPlatformAuditCheckpoints: {
    params: Record<never, never>;
    query: { cursor?: string | undefined; limit?: number | undefined };
    body: undefined;
    answer: AuditCheckpointPage;
  };
  /** Signed ends of the chain, oldest first: to be kept elsewhere */
  listAuditCheckpoints: {
    params: { tenant: string };
    query: { cursor?: string | undefined; limit?: number | undefined };
    body: undefined;
    answer: AuditCheckpointPage;
  };
  listAuditStreams: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: AuditStreamList;
  };
  /** Sends the audit log on to a webhook or a syslog server, each entry at least once */
  createAuditStream: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      /** https://…, syslog+tcp://host:port or syslog+tls://host:port */
      url: string;
      authorityPem?: string | undefined;
      /** Also what is in the log already */
      fromStart?: boolean | undefined;
    };
    answer: CreatedAuditStream;
  };
  deleteAuditStream: {
    params: { tenant: string; auditStream: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  /** Enter a tenant for a reason and a while; the tenant is told */
  breakGlass: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      role?: "viewer" | "operator" | "fleet-engineer" | "auditor" | undefined;
      /** Read by the tenant's administrators and auditors */
      reason: string;
      minutes?: number | undefined;
    };
    answer: BreakGlass;
  };
  /** Leave the tenant before the time is over */
  endBreakGlass: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: BreakGlassEnded;
  };
  /** Which operators of the platform came in, why, and for how long; newest first */
  listBreakGlass: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: BreakGlassList;
  };
  listDevices: {
    params: { tenant: string };
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      q?: string | undefined;
      sort?: string | undefined;
    };
    body: undefined;
    answer: DevicePage;
  };
  /** Registers a device; with a certificate request, issues its certificate too */
  enrollDevice: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      id: string;
      product: string;
      hardwareRevision: string;
      region?: string | undefined;
      /** Labels, at most 50 */
      tags?: Record<string, string> | undefined;
      /** PKCS#10 request, PEM or base64 DER; without it the device is only registered */
      csr?: string | undefined;
    };
    answer: EnrolledDevice;
  };
  getDevice: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: undefined;
    answer: Device;
  };
  updateDevice: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: {
      /** Labels, at most 50 */
      tags?: Record<string, string> | undefined;
      region?: string | undefined;
      status?: "active" | "quarantined" | undefined;
    };
    answer: Device;
  };
  deleteDevice: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  listDeviceUpdates: {
    params: { tenant: string; device: string };
    query: { limit?: number | undefined };
    body: undefined;
    answer: DeviceUpdateList;
  };
  listDeviceEvents: {
    params: { tenant: string; device: string };
    query: { limit?: number | undefined };
    body: undefined;
    answer: DeviceEventList;
  };
  getTwin: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: undefined;
    answer: Twin;
  };
  patchTwin: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: {
      /** JSON merge patch (RFC 7396): null removes a property */
      desired: Record<string, unknown>;
    };
    answer: Twin;
  };
  replaceTwin: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: {
      desired: Record<string, unknown>;
    };
    answer: Twin;
  };
  patchTwins: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      devices?: Array<string> | undefined;
      /** Fleet query, for example `firmware.version < "2.4.0" and tags.site = "berlin" and online` */
      query?: string | undefined;
      /** JSON merge patch (RFC 7396): null removes a property */
      desired: Record<string, unknown>;
    };
    answer: PatchedTwins;
  };
  /** Enrols up to 200 devices, each for itself; refused rows say why */
  enrollDevices: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      items: Array<{
        id: string;
        /** PKCS#10 request, PEM or base64 DER */
        csr: string;
        product: string;
        hardwareRevision: string;
        region?: string | undefined;
        /** Labels, at most 50 */
        tags?: Record<string, string> | undefined;
      }>;
    };
    answer: EnrolledDevices;
  };
  /** Where devices connect, and the root certificate that they trust */
  getDeviceConnection: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: DeviceConnection;
  };
  revokeDevice: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: {
      reason: string;
      /** One certificate; all without it */
      serial?: string | undefined;
      /** CRLReason of RFC 5280; unspecified where left out */
      code?:
        | "unspecified"
        | "keyCompromise"
        | "cACompromise"
        | "affiliationChanged"
        | "superseded"
        | "cessationOfOperation"
        | "certificateHold"
        | "privilegeWithdrawn"
        | "aACompromise"
        | undefined;
    };
    answer: undefined;
  };
  listDeviceCertificates: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: undefined;
    answer: CertificateList;
  };
  /** Claims of every kind, newest first */
  listClaimTokens: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: ClaimTokenList;
  };
  /** A token for EST (HTTP Basic) */
  createClaimToken: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      name: string;
      /** Device ids that it may enrol: * and ? stand for any characters and for one */
      devicePattern: string;
      product: string;
      hardwareRevision: string;
      region?: string | undefined;
      /** Labels, at most 50 */
      tags?: Record<string, string> | undefined;
      /** Nothing more, a place on the list, or a person's word (default automatic) */
      approval?: "automatic" | "preauthorised" | "pending" | undefined;
      webhook?:
        | {
            url: string;
            /** What happens where it gives no usable answer (default refuse) */
            onFailure?: "refuse" | "pending" | undefined;
          }
        | undefined;
      maxUses: number;
      expiresAt: string;
    };
    answer: CreatedClaimToken;
  };
  /** Ends a claim of any kind */
  revokeClaimToken: {
    params: { tenant: string; claimToken: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  /** Reference and secret for CMP (protection by a MAC) */
  createClaimSecret: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      name: string;
      /** Device ids that it may enrol: * and ? stand for any characters and for one */
      devicePattern: string;
      product: string;
      hardwareRevision: string;
      region?: string | undefined;
      /** Labels, at most 50 */
      tags?: Record<string, string> | undefined;
      /** Nothing more, a place on the list, or a person's word (default automatic) */
      approval?: "automatic" | "preauthorised" | "pending" | undefined;
      webhook?:
        | {
            url: string;
            /** What happens where it gives no usable answer (default refuse) */
            onFailure?: "refuse" | "pending" | undefined;
          }
        | undefined;
      maxUses: number;
      expiresAt: string;
    };
    answer: CreatedClaimSecret;
  };
  /** A certificate for EST and CMP, or one for all of an authority's certificates */
  createClaimCertificate: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      name: string;
      /** Device ids that it may enrol: * and ? stand for any characters and for one */
      devicePattern: string;
      product: string;
      hardwareRevision: string;
      region?: string | undefined;
      /** Labels, at most 50 */
      tags?: Record<string, string> | undefined;
      /** Nothing more, a place on the list, or a person's word (default automatic) */
      approval?: "automatic" | "preauthorised" | "pending" | undefined;
      webhook?:
        | {
            url: string;
            /** What happens where it gives no usable answer (default refuse) */
            onFailure?: "refuse" | "pending" | undefined;
          }
        | undefined;
      maxUses: number;
      expiresAt: string;
      /** PKCS#10 request, PEM or base64 DER */
      csr?: string | undefined;
      authorityId?: string | undefined;
    };
    answer: CreatedClaimCertificate;
  };
  /** Enrolments that a person has to accept, or has decided, newest first */
  listPendingEnrolments: {
    params: { tenant: string };
    query: { status?: "pending" | "accepted" | "rejected" | undefined };
    body: undefined;
    answer: PendingEnrolmentList;
  };
  /** The device gets its certificate when it asks again */
  acceptEnrolment: {
    params: { tenant: string; enrolment: string };
    query: Record<never, never>;
    body: undefined;
    answer: PendingEnrolment;
  };
  rejectEnrolment: {
    params: { tenant: string; enrolment: string };
    query: Record<never, never>;
    body: {
      reason: string;
    };
    answer: PendingEnrolment;
  };
  /** Devices that are expected, in the order of their ids */
  listPreauthorisedDevices: {
    params: { tenant: string };
    query: { cursor?: string | undefined; limit?: number | undefined };
    body: undefined;
    answer: PreauthorisedDevicePage;
  };
  /** Puts devices on the list, or changes what it says of them; each row for itself */
  addPreauthorisedDevices: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      items: Array<{
        deviceId: string;
        serialNumber?: string | undefined;
        publicKeySha256?: string | undefined;
        product: string;
        hardwareRevision: string;
        region?: string | undefined;
        /** Labels, at most 50 */
        tags?: Record<string, string> | undefined;
      }>;
    };
    answer: AddedPreauthorisedDevices;
  };
  removePreauthorisedDevice: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  listRegisteredAuthorities: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: RegisteredAuthorityList;
  };
  /** Nothing is accepted by it before possession of its key is proved */
  registerAuthority: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      name: string;
      /** PEM */
      certificatePem: string;
      purpose?: "devices" | "claims" | undefined;
      mapping: {
        /** The device's id: letters, digits, . _ - and {cn} {ou} {o} {serialNumber} {uri} {dns} */
        template: string;
        /** What a field must look like; {} is the part that the template takes */
        fields?:
          | {
              cn?: string | undefined;
              ou?: string | undefined;
              o?: string | undefined;
              serialNumber?: string | undefined;
              uri?: string | undefined;
              dns?: string | undefined;
            }
          | undefined;
      };
      /** Device ids that it may enrol: * and ? stand for any characters and for one */
      devicePattern: string;
      product: string;
      hardwareRevision: string;
      region?: string | undefined;
      /** Labels, at most 50 */
      tags?: Record<string, string> | undefined;
      /** Nothing more, a place on the list, or a person's word (default automatic) */
      approval?: "automatic" | "preauthorised" | "pending" | undefined;
      webhook?:
        | {
            url: string;
            /** What happens where it gives no usable answer (default refuse) */
            onFailure?: "refuse" | "pending" | undefined;
          }
        | undefined;
      maxDevices: number;
    };
    answer: RegisteredAuthorityCreated;
  };
  /** With a certificate that it has issued for the common name `code` */
  proveAuthority: {
    params: { tenant: string; registeredAuthority: string };
    query: Record<never, never>;
    body: {
      /** PEM */
      certificatePem: string;
    };
    answer: RegisteredAuthority;
  };
  /** Its certificates are accepted no more */
  disableAuthority: {
    params: { tenant: string; registeredAuthority: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  /** Certificates of the tenant's devices, those that end first before the others */
  listCertificates: {
    params: { tenant: string };
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      status?: "active" | "superseded" | "held" | "revoked" | undefined;
      device?: string | undefined;
      algorithm?: string | undefined;
      authority?: string | undefined;
      expiresBefore?: string | undefined;
      expiresAfter?: string | undefined;
    };
    body: undefined;
    answer: CertificatePage;
  };
  getCertificate: {
    params: { tenant: string; serial: string };
    query: Record<never, never>;
    body: undefined;
    answer: Certificate;
  };
  /** Revokes or holds certificates, or devices with all of theirs */
  revokeCertificates: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      serials?: Array<string> | undefined;
      devices?: Array<string> | undefined;
      /** Fleet query, for example `firmware.version < "2.4.0" and tags.site = "berlin" and online` */
      query?: string | undefined;
      /** CRLReason of RFC 5280; certificateHold can be lifted */
      reason:
        | "unspecified"
        | "keyCompromise"
        | "cACompromise"
        | "affiliationChanged"
        | "superseded"
        | "cessationOfOperation"
        | "certificateHold"
        | "privilegeWithdrawn"
        | "aACompromise";
      comment?: string | undefined;
    };
    answer: RevocationOutcome;
  };
  /** Lifts holds; what is revoked for another reason stays revoked */
  unholdCertificates: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      serials?: Array<string> | undefined;
      devices?: Array<string> | undefined;
      /** Fleet query, for example `firmware.version < "2.4.0" and tags.site = "berlin" and online` */
      query?: string | undefined;
      comment?: string | undefined;
    };
    answer: RevocationOutcome;
  };
  /** When and why the device was in quarantine, newest first */
  listQuarantines: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: undefined;
    answer: QuarantineList;
  };
  /** From now on only renewal and updates */
  quarantineDevice: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: {
      reason: string;
    };
    answer: undefined;
  };
  /** Lifts the quarantine */
  releaseDevice: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: {
      reason: string;
    };
    answer: undefined;
  };
  /** A revoked device may enrol again */
  reinstateDevice: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: {
      reason: string;
    };
    answer: undefined;
  };
  /** When certificates end, with which keys, and whose rotation is in trouble */
  getCertificateRadar: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: CertificateRadar;
  };
  /** Devices whose rotation is in trouble, the latest trouble first */
  listFailingRotations: {
    params: { tenant: string };
    query: { cursor?: string | undefined; limit?: number | undefined; step?: string | undefined };
    body: undefined;
    answer: TroubledRotationPage;
  };
  /** How far the device's last rotation is, and the last failures */
  getDeviceRotation: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: undefined;
    answer: DeviceRotation;
  };
  /** Certificates in the tenant's name that were refused, the latest first */
  listKnocks: {
    params: { tenant: string };
    query: { cursor?: string | undefined; limit?: number | undefined; reason?: string | undefined };
    body: undefined;
    answer: KnockPage;
  };
  /** Refused certificates that name no tenant of this installation */
  listPlatformKnocks: {
    params: Record<never, never>;
    query: { cursor?: string | undefined; limit?: number | undefined; reason?: string | undefined };
    body: undefined;
    answer: KnockPage;
  };
  /** Has devices renew their certificates now, so many at a time */
  createRotationCampaign: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      devices?: Array<string> | undefined;
      /** Fleet query, for example `firmware.version < "2.4.0" and tags.site = "berlin" and online` */
      query?: string | undefined;
      /** Devices at a time; 50 if left out */
      concurrency?: number | undefined;
      /** For each device; 3600 */
      deadlineSeconds?: number | undefined;
      /** Scatters the commands; 10 */
      jitterSeconds?: number | undefined;
    };
    answer: RotationCampaign;
  };
  listRotationCampaigns: {
    params: { tenant: string };
    query: { cursor?: string | undefined; limit?: number | undefined };
    body: undefined;
    answer: RotationCampaignPage;
  };
  getRotationCampaign: {
    params: { tenant: string; campaign: string };
    query: Record<never, never>;
    body: undefined;
    answer: RotationCampaign;
  };
  listRotationCampaignDevices: {
    params: { tenant: string; campaign: string };
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      state?:
        | "waiting"
        | "scheduled"
        | "rotating"
        | "succeeded"
        | "failed"
        | "skipped"
        | "cancelled"
        | undefined;
    };
    body: undefined;
    answer: RotationCampaignDevicePage;
  };
  pauseRotationCampaign: {
    params: { tenant: string; campaign: string };
    query: Record<never, never>;
    body: undefined;
    answer: RotationCampaign;
  };
  resumeRotationCampaign: {
    params: { tenant: string; campaign: string };
    query: Record<never, never>;
    body: undefined;
    answer: RotationCampaign;
  };
  cancelRotationCampaign: {
    params: { tenant: string; campaign: string };
    query: Record<never, never>;
    body: undefined;
    answer: RotationCampaign;
  };
  getSeries: {
    params: { tenant: string; device: string };
    query: {
      metric: string;
      from?: string | undefined;
      to?: string | undefined;
      points?: number | undefined;
    };
    body: undefined;
    answer: TelemetrySeries;
  };
  getLatestMetrics: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: undefined;
    answer: LatestMetrics;
  };
  getFleetSeries: {
    params: { tenant: string };
    query: {
      q?: string | undefined;
      group?: string | undefined;
      devices?: string | undefined;
      metric: string;
      from?: string | undefined;
      to?: string | undefined;
      step?: string | undefined;
      points?: number | undefined;
      aggregate?: string | undefined;
      transform?: "none" | "increase" | "rate" | "delta" | undefined;
      across?: string | undefined;
      groupBy?: string | undefined;
      fill?: "none" | "null" | "previous" | "linear" | undefined;
      top?: number | undefined;
    };
    body: undefined;
    answer: FleetSeries;
  };
  listFleetLatest: {
    params: { tenant: string };
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      q?: string | undefined;
      group?: string | undefined;
      devices?: string | undefined;
      metrics?: string | undefined;
      since?: string | undefined;
      above?: number | undefined;
      below?: number | undefined;
      sort?: string | undefined;
    };
    body: undefined;
    answer: FleetLatestPage;
  };
  listFleetMetrics: {
    params: { tenant: string };
    query: {
      q?: string | undefined;
      group?: string | undefined;
      devices?: string | undefined;
      since?: string | undefined;
    };
    body: undefined;
    answer: FleetMetricList;
  };
  /** Values that are words, the newest first */
  listTelemetryTexts: {
    params: { tenant: string };
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      q?: string | undefined;
      group?: string | undefined;
      devices?: string | undefined;
      metrics?: string | undefined;
      from?: string | undefined;
      to?: string | undefined;
      latest?: boolean | undefined;
    };
    body: undefined;
    answer: TelemetryTextPage;
  };
  /** Points by device, metric and time; the header vautn-points says how many */
  exportTelemetry: {
    params: { tenant: string };
    query: {
      q?: string | undefined;
      group?: string | undefined;
      devices?: string | undefined;
      format?: "csv" | "parquet" | undefined;
      values?: "numbers" | "texts" | undefined;
      metrics?: string | undefined;
      from?: string | undefined;
      to?: string | undefined;
    };
    body: undefined;
    answer: string;
  };
  /** Server-sent events named `points`: first the latest values, then what comes in */
  watchTelemetry: {
    params: { tenant: string };
    query: {
      q?: string | undefined;
      group?: string | undefined;
      devices?: string | undefined;
      metrics: string;
    };
    body: undefined;
    answer: string;
  };
  /** How long points and rollups are kept; `all` is of the tenant's settings */
  getTelemetryRetention: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: TelemetryRetention;
  };
  /** Replaces the rules; the first whose pattern fits a metric counts */
  setTelemetryRetention: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      rules: Array<{
        /** A metric's name, in which * stands for any text */
        pattern: string;
        /** Days */
        points: number;
        minutes: number;
        hours: number;
        days: number;
      }>;
    };
    answer: TelemetryRetention;
  };
  /** What another retention would remove; what is left out stays as it is */
  estimateTelemetryRetention: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      all?:
        | {
            /** Days */
            points: number;
            minutes: number;
            hours: number;
            days: number;
          }
        | undefined;
      rules?:
        | Array<{
            /** A metric's name, in which * stands for any text */
            pattern: string;
            /** Days */
            points: number;
            minutes: number;
            hours: number;
            days: number;
          }>
        | undefined;
    };
    answer: RetentionEstimate;
  };
  /** Bytes of a tenant's telemetry by table, by metric and by point; up to 30 s old */
  getTelemetryUsage: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: TelemetryUsage;
  };
  listDeclaredMetrics: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: DeclaredMetrics;
  };
  getProductMetrics: {
    params: { tenant: string; product: string };
    query: Record<never, never>;
    body: undefined;
    answer: ProductMetrics;
  };
  declareProductMetrics: {
    params: { tenant: string; product: string };
    query: Record<never, never>;
    body: {
      items: Array<{
        name: string;
        type: "number" | "integer" | "boolean" | "string" | "position";
        /** Such as °C or km/h */
        unit?: string | undefined;
        description?: string | undefined;
        /** Smaller values are refused */
        minimum?: number | undefined;
        /** Greater values are refused */
        maximum?: number | undefined;
        /** Digits behind the point: numbers that have no more take a third of the room */
        decimals?: number | undefined;
      }>;
    };
    answer: ProductMetrics;
  };
  patchProductMetrics: {
    params: { tenant: string; product: string };
    query: Record<never, never>;
    body: {
      /** Added, or put in their place */
      items?:
        | Array<{
            name: string;
            type: "number" | "integer" | "boolean" | "string" | "position";
            /** Such as °C or km/h */
            unit?: string | undefined;
            description?: string | undefined;
            /** Smaller values are refused */
            minimum?: number | undefined;
            /** Greater values are refused */
            maximum?: number | undefined;
            /** Digits behind the point: numbers that have no more take a third of the room */
            decimals?: number | undefined;
          }>
        | undefined;
      remove?: Array<string> | undefined;
    };
    answer: ProductMetrics;
  };
  getFleetHealth: {
    params: { tenant: string };
    query: { by: string; q?: string | undefined };
    body: undefined;
    answer: FleetHealth;
  };
  getFleetSummary: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: FleetSummary;
  };
  listGroups: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: GroupList;
  };
  createGroup: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      name: string;
      /** Fleet query, for example `firmware.version < "2.4.0" and tags.site = "berlin" and online` */
      query: string;
    };
    answer: Group;
  };
  deleteGroup: {
    params: { tenant: string; group: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  listAnomalyMetrics: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: MetricRuleList;
  };
  setAnomalyMetric: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      /** A metric's name; * stands for all without a rule of their own */
      metric: string;
      enabled: boolean;
    };
    answer: MetricRuleList;
  };
  giveAlertFeedback: {
    params: { tenant: string; alert: string };
    query: Record<never, never>;
    body: {
      useful: boolean;
    };
    answer: MetricRule;
  };
  getFleetMatrix: {
    params: { tenant: string };
    query: { by: string; across: string; q?: string | undefined };
    body: undefined;
    answer: FleetMatrix;
  };
  getFleetHistory: {
    params: { tenant: string };
    query: { by?: string | undefined; from?: string | undefined; to?: string | undefined };
    body: undefined;
    answer: FleetHistory;
  };
  listCrashGroups: {
    params: { tenant: string };
    query: { q?: string | undefined; from?: string | undefined };
    body: undefined;
    answer: CrashGroupList;
  };
  listRestartGroups: {
    params: { tenant: string };
    query: { q?: string | undefined; from?: string | undefined };
    body: undefined;
    answer: RestartGroupList;
  };
  compareFirmware: {
    params: { tenant: string };
    query: { target?: string | undefined; source?: string | undefined; from?: string | undefined };
    body: undefined;
    answer: ReleaseComparison;
  };
  getDeviceTimeline: {
    params: { tenant: string; device: string };
    query: { cursor?: string | undefined; limit?: number | undefined };
    body: undefined;
    answer: DeviceTimeline;
  };
  listPresenceRules: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: PresenceRuleList;
  };
  setPresenceRule: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      product: string;
      heartbeatIntervalSeconds: number;
      offlineAfterMissed: number;
      /** When its devices sleep every day; no silence counts then */
      sleep?:
        | Array<{
            /** UTC */
            from: string;
            /** UTC */
            to: string;
          }>
        | undefined;
    };
    answer: PresenceRuleList;
  };
  deletePresenceRule: {
    params: { tenant: string; product: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  listCommands: {
    params: { tenant: string };
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      device?: string | undefined;
      status?:
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
        | "cancelled"
        | undefined;
    };
    body: undefined;
    answer: CommandPage;
  };
  sendCommand: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      devices?: Array<string> | undefined;
      /** Fleet query, for example `firmware.version < "2.4.0" and tags.site = "berlin" and online` */
      query?: string | undefined;
      group?: string | undefined;
      name: string;
      args?: unknown | undefined;
      /** 3600 where left out; in a paced batch from the release on */
      ttlSeconds?: number | undefined;
      /** Higher is delivered first */
      priority?: number | undefined;
      /** Replaces the device's undelivered commands of the same key */
      coalesceKey?: string | undefined;
      deadlines?:
        | {
            /** From the queue to the device's acknowledgement */
            deliveredSeconds?: number | undefined;
            /** From there to its first word */
            acceptedSeconds?: number | undefined;
            /** From there to its last */
            runningSeconds?: number | undefined;
          }
        | undefined;
      retry?:
        | {
            /** The first one counts */
            attempts: number;
            delaySeconds?: number | undefined;
            on?: Array<"failed" | "timed-out"> | undefined;
          }
        | undefined;
      pace?:
        | {
            /** Under way at once */
            concurrency?: number | undefined;
            /** Released together */
            batchSize?: number | undefined;
            /** Between two releases */
            intervalSeconds?: number | undefined;
          }
        | undefined;
    };
    answer: SentCommands;
  };
  getCommand: {
    params: { tenant: string; command: string };
    query: Record<never, never>;
    body: undefined;
    answer: Command;
  };
  cancelCommand: {
    params: { tenant: string; command: string };
    query: Record<never, never>;
    body: undefined;
    answer: Command;
  };
  listCommandBatches: {
    params: { tenant: string };
    query: { cursor?: string | undefined; limit?: number | undefined };
    body: undefined;
    answer: CommandBatchPage;
  };
  getCommandBatch: {
    params: { tenant: string; batch: string };
    query: Record<never, never>;
    body: undefined;
    answer: CommandBatch;
  };
  listCommandBatchDevices: {
    params: { tenant: string; batch: string };
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      status?:
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
        | "cancelled"
        | undefined;
    };
    body: undefined;
    answer: CommandPage;
  };
  pauseCommandBatch: {
    params: { tenant: string; batch: string };
    query: Record<never, never>;
    body: undefined;
    answer: CommandBatch;
  };
  resumeCommandBatch: {
    params: { tenant: string; batch: string };
    query: Record<never, never>;
    body: undefined;
    answer: CommandBatch;
  };
  cancelCommandBatch: {
    params: { tenant: string; batch: string };
    query: Record<never, never>;
    body: undefined;
    answer: CommandBatch;
  };
  /** Publishes an image (the body) with its signed manifest */
  publishRelease: {
    params: { tenant: string };
    query: {
      manifest?: string | undefined;
      notes?: string | undefined;
      channel?: "dev" | "beta" | "stable" | undefined;
    };
    body: string;
    answer: Release;
  };
  listReleases: {
    params: { tenant: string };
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      product?: string | undefined;
      channel?: "dev" | "beta" | "stable" | undefined;
      status?: "published" | "yanked" | undefined;
    };
    body: undefined;
    answer: ReleasePage;
  };
  /** Moves a release to the next channel, towards stable */
  promoteRelease: {
    params: { tenant: string; release: string };
    query: Record<never, never>;
    body: {
      channel: "dev" | "beta" | "stable";
    };
    answer: Release;
  };
  /** Publishes the image of a complete upload with its signed manifest */
  publishUploadedRelease: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      upload: string;
      /** Envelope of the manifest */
      manifest: unknown;
      notes?: string | undefined;
      channel?: "dev" | "beta" | "stable" | undefined;
      /** Complete uploads that hold the further files that the manifest names */
      files?: Array<string> | undefined;
    };
    answer: Release;
  };
  getRelease: {
    params: { tenant: string; release: string };
    query: Record<never, never>;
    body: undefined;
    answer: ReleaseDetail;
  };
  /** Withdraws a release: devices refuse it, and rollouts of it are cancelled */
  yankRelease: {
    params: { tenant: string; release: string };
    query: Record<never, never>;
    body: {
      reason: string;
    };
    answer: Release;
  };
  listDeltas: {
    params: { tenant: string; release: string };
    query: Record<never, never>;
    body: undefined;
    answer: DeltaList;
  };
  /** Components of releases by their bills of materials, e.g. openssl < 3.0.15 */
  listComponents: {
    params: { tenant: string };
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      q?: string | undefined;
      release?: string | undefined;
      product?: string | undefined;
      channel?: "dev" | "beta" | "stable" | undefined;
      status?: "published" | "yanked" | undefined;
    };
    body: undefined;
    answer: ReleaseComponentPage;
  };
  /** The bill of materials or the provenance of a release, as it was published */
  getReleaseDocument: {
    params: { tenant: string; release: string; role: "sbom" | "provenance" };
    query: Record<never, never>;
    body: undefined;
    answer: unknown;
  };
  /** What this server speaks of tus */
  describeUploads: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  /** Begins an upload (tus), with its first bytes where there is a body */
  createUpload: {
    params: { tenant: string };
    query: Record<never, never>;
    body: string;
    answer: Upload;
  };
  /** Uploads that have been published are not among them */
  listUploads: {
    params: { tenant: string };
    query: { cursor?: string | undefined; limit?: number | undefined };
    body: undefined;
    answer: UploadPage;
  };
  /** Sends the next bytes of an upload (tus) */
  appendToUpload: {
    params: { tenant: string; upload: string };
    query: Record<never, never>;
    body: string;
    answer: undefined;
  };
  /** Ends an upload and forgets its bytes (tus) */
  terminateUpload: {
    params: { tenant: string; upload: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  getUpload: {
    params: { tenant: string; upload: string };
    query: Record<never, never>;
    body: undefined;
    answer: Upload;
  };
  /** Signs a URL by which whoever holds it fetches this artifact, for a while */
  createArtifactLink: {
    params: { tenant: string; artifact: string };
    query: Record<never, never>;
    body: {
      device?: string | undefined;
      validSeconds?: number | undefined;
    };
    answer: ArtifactLink;
  };
  getTrustRoot: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: RootEnvelope;
  };
  setTrustRoot: {
    params: { tenant: string };
    query: Record<never, never>;
    body: RootEnvelope;
    answer: RootEnvelope;
  };
  /** Whose keys sign the releases of which products */
  getTargets: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: TargetsEnvelope;
  };
  setTargets: {
    params: { tenant: string };
    query: Record<never, never>;
    body: TargetsEnvelope;
    answer: TargetsEnvelope;
  };
  /** The platform's keys that the next trust root has to name */
  getOnlineKeys: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: OnlineKeys;
  };
  /** Makes new online keys; they sign once a trust root names them */
  replaceOnlineKeys: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: OnlineKeys;
  };
  /** The tenant's own authorities, with how many certificates of each are in use */
  listTenantAuthorities: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: TenantAuthorities;
  };
  /** A successor for the tenant's authority; the old one stays trusted until ended */
  rotateTenantAuthority: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      algorithm?: "ecdsa-p256" | "ed25519" | undefined;
    };
    answer: AuthorityRotation;
  };
  /** What a retiring authority issued is accepted no more */
  endTenantAuthority: {
    params: { tenant: string; authority: string };
    query: Record<never, never>;
    body: {
      /** Even though certificates that it issued are in use */
      force?: boolean | undefined;
    };
    answer: EndedAuthority;
  };
  /** Every authority of the installation, and what waits for the offline root */
  getHierarchy: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: Hierarchy;
  };
  /** What the offline root is to sign: for vautn pki sign-bundle */
  getAuthorityRequests: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: AuthorityRequestBundle;
  };
  /** Takes over what the offline root has signed: all of it or nothing */
  importSignedAuthorities: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      format: string;
      rootFingerprint: string;
      certificates: Array<{
        id: string;
        certificatePem: string;
      }>;
      /** The root's revocation list, PEM */
      revocationList?: string | undefined;
    };
    answer: AuthorityList;
  };
  /** A successor for the servers' authority or a tenant's, in a token if named */
  rotateAuthority: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      kind: "tenant" | "server";
      tenant?: string | undefined;
      algorithm?: "ecdsa-p256" | "ed25519" | undefined;
      /** pkcs11:token=...;object=... (RFC 7512) */
      tokenUri?: string | undefined;
    };
    answer: AuthorityRotation;
  };
  /** A successor for the root: made here, in a token, or offline and given as PEM */
  rotateRoot: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      algorithm?: "ecdsa-p256" | "ed25519" | undefined;
      /** pkcs11:token=...;object=... (RFC 7512) */
      tokenUri?: string | undefined;
      certificatePem?: string | undefined;
      crossCertificatePem?: string | undefined;
    };
    answer: Authority;
  };
  /** Ends a retiring root, with what only it signed, or a retiring servers' authority */
  endAuthority: {
    params: { authority: string };
    query: Record<never, never>;
    body: {
      /** Even though certificates that it issued are in use */
      force?: boolean | undefined;
    };
    answer: EndedAuthority;
  };
  listCompromisedKeys: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: CompromisedKeyList;
  };
  /** A key that no certificate is to be issued for any more, in any tenant */
  addCompromisedKey: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: {
      pem: string;
      reason: string;
    };
    answer: CompromisedKey;
  };
  removeCompromisedKey: {
    params: { key: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  /** How the server certificate of the ACME authority stands */
  getAcmeStatus: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: AcmeStatus;
  };
  /** Orders a server certificate within seconds, whatever failed before */
  renewAcmeCertificate: {
    params: Record<never, never>;
    query: Record<never, never>;
    body: undefined;
    answer: AcmeStatus;
  };
  /** Which devices a rollout would take, stage by stage; changes nothing */
  planRollout: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      name?: string | undefined;
      releaseId: string;
      /** Fleet query, for example `firmware.version < "2.4.0" and tags.site = "berlin" and online` */
      query?: string | undefined;
      policy?: RolloutPolicyInput | undefined;
    };
    answer: RolloutPlan;
  };
  /** Every device of a plan: those that take part in their order, or those left out */
  listRolloutPlanDevices: {
    params: { tenant: string };
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      list?: "devices" | "excluded" | "not-compared" | undefined;
    };
    body: {
      name?: string | undefined;
      releaseId: string;
      /** Fleet query, for example `firmware.version < "2.4.0" and tags.site = "berlin" and online` */
      query?: string | undefined;
      policy?: RolloutPolicyInput | undefined;
    };
    answer: RolloutPlanDevicePage;
  };
  createRollout: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      name: string;
      releaseId: string;
      /** Fleet query, for example `firmware.version < "2.4.0" and tags.site = "berlin" and online` */
      query?: string | undefined;
      policy?: RolloutPolicyInput | undefined;
    };
    answer: Rollout;
  };
  listRollouts: {
    params: { tenant: string };
    query: { cursor?: string | undefined; limit?: number | undefined; state?: string | undefined };
    body: undefined;
    answer: RolloutPage;
  };
  getRollout: {
    params: { tenant: string; rollout: string };
    query: Record<never, never>;
    body: undefined;
    answer: Rollout;
  };
  listRolloutDevices: {
    params: { tenant: string; rollout: string };
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      state?: string | undefined;
      stage?: number | undefined;
    };
    body: undefined;
    answer: RolloutDevicePage;
  };
  /** Has the gate judge again on what it saw then */
  replayRolloutVerdict: {
    params: { tenant: string; rollout: string; seq: number };
    query: Record<never, never>;
    body: undefined;
    answer: RolloutReplay;
  };
  listRolloutVerdicts: {
    params: { tenant: string; rollout: string };
    query: { cursor?: string | undefined; limit?: number | undefined };
    body: undefined;
    answer: RolloutVerdictPage;
  };
  pauseRollout: {
    params: { tenant: string; rollout: string };
    query: Record<never, never>;
    body: {
      reason?: string | undefined;
    };
    answer: Rollout;
  };
  resumeRollout: {
    params: { tenant: string; rollout: string };
    query: Record<never, never>;
    body: {
      reason?: string | undefined;
    };
    answer: Rollout;
  };
  approveRollout: {
    params: { tenant: string; rollout: string };
    query: Record<never, never>;
    body: {
      reason?: string | undefined;
    };
    answer: Rollout;
  };
  /** Sends back all devices that have the image, or those from one stage on */
  rollbackRollout: {
    params: { tenant: string; rollout: string };
    query: Record<never, never>;
    body: {
      reason?: string | undefined;
      /** Only this stage and those after it; the rollout then stands before it */
      stage?: number | undefined;
    };
    answer: Rollout;
  };
  cancelRollout: {
    params: { tenant: string; rollout: string };
    query: Record<never, never>;
    body: {
      reason?: string | undefined;
    };
    answer: Rollout;
  };
  /** Whether the tenant's kill switch is on */
  getUpdateStop: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: UpdateStop;
  };
  /** Nobody begins an update from now on; those on their way finish */
  stopUpdates: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      reason?: string | undefined;
    };
    answer: UpdateStop;
  };
  /** Updates begin again */
  allowUpdates: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      reason?: string | undefined;
    };
    answer: UpdateStop;
  };
  /** Devices that rollouts leave out since their updates kept failing */
  listPenaltyBox: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: PenaltyBox;
  };
  /** Lets a device out of the penalty box */
  pardonDevice: {
    params: { tenant: string; device: string };
    query: Record<never, never>;
    body: Record<string, unknown>;
    answer: undefined;
  };
  /** Server-sent events named `rollout`, each with the rollout as GET gives it */
  watchRollout: {
    params: { tenant: string; rollout: string };
    query: Record<never, never>;
    body: undefined;
    answer: string;
  };
  searchLogs: {
    params: { tenant: string };
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      words?: string | undefined;
      q?: string | undefined;
      group?: string | undefined;
      logger?: string | undefined;
      field?: string | undefined;
      level?: "trace" | "debug" | "info" | "warn" | "error" | "fatal" | undefined;
      device?: string | undefined;
      trace?: string | undefined;
      from?: string | undefined;
      to?: string | undefined;
    };
    body: undefined;
    answer: LogPage;
  };
  /** Lines in the order in which they came in: begin with since, go on with position */
  tailLogs: {
    params: { tenant: string };
    query: {
      words?: string | undefined;
      q?: string | undefined;
      group?: string | undefined;
      logger?: string | undefined;
      field?: string | undefined;
      level?: "trace" | "debug" | "info" | "warn" | "error" | "fatal" | undefined;
      device?: string | undefined;
      trace?: string | undefined;
      since?: string | undefined;
      position?: string | undefined;
    };
    body: undefined;
    answer: LogTail;
  };
  getLogContext: {
    params: { tenant: string };
    query: { device?: string | undefined; ts: number; seq: number; lines?: number | undefined };
    body: undefined;
    answer: LogContext;
  };
  exportLogLines: {
    params: { tenant: string };
    query: {
      words?: string | undefined;
      q?: string | undefined;
      group?: string | undefined;
      logger?: string | undefined;
      field?: string | undefined;
      level?: "trace" | "debug" | "info" | "warn" | "error" | "fatal" | undefined;
      device?: string | undefined;
      trace?: string | undefined;
      from?: string | undefined;
      to?: string | undefined;
      format?: "csv" | "jsonl" | undefined;
    };
    body: undefined;
    answer: string;
  };
  /** A trace from the request through the platform to the devices' log lines */
  getTrace: {
    params: { tenant: string; trace: string };
    query: Record<never, never>;
    body: undefined;
    answer: Trace;
  };
  listLogSearches: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: LogSearchList;
  };
  createLogSearch: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      name: string;
      filter: LogSearchFilter;
    };
    answer: LogSearch;
  };
  replaceLogSearch: {
    params: { tenant: string; search: string };
    query: Record<never, never>;
    body: {
      filter: LogSearchFilter;
    };
    answer: LogSearch;
  };
  deleteLogSearch: {
    params: { tenant: string; search: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  sendLogs: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  sendTraces: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  sendMetrics: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  listAlerts: {
    params: { tenant: string };
    query: {
      cursor?: string | undefined;
      limit?: number | undefined;
      state?: "open" | "acknowledged" | "resolved" | "active" | undefined;
      severity?: "info" | "warning" | "critical" | undefined;
      kind?: string | undefined;
      subject?: string | undefined;
      rule?: string | undefined;
    };
    body: undefined;
    answer: AlertPage;
  };
  getAlert: {
    params: { tenant: string; alert: string };
    query: Record<never, never>;
    body: undefined;
    answer: Alert;
  };
  getAlertHistory: {
    params: { tenant: string; alert: string };
    query: Record<never, never>;
    body: undefined;
    answer: AlertHistory;
  };
  acknowledgeAlert: {
    params: { tenant: string; alert: string };
    query: Record<never, never>;
    body: undefined;
    answer: Alert;
  };
  resolveAlert: {
    params: { tenant: string; alert: string };
    query: Record<never, never>;
    body: undefined;
    answer: Alert;
  };
  listAlertSilences: {
    params: { tenant: string };
    query: { expired?: boolean | undefined };
    body: undefined;
    answer: AlertSilenceList;
  };
  createAlertSilence: {
    params: { tenant: string };
    query: Record<never, never>;
    body: NewAlertSilence;
    answer: AlertSilence;
  };
  getAlertSilence: {
    params: { tenant: string; silence: string };
    query: Record<never, never>;
    body: undefined;
    answer: AlertSilence;
  };
  expireAlertSilence: {
    params: { tenant: string; silence: string };
    query: Record<never, never>;
    body: undefined;
    answer: AlertSilence;
  };
  listAlertRules: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: AlertRuleList;
  };
  createAlertRule: {
    params: { tenant: string };
    query: Record<never, never>;
    body: AlertRuleSpec;
    answer: AlertRule;
  };
  getAlertRule: {
    params: { tenant: string; rule: string };
    query: Record<never, never>;
    body: undefined;
    answer: AlertRule;
  };
  replaceAlertRule: {
    params: { tenant: string; rule: string };
    query: Record<never, never>;
    body: AlertRuleSpec;
    answer: AlertRule;
  };
  deleteAlertRule: {
    params: { tenant: string; rule: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  previewAlertRule: {
    params: { tenant: string };
    query: Record<never, never>;
    body: AlertRuleSpec;
    answer: AlertRulePreview;
  };
  getAlertPolicy: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: AlertPolicyView;
  };
  replaceAlertPolicy: {
    params: { tenant: string };
    query: Record<never, never>;
    body: AlertPolicy;
    answer: AlertPolicyView;
  };
  listAlertChannels: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: AlertChannelList;
  };
  createAlertChannel: {
    params: { tenant: string };
    query: Record<never, never>;
    body: NewAlertChannel;
    answer: CreatedAlertChannel;
  };
  getAlertChannel: {
    params: { tenant: string; channel: string };
    query: Record<never, never>;
    body: undefined;
    answer: AlertChannel;
  };
  replaceAlertChannel: {
    params: { tenant: string; channel: string };
    query: Record<never, never>;
    body: AlertChannelUpdate;
    answer: AlertChannel;
  };
  deleteAlertChannel: {
    params: { tenant: string; channel: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
  listAlertDeliveries: {
    params: { tenant: string; channel: string };
    query: Record<never, never>;
    body: undefined;
    answer: AlertNotificationList;
  };
  testAlertChannel: {
    params: { tenant: string; channel: string };
    query: Record<never, never>;
    body: undefined;
    answer: AlertNotification;
  };
  listWebhooks: {
    params: { tenant: string };
    query: Record<never, never>;
    body: undefined;
    answer: WebhookList;
  };
  createWebhook: {
    params: { tenant: string };
    query: Record<never, never>;
    body: {
      url: string;
      eventTypes?: Array<string> | undefined;
    };
    answer: CreatedWebhook;
  };
  deleteWebhook: {
    params: { tenant: string; webhook: string };
    query: Record<never, never>;
    body: undefined;
    answer: undefined;
  };
}

export const ROUTES = {
  getHealth: { method: "GET", path: "/healthz" },
  getReadiness: { method: "GET", path: "/readyz" },
  getMetrics: { method: "GET", path: "/metrics" },
  signIn: { method: "POST", path: "/api/v1/auth/sign-in" },
  signOut: { method: "POST", path: "/api/v1/auth/sign-out" },
  whoami: { method: "GET", path: "/api/v1/auth/whoami" },
  listPersonalKeys: { method: "GET", path: "/api/v1/auth/keys" },
  createPersonalKey: { method: "POST", path: "/api/v1/auth/keys" },
  revokePersonalKey: { method: "DELETE", path: "/api/v1/auth/keys/{key}" },
  listOwnSessions: { method: "GET", path: "/api/v1/auth/sessions" },
  endOwnSession: { method: "DELETE", path: "/api/v1/auth/sessions/{session}" },
  endOtherSessions: { method: "POST", path: "/api/v1/auth/sessions/end-others" },
  listOfferedProviders: { method: "GET", path: "/api/v1/auth/providers" },
  startProviderSignIn: { method: "GET", path: "/api/v1/auth/providers/{provider}/start" },
  finishProviderSignIn: { method: "GET", path: "/api/v1/auth/providers/{provider}/callback" },
  getProviderSignOut: { method: "GET", path: "/api/v1/auth/provider-sign-out" },
  listSignInProviders: { method: "GET", path: "/api/v1/sign-in-providers" },
  createSignInProvider: { method: "POST", path: "/api/v1/sign-in-providers" },
  replaceSignInProvider: { method: "PUT", path: "/api/v1/sign-in-providers/{provider}" },
  deleteSignInProvider: { method: "DELETE", path: "/api/v1/sign-in-providers/{provider}" },
  checkSignInProvider: { method: "POST", path: "/api/v1/sign-in-providers/{provider}/check" },
  listUserIdentities: { method: "GET", path: "/api/v1/users/{user}/identities" },
  setUserIdentity: { method: "PUT", path: "/api/v1/users/{user}/identities/{provider}" },
  removeUserIdentity: { method: "DELETE", path: "/api/v1/users/{user}/identities/{provider}" },
  getOwnFactors: { method: "GET", path: "/api/v1/auth/factors" },
  beginTotp: { method: "POST", path: "/api/v1/auth/totp" },
  confirmTotp: { method: "POST", path: "/api/v1/auth/totp/confirm" },
  removeTotp: { method: "POST", path: "/api/v1/auth/totp/remove" },
  renewRecoveryCodes: { method: "POST", path: "/api/v1/auth/recovery-codes" },
  beginPasskey: { method: "POST", path: "/api/v1/auth/passkeys/challenge" },
  addPasskey: { method: "POST", path: "/api/v1/auth/passkeys" },
  removePasskey: { method: "DELETE", path: "/api/v1/auth/passkeys/{passkey}" },
  beginPasskeySignIn: { method: "POST", path: "/api/v1/auth/passkey-sign-in/challenge" },
  signInWithPasskey: { method: "POST", path: "/api/v1/auth/passkey-sign-in" },
  getSignInPolicy: { method: "GET", path: "/api/v1/sign-in-policy" },
  setSignInPolicy: { method: "PUT", path: "/api/v1/sign-in-policy" },
  requireSecondFactor: { method: "PUT", path: "/api/v1/users/{user}/second-factor" },
  resetUserFactors: { method: "DELETE", path: "/api/v1/users/{user}/factors" },
  listServiceAccounts: { method: "GET", path: "/api/v1/tenants/{tenant}/service-accounts" },
  createServiceAccount: { method: "POST", path: "/api/v1/tenants/{tenant}/service-accounts" },
  deleteServiceAccount: {
    method: "DELETE",
    path: "/api/v1/tenants/{tenant}/service-accounts/{serviceAccount}",
  },
  exchangeToken: { method: "POST", path: "/api/v1/token" },
  listTenants: { method: "GET", path: "/api/v1/tenants" },
  createTenant: { method: "POST", path: "/api/v1/tenants" },
  getTenant: { method: "GET", path: "/api/v1/tenants/{tenant}" },
  updateTenant: { method: "PATCH", path: "/api/v1/tenants/{tenant}" },
  deleteTenant: { method: "DELETE", path: "/api/v1/tenants/{tenant}" },
  getUsage: { method: "GET", path: "/api/v1/tenants/{tenant}/usage" },
  getTenantFigures: { method: "GET", path: "/api/v1/tenants/{tenant}/figures" },
  moveTenantStorage: { method: "PUT", path: "/api/v1/tenants/{tenant}/storage" },
  exportTenant: { method: "GET", path: "/api/v1/tenants/{tenant}/export" },
  restoreTenant: { method: "POST", path: "/api/v1/tenants/{tenant}/restore" },
  getDeletionReceipt: { method: "GET", path: "/api/v1/tenant-deletions/{deletedTenant}" },
  listKeys: { method: "GET", path: "/api/v1/tenants/{tenant}/keys" },
  createKey: { method: "POST", path: "/api/v1/tenants/{tenant}/keys" },
  revokeKey: { method: "DELETE", path: "/api/v1/tenants/{tenant}/keys/{key}" },
  listApplicationCertificates: {
    method: "GET",
    path: "/api/v1/tenants/{tenant}/application-certificates",
  },
  issueApplicationCertificate: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/application-certificates",
  },
  revokeApplicationCertificate: {
    method: "DELETE",
    path: "/api/v1/tenants/{tenant}/application-certificates/{serial}",
  },
  listUsers: { method: "GET", path: "/api/v1/users" },
  createUser: { method: "POST", path: "/api/v1/users" },
  setUserPassword: { method: "PUT", path: "/api/v1/users/{user}/password" },
  disableUser: { method: "POST", path: "/api/v1/users/{user}/disable" },
  listMembers: { method: "GET", path: "/api/v1/tenants/{tenant}/users" },
  setMember: { method: "PUT", path: "/api/v1/tenants/{tenant}/users" },
  removeMember: { method: "DELETE", path: "/api/v1/tenants/{tenant}/users/{user}" },
  listRoles: { method: "GET", path: "/api/v1/tenants/{tenant}/roles" },
  createRole: { method: "POST", path: "/api/v1/tenants/{tenant}/roles" },
  replaceRole: { method: "PUT", path: "/api/v1/tenants/{tenant}/roles/{ownRole}" },
  deleteRole: { method: "DELETE", path: "/api/v1/tenants/{tenant}/roles/{ownRole}" },
  listPlatformAudit: { method: "GET", path: "/api/v1/audit" },
  verifyPlatformAudit: { method: "GET", path: "/api/v1/audit/verify" },
  listAudit: { method: "GET", path: "/api/v1/tenants/{tenant}/audit" },
  verifyAudit: { method: "GET", path: "/api/v1/tenants/{tenant}/audit/verify" },
  listPlatformAuditCheckpoints: { method: "GET", path: "/api/v1/audit/checkpoints" },
  listAuditCheckpoints: { method: "GET", path: "/api/v1/tenants/{tenant}/audit/checkpoints" },
  listAuditStreams: { method: "GET", path: "/api/v1/tenants/{tenant}/audit-streams" },
  createAuditStream: { method: "POST", path: "/api/v1/tenants/{tenant}/audit-streams" },
  deleteAuditStream: {
    method: "DELETE",
    path: "/api/v1/tenants/{tenant}/audit-streams/{auditStream}",
  },
  breakGlass: { method: "POST", path: "/api/v1/tenants/{tenant}/break-glass" },
  endBreakGlass: { method: "DELETE", path: "/api/v1/tenants/{tenant}/break-glass" },
  listBreakGlass: { method: "GET", path: "/api/v1/tenants/{tenant}/break-glass" },
  listDevices: { method: "GET", path: "/api/v1/tenants/{tenant}/devices" },
  enrollDevice: { method: "POST", path: "/api/v1/tenants/{tenant}/devices" },
  getDevice: { method: "GET", path: "/api/v1/tenants/{tenant}/devices/{device}" },
  updateDevice: { method: "PATCH", path: "/api/v1/tenants/{tenant}/devices/{device}" },
  deleteDevice: { method: "DELETE", path: "/api/v1/tenants/{tenant}/devices/{device}" },
  listDeviceUpdates: { method: "GET", path: "/api/v1/tenants/{tenant}/devices/{device}/updates" },
  listDeviceEvents: { method: "GET", path: "/api/v1/tenants/{tenant}/devices/{device}/events" },
  getTwin: { method: "GET", path: "/api/v1/tenants/{tenant}/devices/{device}/twin" },
  patchTwin: { method: "PATCH", path: "/api/v1/tenants/{tenant}/devices/{device}/twin" },
  replaceTwin: { method: "PUT", path: "/api/v1/tenants/{tenant}/devices/{device}/twin" },
  patchTwins: { method: "POST", path: "/api/v1/tenants/{tenant}/twins" },
  enrollDevices: { method: "POST", path: "/api/v1/tenants/{tenant}/device-enrolments" },
  getDeviceConnection: { method: "GET", path: "/api/v1/tenants/{tenant}/device-connection" },
  revokeDevice: { method: "POST", path: "/api/v1/tenants/{tenant}/devices/{device}/revoke" },
  listDeviceCertificates: {
    method: "GET",
    path: "/api/v1/tenants/{tenant}/devices/{device}/certificates",
  },
  listClaimTokens: { method: "GET", path: "/api/v1/tenants/{tenant}/claim-tokens" },
  createClaimToken: { method: "POST", path: "/api/v1/tenants/{tenant}/claim-tokens" },
  revokeClaimToken: {
    method: "DELETE",
    path: "/api/v1/tenants/{tenant}/claim-tokens/{claimToken}",
  },
  createClaimSecret: { method: "POST", path: "/api/v1/tenants/{tenant}/claim-secrets" },
  createClaimCertificate: { method: "POST", path: "/api/v1/tenants/{tenant}/claim-certificates" },
  listPendingEnrolments: { method: "GET", path: "/api/v1/tenants/{tenant}/pending-enrolments" },
  acceptEnrolment: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/pending-enrolments/{enrolment}/accept",
  },
  rejectEnrolment: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/pending-enrolments/{enrolment}/reject",
  },
  listPreauthorisedDevices: {
    method: "GET",
    path: "/api/v1/tenants/{tenant}/preauthorised-devices",
  },
  addPreauthorisedDevices: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/preauthorised-devices",
  },
  removePreauthorisedDevice: {
    method: "DELETE",
    path: "/api/v1/tenants/{tenant}/preauthorised-devices/{device}",
  },
  listRegisteredAuthorities: {
    method: "GET",
    path: "/api/v1/tenants/{tenant}/registered-authorities",
  },
  registerAuthority: { method: "POST", path: "/api/v1/tenants/{tenant}/registered-authorities" },
  proveAuthority: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/registered-authorities/{registeredAuthority}/prove",
  },
  disableAuthority: {
    method: "DELETE",
    path: "/api/v1/tenants/{tenant}/registered-authorities/{registeredAuthority}",
  },
  listCertificates: { method: "GET", path: "/api/v1/tenants/{tenant}/certificates" },
  getCertificate: { method: "GET", path: "/api/v1/tenants/{tenant}/certificates/{serial}" },
  revokeCertificates: { method: "POST", path: "/api/v1/tenants/{tenant}/certificates/revoke" },
  unholdCertificates: { method: "POST", path: "/api/v1/tenants/{tenant}/certificates/unhold" },
  listQuarantines: { method: "GET", path: "/api/v1/tenants/{tenant}/devices/{device}/quarantines" },
  quarantineDevice: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/devices/{device}/quarantine",
  },
  releaseDevice: { method: "POST", path: "/api/v1/tenants/{tenant}/devices/{device}/release" },
  reinstateDevice: { method: "POST", path: "/api/v1/tenants/{tenant}/devices/{device}/reinstate" },
  getCertificateRadar: { method: "GET", path: "/api/v1/tenants/{tenant}/certificate-radar" },
  listFailingRotations: {
    method: "GET",
    path: "/api/v1/tenants/{tenant}/certificate-radar/failing",
  },
  getDeviceRotation: { method: "GET", path: "/api/v1/tenants/{tenant}/devices/{device}/rotation" },
  listKnocks: { method: "GET", path: "/api/v1/tenants/{tenant}/certificate-radar/knocks" },
  listPlatformKnocks: { method: "GET", path: "/api/v1/platform/knocks" },
  createRotationCampaign: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/certificate-rotations",
  },
  listRotationCampaigns: { method: "GET", path: "/api/v1/tenants/{tenant}/certificate-rotations" },
  getRotationCampaign: {
    method: "GET",
    path: "/api/v1/tenants/{tenant}/certificate-rotations/{campaign}",
  },
  listRotationCampaignDevices: {
    method: "GET",
    path: "/api/v1/tenants/{tenant}/certificate-rotations/{campaign}/devices",
  },
  pauseRotationCampaign: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/certificate-rotations/{campaign}/pause",
  },
  resumeRotationCampaign: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/certificate-rotations/{campaign}/resume",
  },
  cancelRotationCampaign: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/certificate-rotations/{campaign}/cancel",
  },
  getSeries: { method: "GET", path: "/api/v1/tenants/{tenant}/devices/{device}/telemetry" },
  getLatestMetrics: { method: "GET", path: "/api/v1/tenants/{tenant}/devices/{device}/metrics" },
  getFleetSeries: { method: "GET", path: "/api/v1/tenants/{tenant}/telemetry/series" },
  listFleetLatest: { method: "GET", path: "/api/v1/tenants/{tenant}/telemetry/latest" },
  listFleetMetrics: { method: "GET", path: "/api/v1/tenants/{tenant}/telemetry/metrics" },
  listTelemetryTexts: { method: "GET", path: "/api/v1/tenants/{tenant}/telemetry/texts" },
  exportTelemetry: { method: "GET", path: "/api/v1/tenants/{tenant}/telemetry/export" },
  watchTelemetry: { method: "GET", path: "/api/v1/tenants/{tenant}/telemetry/live" },
  getTelemetryRetention: { method: "GET", path: "/api/v1/tenants/{tenant}/telemetry/retention" },
  setTelemetryRetention: { method: "PUT", path: "/api/v1/tenants/{tenant}/telemetry/retention" },
  estimateTelemetryRetention: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/telemetry/retention/estimate",
  },
  getTelemetryUsage: { method: "GET", path: "/api/v1/tenants/{tenant}/telemetry/usage" },
  listDeclaredMetrics: { method: "GET", path: "/api/v1/tenants/{tenant}/declared-metrics" },
  getProductMetrics: { method: "GET", path: "/api/v1/tenants/{tenant}/products/{product}/metrics" },
  declareProductMetrics: {
    method: "PUT",
    path: "/api/v1/tenants/{tenant}/products/{product}/metrics",
  },
  patchProductMetrics: {
    method: "PATCH",
    path: "/api/v1/tenants/{tenant}/products/{product}/metrics",
  },
  getFleetHealth: { method: "GET", path: "/api/v1/tenants/{tenant}/fleet/health" },
  getFleetSummary: { method: "GET", path: "/api/v1/tenants/{tenant}/fleet/summary" },
  listGroups: { method: "GET", path: "/api/v1/tenants/{tenant}/groups" },
  createGroup: { method: "POST", path: "/api/v1/tenants/{tenant}/groups" },
  deleteGroup: { method: "DELETE", path: "/api/v1/tenants/{tenant}/groups/{group}" },
  listAnomalyMetrics: { method: "GET", path: "/api/v1/tenants/{tenant}/anomaly-metrics" },
  setAnomalyMetric: { method: "PUT", path: "/api/v1/tenants/{tenant}/anomaly-metrics" },
  giveAlertFeedback: { method: "PUT", path: "/api/v1/tenants/{tenant}/alerts/{alert}/feedback" },
  getFleetMatrix: { method: "GET", path: "/api/v1/tenants/{tenant}/fleet/matrix" },
  getFleetHistory: { method: "GET", path: "/api/v1/tenants/{tenant}/fleet/history" },
  listCrashGroups: { method: "GET", path: "/api/v1/tenants/{tenant}/fleet/crashes" },
  listRestartGroups: { method: "GET", path: "/api/v1/tenants/{tenant}/fleet/restarts" },
  compareFirmware: { method: "GET", path: "/api/v1/tenants/{tenant}/fleet/comparison" },
  getDeviceTimeline: { method: "GET", path: "/api/v1/tenants/{tenant}/devices/{device}/timeline" },
  listPresenceRules: { method: "GET", path: "/api/v1/tenants/{tenant}/presence-rules" },
  setPresenceRule: { method: "PUT", path: "/api/v1/tenants/{tenant}/presence-rules" },
  deletePresenceRule: {
    method: "DELETE",
    path: "/api/v1/tenants/{tenant}/presence-rules/{product}",
  },
  listCommands: { method: "GET", path: "/api/v1/tenants/{tenant}/commands" },
  sendCommand: { method: "POST", path: "/api/v1/tenants/{tenant}/commands" },
  getCommand: { method: "GET", path: "/api/v1/tenants/{tenant}/commands/{command}" },
  cancelCommand: { method: "POST", path: "/api/v1/tenants/{tenant}/commands/{command}/cancel" },
  listCommandBatches: { method: "GET", path: "/api/v1/tenants/{tenant}/command-batches" },
  getCommandBatch: { method: "GET", path: "/api/v1/tenants/{tenant}/command-batches/{batch}" },
  listCommandBatchDevices: {
    method: "GET",
    path: "/api/v1/tenants/{tenant}/command-batches/{batch}/devices",
  },
  pauseCommandBatch: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/command-batches/{batch}/pause",
  },
  resumeCommandBatch: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/command-batches/{batch}/resume",
  },
  cancelCommandBatch: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/command-batches/{batch}/cancel",
  },
  publishRelease: { method: "POST", path: "/api/v1/tenants/{tenant}/releases" },
  listReleases: { method: "GET", path: "/api/v1/tenants/{tenant}/releases" },
  promoteRelease: { method: "POST", path: "/api/v1/tenants/{tenant}/releases/{release}/promote" },
  publishUploadedRelease: { method: "POST", path: "/api/v1/tenants/{tenant}/releases/from-upload" },
  getRelease: { method: "GET", path: "/api/v1/tenants/{tenant}/releases/{release}" },
  yankRelease: { method: "POST", path: "/api/v1/tenants/{tenant}/releases/{release}/yank" },
  listDeltas: { method: "GET", path: "/api/v1/tenants/{tenant}/releases/{release}/deltas" },
  listComponents: { method: "GET", path: "/api/v1/tenants/{tenant}/components" },
  getReleaseDocument: {
    method: "GET",
    path: "/api/v1/tenants/{tenant}/releases/{release}/documents/{role}",
  },
  describeUploads: { method: "OPTIONS", path: "/api/v1/tenants/{tenant}/uploads" },
  createUpload: { method: "POST", path: "/api/v1/tenants/{tenant}/uploads" },
  listUploads: { method: "GET", path: "/api/v1/tenants/{tenant}/uploads" },
  appendToUpload: { method: "PATCH", path: "/api/v1/tenants/{tenant}/uploads/{upload}" },
  terminateUpload: { method: "DELETE", path: "/api/v1/tenants/{tenant}/uploads/{upload}" },
  getUpload: { method: "GET", path: "/api/v1/tenants/{tenant}/uploads/{upload}" },
  createArtifactLink: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/artifacts/{artifact}/links",
  },
  getTrustRoot: { method: "GET", path: "/api/v1/tenants/{tenant}/trust-root" },
  setTrustRoot: { method: "PUT", path: "/api/v1/tenants/{tenant}/trust-root" },
  getTargets: { method: "GET", path: "/api/v1/tenants/{tenant}/trust/targets" },
  setTargets: { method: "PUT", path: "/api/v1/tenants/{tenant}/trust/targets" },
  getOnlineKeys: { method: "GET", path: "/api/v1/tenants/{tenant}/trust/online-keys" },
  replaceOnlineKeys: { method: "POST", path: "/api/v1/tenants/{tenant}/trust/online-keys/replace" },
  listTenantAuthorities: { method: "GET", path: "/api/v1/tenants/{tenant}/authorities" },
  rotateTenantAuthority: { method: "POST", path: "/api/v1/tenants/{tenant}/authorities/rotate" },
  endTenantAuthority: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/authorities/{authority}/end",
  },
  getHierarchy: { method: "GET", path: "/api/v1/pki" },
  getAuthorityRequests: { method: "GET", path: "/api/v1/pki/requests" },
  importSignedAuthorities: { method: "POST", path: "/api/v1/pki/import" },
  rotateAuthority: { method: "POST", path: "/api/v1/pki/rotate" },
  rotateRoot: { method: "POST", path: "/api/v1/pki/rotate-root" },
  endAuthority: { method: "POST", path: "/api/v1/pki/authorities/{authority}/end" },
  listCompromisedKeys: { method: "GET", path: "/api/v1/pki/compromised-keys" },
  addCompromisedKey: { method: "POST", path: "/api/v1/pki/compromised-keys" },
  removeCompromisedKey: { method: "DELETE", path: "/api/v1/pki/compromised-keys/{key}" },
  getAcmeStatus: { method: "GET", path: "/api/v1/pki/acme" },
  renewAcmeCertificate: { method: "POST", path: "/api/v1/pki/acme/renew" },
  planRollout: { method: "POST", path: "/api/v1/tenants/{tenant}/rollouts/plan" },
  listRolloutPlanDevices: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/rollouts/plan/devices",
  },
  createRollout: { method: "POST", path: "/api/v1/tenants/{tenant}/rollouts" },
  listRollouts: { method: "GET", path: "/api/v1/tenants/{tenant}/rollouts" },
  getRollout: { method: "GET", path: "/api/v1/tenants/{tenant}/rollouts/{rollout}" },
  listRolloutDevices: {
    method: "GET",
    path: "/api/v1/tenants/{tenant}/rollouts/{rollout}/devices",
  },
  replayRolloutVerdict: {
    method: "GET",
    path: "/api/v1/tenants/{tenant}/rollouts/{rollout}/verdicts/{seq}/replay",
  },
  listRolloutVerdicts: {
    method: "GET",
    path: "/api/v1/tenants/{tenant}/rollouts/{rollout}/verdicts",
  },
  pauseRollout: { method: "POST", path: "/api/v1/tenants/{tenant}/rollouts/{rollout}/pause" },
  resumeRollout: { method: "POST", path: "/api/v1/tenants/{tenant}/rollouts/{rollout}/resume" },
  approveRollout: { method: "POST", path: "/api/v1/tenants/{tenant}/rollouts/{rollout}/approve" },
  rollbackRollout: { method: "POST", path: "/api/v1/tenants/{tenant}/rollouts/{rollout}/rollback" },
  cancelRollout: { method: "POST", path: "/api/v1/tenants/{tenant}/rollouts/{rollout}/cancel" },
  getUpdateStop: { method: "GET", path: "/api/v1/tenants/{tenant}/updates" },
  stopUpdates: { method: "POST", path: "/api/v1/tenants/{tenant}/updates/stop" },
  allowUpdates: { method: "POST", path: "/api/v1/tenants/{tenant}/updates/allow" },
  listPenaltyBox: { method: "GET", path: "/api/v1/tenants/{tenant}/penalty-box" },
  pardonDevice: { method: "POST", path: "/api/v1/tenants/{tenant}/penalty-box/{device}/pardon" },
  watchRollout: { method: "GET", path: "/api/v1/tenants/{tenant}/rollouts/{rollout}/events" },
  searchLogs: { method: "GET", path: "/api/v1/tenants/{tenant}/logs" },
  tailLogs: { method: "GET", path: "/api/v1/tenants/{tenant}/logs/tail" },
  getLogContext: { method: "GET", path: "/api/v1/tenants/{tenant}/logs/context" },
  exportLogLines: { method: "GET", path: "/api/v1/tenants/{tenant}/logs/export" },
  getTrace: { method: "GET", path: "/api/v1/tenants/{tenant}/traces/{trace}" },
  listLogSearches: { method: "GET", path: "/api/v1/tenants/{tenant}/log-searches" },
  createLogSearch: { method: "POST", path: "/api/v1/tenants/{tenant}/log-searches" },
  replaceLogSearch: { method: "PUT", path: "/api/v1/tenants/{tenant}/log-searches/{search}" },
  deleteLogSearch: { method: "DELETE", path: "/api/v1/tenants/{tenant}/log-searches/{search}" },
  sendLogs: { method: "POST", path: "/api/v1/tenants/{tenant}/otlp/v1/logs" },
  sendTraces: { method: "POST", path: "/api/v1/tenants/{tenant}/otlp/v1/traces" },
  sendMetrics: { method: "POST", path: "/api/v1/tenants/{tenant}/otlp/v1/metrics" },
  listAlerts: { method: "GET", path: "/api/v1/tenants/{tenant}/alerts" },
  getAlert: { method: "GET", path: "/api/v1/tenants/{tenant}/alerts/{alert}" },
  getAlertHistory: { method: "GET", path: "/api/v1/tenants/{tenant}/alerts/{alert}/history" },
  acknowledgeAlert: { method: "POST", path: "/api/v1/tenants/{tenant}/alerts/{alert}/acknowledge" },
  resolveAlert: { method: "POST", path: "/api/v1/tenants/{tenant}/alerts/{alert}/resolve" },
  listAlertSilences: { method: "GET", path: "/api/v1/tenants/{tenant}/alert-silences" },
  createAlertSilence: { method: "POST", path: "/api/v1/tenants/{tenant}/alert-silences" },
  getAlertSilence: { method: "GET", path: "/api/v1/tenants/{tenant}/alert-silences/{silence}" },
  expireAlertSilence: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/alert-silences/{silence}/expire",
  },
  listAlertRules: { method: "GET", path: "/api/v1/tenants/{tenant}/alert-rules" },
  createAlertRule: { method: "POST", path: "/api/v1/tenants/{tenant}/alert-rules" },
  getAlertRule: { method: "GET", path: "/api/v1/tenants/{tenant}/alert-rules/{rule}" },
  replaceAlertRule: { method: "PUT", path: "/api/v1/tenants/{tenant}/alert-rules/{rule}" },
  deleteAlertRule: { method: "DELETE", path: "/api/v1/tenants/{tenant}/alert-rules/{rule}" },
  previewAlertRule: { method: "POST", path: "/api/v1/tenants/{tenant}/alert-rules/preview" },
  getAlertPolicy: { method: "GET", path: "/api/v1/tenants/{tenant}/alert-policy" },
  replaceAlertPolicy: { method: "PUT", path: "/api/v1/tenants/{tenant}/alert-policy" },
  listAlertChannels: { method: "GET", path: "/api/v1/tenants/{tenant}/alert-channels" },
  createAlertChannel: { method: "POST", path: "/api/v1/tenants/{tenant}/alert-channels" },
  getAlertChannel: { method: "GET", path: "/api/v1/tenants/{tenant}/alert-channels/{channel}" },
  replaceAlertChannel: { method: "PUT", path: "/api/v1/tenants/{tenant}/alert-channels/{channel}" },
  deleteAlertChannel: {
    method: "DELETE",
    path: "/api/v1/tenants/{tenant}/alert-channels/{channel}",
  },
  listAlertDeliveries: {
    method: "GET",
    path: "/api/v1/tenants/{tenant}/alert-channels/{channel}/deliveries",
  },
  testAlertChannel: {
    method: "POST",
    path: "/api/v1/tenants/{tenant}/alert-channels/{channel}/test",
  },
  listWebhooks: { method: "GET", path: "/api/v1/tenants/{tenant}/webhooks" },
  createWebhook: { method: "POST", path: "/api/v1/tenants/{tenant}/webhooks" },
  deleteWebhook: { method: "DELETE", path: "/api/v1/tenants/{tenant}/webhooks/{webhook}" },
} as const satisfies Record<keyof Operations, { method: string; path: string }>;
