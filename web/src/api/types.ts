/** Shapes of the operators' API as the console reads them. Times are ISO 8601 unless in `...Ms`. */

export interface Page<T> {
  items: T[];
  nextCursor: string | null;
  total?: number;
}

export type TenantRole = "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor";
export const TENANT_ROLES: readonly TenantRole[] = [
  "viewer",
  "operator",
  "fleet-engineer",
  "administrator",
  "auditor",
];

export interface Membership {
  id: string;
  name: string;
  role: TenantRole | null;
}

export interface Session {
  actor: { kind: string; id: string; name: string };
  platformRole: string | null;
  tenants: Membership[];
}

export type Presence = "online" | "late" | "offline" | "never";
export const PRESENCES: readonly Presence[] = ["online", "late", "offline", "never"];

export interface DeviceView {
  id: string;
  product: string;
  hardwareRevision: string;
  region: string;
  tags: Record<string, string>;
  status: string;
  presence: Presence;
  presenceChangedAt: string | null;
  lastSeenAt: string | null;
  connected: boolean;
  firmware: { version: string; sha256: string; slot: string } | null;
  otherSlot: { version: string | null; sha256: string } | null;
  bootId: string | null;
  uptimeSeconds: number | null;
  metrics: Record<string, number>;
  createdAt: string;
}

export interface FleetSummary {
  total: number;
  online: number;
  late: number;
  offline: number;
  never: number;
  openAlerts: number;
  runningRollouts: number;
}

export interface HealthRow {
  key: string;
  total: number;
  online: number;
  late: number;
  offline: number;
  never: number;
  crashes24h: number;
}

export interface SeriesPoint {
  ts: number;
  min: number;
  max: number;
  mean: number;
  count: number;
}

export interface LatestMetric {
  metric: string;
  ts: number;
  value: number;
}

export interface UpdateFailure {
  phase: string;
  element: string;
  message: string;
}

export interface UpdateRecord {
  updateId: string;
  rolloutId: string;
  rolloutName: string;
  state: string;
  sourceVersion: string | null;
  targetVersion: string;
  progress: number | null;
  failure: UpdateFailure | null;
  format: string | null;
  bytesDownloaded: number;
  bytesFull: number;
  offeredAt: string | null;
  finishedAt: string | null;
}

export interface DeviceEventRecord {
  ts: number;
  type: string;
  details: Record<string, unknown>;
}

export interface CertificateView {
  serial: string;
  status: string;
  fingerprint: string;
  issuedVia: string;
  notBefore: string;
  notAfter: string;
  revokedAt: string | null;
  revocationReason: string | null;
}

export interface LogRecord {
  ts: number;
  level: string;
  deviceId: string | null;
  message: string;
  logger: string | null;
  traceId: string | null;
  attributes: Record<string, unknown>;
}

export interface Span {
  spanId: string;
  parentSpanId: string | null;
  name: string;
  service: string;
  startMs: number;
  durationMs: number;
  status: string;
  attributes: Record<string, unknown>;
}

export interface Trace {
  traceId: string;
  spans: Span[];
  logs: LogRecord[];
}

export interface CommandView {
  id: string;
  deviceId: string;
  name: string;
  args: unknown;
  status: string;
  createdAt: string;
  createdBy: string;
  expiresAt: string;
  deliveredAt: string | null;
  finishedAt: string | null;
  output: unknown;
  error: string | null;
  traceparent: string | null;
}

export interface ReleaseView {
  id: string;
  product: string;
  version: string;
  hardwareRevisions: string[];
  minimumSourceVersion: string | null;
  securityCounter: number;
  imageSha256: string;
  imageSizeBytes: number;
  imageName: string;
  status: "published" | "yanked";
  yankReason: string | null;
  notes: string;
  publishedAt: string;
  publishedBy: string;
  /** Ids of the keys that signed it. */
  signers: string[];
}

export interface DeltaView {
  /** Null for the whole image, compressed. */
  sourceSha256: string | null;
  format: string;
  status: "queued" | "building" | "ready" | "failed";
  sizeBytes: number | null;
  targetSizeBytes: number | null;
  ratio: number | null;
  buildMs: number | null;
  error: string | null;
}

export interface AlertView {
  id: string;
  kind: string;
  severity: string;
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
}

export interface AuditEntry {
  seq: number;
  at: string;
  actor: { kind: string; id: string; name: string };
  action: string;
  targetKind: string;
  targetId: string;
  outcome: string;
  address: string | null;
  traceId: string | null;
  details: Record<string, unknown>;
}

export interface AuditProof {
  entries: number;
  intact: boolean;
  firstBroken?: number;
  reason?: string;
}

export interface KeyView {
  id: string;
  name: string;
  role: TenantRole | null;
  createdAt: string;
  expiresAt: string | null;
  lastUsedAt: string | null;
  revokedAt: string | null;
}

export interface ClaimTokenView {
  id: string;
  name: string;
  devicePattern: string;
  product: string;
  hardwareRevision: string;
  region: string;
  maxUses: number;
  usedCount: number;
  expiresAt: string;
  revokedAt: string | null;
  createdAt: string;
}

export interface WebhookView {
  id: string;
  url: string;
  eventTypes: string[];
  enabled: boolean;
  createdAt: string;
  createdBy: string;
}
