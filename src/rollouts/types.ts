import type { Bus } from "../bus/index.ts";
import type { Database, Tx } from "../db/index.ts";
import type { UncountedIncident } from "../devices/index.ts";
import type { Clock } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import type {
  ArtifactOffer,
  Assignment,
  BytesBySource,
  Envelope,
  MetadataBundle,
  ReleaseManifest,
} from "../protocol/index.ts";
import type { Actor } from "../tenancy/index.ts";
import type { DurationEstimate } from "./estimate.ts";
import type { MetricNumbers, Verdict } from "./gate/index.ts";
import type { DeviceReason } from "./plan-store.ts";
import type { RolloutPolicy } from "./policy.ts";
import type { AGGREGATES, TRANSFORMS } from "./policy-parts.ts";
import type { DeviceState, Failure } from "./states.ts";

export const ROLLOUT_STATES = [
  "preparing",
  "running",
  "paused",
  "needs-decision",
  "succeeded",
  "rolling-back",
  "rolled-back",
  "cancelled",
  "failed",
] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

export interface Release {
  id: string;
  product: string;
  version: string;
  hardwareRevisions: string[];
  minimumSourceVersion: string | null;
  securityCounter: number;
  imageSha256: string;
  imageSizeBytes: number;
  status: "published" | "yanked";
}

export type SignedRelease = Release & { envelope: Envelope<ReleaseManifest> };

/** What rollouts need of the other modules. */
/** An image that devices come from, how many do, and the formats that some of them apply. */
export interface DeltaDemand {
  sha256: string;
  devices: number;
  formats: readonly string[];
}

export interface RolloutsDeps {
  db: Database;
  clock: Clock;
  bus: Bus;
  logger: Logger;
  /** Absolute URL at which devices fetch an artifact. */
  artifactUrl: (sha256: string) => string;
  tenancy: {
    settings(tenantId: string): Promise<{ rolloutApprovals: number }>;
    audit: {
      record(
        tx: Tx,
        tenantId: string,
        record: {
          actor: Actor;
          action: string;
          targetKind: string;
          targetId: string;
          outcome: "done" | "refused";
          details: Record<string, unknown>;
        },
      ): Promise<void>;
    };
  };
  devices: {
    takeIncidents(tx: Tx, tenantId: string, limit: number): Promise<UncountedIncident[]>;
  };
  firmware: {
    releases: { get(tenantId: string, id: string): Promise<SignedRelease> };
    requestDeltas(
      tenantId: string,
      targetSha256: string,
      sources: readonly DeltaDemand[],
    ): Promise<unknown>;
    deltas(
      tenantId: string,
      targetSha256: string,
    ): Promise<{ sourceSha256: string | null; status: string }[]>;
    offers(
      tenantId: string,
      query: { targetSha256: string; sourceSha256: string | null; formats: readonly string[] },
    ): Promise<Omit<ArtifactOffer, "url">[]>;
    signAssignment(tenantId: string, assignment: Assignment): Promise<Envelope<Assignment>>;
    isAssignmentCurrent(tenantId: string, assignment: Envelope<Assignment>): Promise<boolean>;
    bundleFor(
      tenantId: string,
      product: string,
      assignment: Envelope<Assignment>,
    ): Promise<MetadataBundle>;
  };
  alerts: {
    raise(
      tenantId: string,
      report: {
        key: string;
        kind: string;
        severity: "info" | "warning" | "critical";
        title: string;
        subjectKind: string;
        subjectId: string;
        details: Record<string, unknown>;
      },
      tx?: Tx,
    ): Promise<unknown>;
    resolve(tenantId: string, key: string, tx?: Tx): Promise<unknown>;
    emit(
      tenantId: string,
      event: { type: RolloutEvent; subject: string; data: Record<string, unknown> },
      tx?: Tx,
    ): Promise<void>;
  };
  telemetry: {
    metricByArm(
      tenantId: string,
      query: { metric: string; deviceIds: readonly string[]; from: number; to: number },
    ): Promise<{ devices: number; mean: number | null }>;
    figuresByDevice(
      tenantId: string,
      query: {
        metric: string;
        deviceIds: readonly string[];
        from: number;
        to: number;
        aggregate: (typeof AGGREGATES)[number];
      },
    ): Promise<Map<string, number>>;
  };
  /** Rollups and queries of telemetry: `TelemetryQueries` of another room. */
  queries: {
    series(
      tenantId: string,
      query: {
        metric: string;
        from: number;
        to: number;
        stepMs: number;
        devices: readonly string[];
        groupBy: "device";
        aggregate: Exclude<(typeof AGGREGATES)[number], "mean"> | "avg";
        transform: (typeof TRANSFORMS)[number] | "none";
        fill: "none";
      },
    ): Promise<{ series: { key: string | null; points: [number, number | null][] }[] }>;
    /** What a query in PromQL says of each device, over these alone. */
    answerByDevice(
      tenantId: string,
      question: { query: string; at: number; deviceIds: readonly string[] },
    ): Promise<Map<string, number>>;
    /** Why a text is no query; undefined where it is one. */
    faultOf(query: string): string | undefined;
  };
  logs: {
    errorRate(
      tenantId: string,
      query: {
        deviceIds: readonly string[];
        from: number;
        to: number;
        fromEach?: readonly number[];
      },
    ): Promise<{ steadyLinesPerDevice: number }>;
    errorsByHour(
      tenantId: string,
      query: { deviceIds: readonly string[]; from: number; to: number },
    ): Promise<Map<string, number[]>>;
    devicesWithErrors(
      tenantId: string,
      query: { from: number; to: number; limit: number },
    ): Promise<{ deviceId: string; ts: number }[]>;
  };
}

