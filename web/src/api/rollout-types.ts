import type { UpdateFailure } from "./types.ts";

export interface PhaseDeadlines {
  offered: number;
  downloading: number;
  installing: number;
  rebooting: number;
  confirming: number;
}

export interface StagePlan {
  name: string;
  devices?: number;
  percent?: number;
}

export interface Threshold {
  metric: string;
  above: number;
  minimumDeviceHours?: number;
  minimumDevices?: number;
}

export interface RolloutPolicy {
  stages: StagePlan[];
  minSoakSeconds: number;
  maxSoakSeconds: number | null;
  askAfterSeconds: number;
  evaluateEverySeconds: number;
  alpha: number;
  promoteLikelihoodRatio: number;
  rateRatio: number;
  holdbackPercent: number;
  canaryCrashLimit: number;
  toleratedFailureShare: number;
  deadlines: PhaseDeadlines;
  thresholds: Threshold[];
  onBreach: "pause" | "rollback";
  rollbackAutomatically: boolean;
}

export interface Arm {
  events: number;
  deviceHours: number;
}

export interface Evidence {
  treated: Arm;
  control: Arm;
  eValue: number | null;
  likelihoodRatio: number | null;
}

export interface Verdict {
  seq?: number;
  at: string;
  stageIndex?: number;
  decision: string;
  rule: string;
  sentence: string;
  numbers: VerdictNumbers;
  decidedBy?: string;
}

export interface StageView {
  index: number;
  name: string;
  cumulativeDevices: number;
  startedAt: string | null;
  finishedAt: string | null;
  counts: Record<string, number>;
}

export interface RolloutView {
  id: string;
  name: string;
  kind: "update" | "rollback";
  state: string;
  stateReason: string;
  releaseId: string;
  release: { version: string; product: string };
  query: string;
  policy: RolloutPolicy;
  stageIndex: number;
  stageStartedAt: string | null;
  stages: StageView[];
  totals: {
    devices: number;
    pending: number;
    inProgress: number;
    succeeded: number;
    failed: number;
    excluded: number;
  };
  evidence: Record<string, Evidence>;
  lastVerdict: Verdict | null;
  nextEvaluationAt: string | null;
  bytesDownloaded: number;
  bytesFull: number;
  createdAt: string;
  createdBy: string;
  startedAt: string | null;
  pausedAt: string | null;
  finishedAt: string | null;
  revision: number;
}

export interface RolloutDevice {
  deviceId: string;
  stageIndex: number;
  state: string;
  progress: number | null;
  sourceVersion: string | null;
  excludedReason: string | null;
  failure: UpdateFailure | null;
  format: string | null;
  bytesDownloaded: number;
  bytesFull: number;
  offeredAt: string | null;
  updatedAt: string | null;
  finishedAt: string | null;
}

export interface RolloutSpec {
  name: string;
  releaseId: string;
  query: string;
  policy: Partial<RolloutPolicy>;
}

export interface RolloutPlan {
  totalDevices: number;
  stages: { index: number; name: string; cumulativeDevices: number; deviceIds: string[] }[];
  excluded: { deviceId: string; reason: string }[];
  /** In the plan, and left out of the gate's comparison. */
  notCompared: { deviceId: string; reason: string }[];
  /** Devices by the version that they come from. */
  paths: { from: string | null; to: string; devices: number }[];
  bytesFull: number;
  bytesExpected: number;
}

/** What the gate counted, inside a verdict's `numbers`. */
export interface VerdictNumbers {
  metrics?: Record<string, Evidence & { pauseAt?: number }>;
  excluded?: Record<string, number>;
  observations?: { metric: string; value: number; devices: number; deviceHours: number }[];
  stageAgeSeconds?: number;
}