export type RolloutEvent = `vautn.rollout.${
  | "started"
  | "promoted"
  | "paused"
  | "needs-decision"
  | "resumed"
  | "rolling-back"
  | "rolled-back"
  | "succeeded"
  | "cancelled"
  | "failed"}`;

/** What a person orders; the policy's gaps are filled with defaults. */
export interface RolloutSpec {
  name: string;
  releaseId: string;
  query: string;
  policy?: unknown;
  /** Groups of whoever is confined to them, which `query` is narrowed to already. */
  confinedTo?: readonly string[];
}

export interface ReasonCount {
  reason: string;
  devices: number;
}

export interface RolloutPlan {
  totalDevices: number;
  /** The first thousand devices of each stage, in their order. */
  stages: { index: number; name: string; cumulativeDevices: number; deviceIds: string[] }[];
  /** The first thousand by id; the reasons count all of them, as with the lists below. */
  excluded: DeviceReason[];
  excludedReasons: ReasonCount[];
  /** In the plan, and left out of the gate's comparison. */
  notCompared: DeviceReason[];
  notComparedReasons: ReasonCount[];
  /** Devices that a rollback could not return to what they run now, and why. */
  withoutWayBack: DeviceReason[];
  withoutWayBackReasons: ReasonCount[];
  /** Devices by the version that they come from, and those between. */
  paths: { from: string | null; via: string[]; to: string; devices: number }[];
  estimate: DurationEstimate;
  /** Limits that would cry wolf, by simulation, and those that too few devices speak of to simulate. */
  warnings: string[];
  /** What full images would cost, and what the artifacts that are ready now do. */
  bytesFull: number;
  bytesExpected: number;
}

export type PlanList = "devices" | "excluded" | "not-compared";

/** A device of a plan, on the page of a list. */
export interface PlanDevice {
  deviceId: string;
  /** Null for one that is left out. */
  stageIndex: number | null;
  reason: string | null;
}

export interface StageView {
  index: number;
  name: string;
  cumulativeDevices: number;
  startedAt: Date | null;
  finishedAt: Date | null;
  counts: Partial<Record<DeviceState, number>>;
}

export interface RolloutView {
  id: string;
  name: string;
  kind: "update" | "rollback";
  state: RolloutState;
  stateReason: string;
  releaseId: string;
  release: { version: string; product: string };
  /** For a rollback: the rollout that it undoes. */
  rollsBack: string | null;
  /** Of which only the stages from this one on; null for all of it. */
  rollsBackStage: number | null;
  query: string;
  policy: RolloutPolicy;
  stageIndex: number;
  stageStartedAt: Date | null;
  stages: StageView[];
  totals: {
    devices: number;
    pending: number;
    inProgress: number;
    succeeded: number;
    failed: number;
    excluded: number;
  };
  evidence: Record<string, Omit<MetricNumbers, "pauseAt"> & { pauseAt: number | null }>;
  lastVerdict: (Omit<Verdict, "at" | "decision"> & { at: Date; decision: string }) | null;
  nextEvaluationAt: Date | null;
  /** When the gate looks next; offers may be due before it. */
  nextLookAt: Date | null;
  bytesDownloaded: number;
  bytesFull: number;
  /** Where the downloaded ones came from, as devices say; `unknown` of those that do not say it. */
  bytesBySource: BytesBySource & { unknown: number };
  createdAt: Date;
  createdBy: string;
  /** Whether a second person has yet to agree. */
  needsApproval: boolean;
  approvedBy: string | null;
  startedAt: Date | null;
  pausedAt: Date | null;
  finishedAt: Date | null;
  revision: number;
}

export interface RolloutDeviceView {
  deviceId: string;
  stageIndex: number;
  state: DeviceState;
  progress: number | null;
  sourceVersion: string | null;
  excludedReason: string | null;
  format: string | null;
  bytesDownloaded: number;
  bytesFull: number;
  failure: Failure | null;
  offeredAt: Date | null;
  updatedAt: Date | null;
  finishedAt: Date | null;
}

/** A verdict judged again from what the gate saw then. */
export interface Replay {
  verdict: VerdictView;
  replayed: { decision: string; rule: string; sentence: string; numbers: Record<string, unknown> };
  agrees: boolean;
}

export interface VerdictView extends Omit<Verdict, "at" | "decision" | "numbers"> {
  /** Its number in the rollout's record. */
  seq: number;
  at: Date;
  stageIndex: number;
  decision: string;
  numbers: Record<string, unknown>;
  decidedBy: string;
}

export interface Page<Item> {
  items: Item[];
  nextCursor: string | null;
}
