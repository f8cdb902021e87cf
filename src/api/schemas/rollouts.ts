import { Type } from "typebox";
import { ROLLOUT_STATES, RolloutPolicy } from "../../rollouts/index.ts";
import {
  DeviceId,
  FleetQueryText,
  listOf,
  Name,
  nullable,
  page,
  strict,
  Timestamp,
  Uuid,
  view,
} from "./common.ts";

/** What an operator gives: everything left out takes its default. */
export const RolloutPolicyInput = Type.Partial(
  Type.Object({
    ...RolloutPolicy.properties,
    deadlines: Type.Partial(RolloutPolicy.properties.deadlines),
  }),
  { additionalProperties: false, title: "RolloutPolicyInput" },
);
const RolloutPolicyView = view("RolloutPolicy", RolloutPolicy.properties);

export const RolloutBody = strict({
  name: Name,
  releaseId: Uuid,
  query: Type.Optional(FleetQueryText),
  policy: Type.Optional(RolloutPolicyInput),
});
export const PlanBody = strict({
  name: Type.Optional(Name),
  releaseId: Uuid,
  query: Type.Optional(FleetQueryText),
  policy: Type.Optional(RolloutPolicyInput),
});
export const ReasonBody = strict({
  reason: Type.Optional(Type.String({ maxLength: 1024 })),
});

/** Which devices of a plan: those that take part, those refused, those left out of the comparison. */
export const PLAN_LISTS = ["devices", "excluded", "not-compared"] as const;

export const RollbackBody = strict({
  reason: Type.Optional(Type.String({ maxLength: 1024 })),
  stage: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 100,
      description: "Only this stage and those after it; the rollout then stands before it",
    }),
  ),
});

const DeviceReason = Type.Object({ deviceId: DeviceId, reason: Type.String() });
const Reasons = Type.Array(Type.Object({ reason: Type.String(), devices: Type.Integer() }), {
  description: "How many devices have each reason, the commonest first",
});
const Estimate = view("RolloutEstimate", {
  minimumSeconds: Type.Number({ description: "By the soak times alone" }),
  expectedSeconds: nullable(
    Type.Number({ description: "Until the evidence suffices; null where it never would" }),
  ),
  reach: Type.Object({
    now: Type.Integer(),
    day: Type.Integer(),
    week: Type.Integer(),
    month: Type.Integer(),
    longer: Type.Integer(),
  }),
  reachSeconds: Type.Number({ description: "All but those away for a month were heard within" }),
  crashesPerDeviceHour: Type.Number(),
  stages: Type.Array(
    Type.Object({
      name: Type.String(),
      minimumSeconds: Type.Number(),
      evidenceSeconds: nullable(Type.Number()),
    }),
  ),
});

export const PlanView = view("RolloutPlan", {
  totalDevices: Type.Integer(),
  stages: Type.Array(
    Type.Object({
      index: Type.Integer(),
      name: Type.String(),
      cumulativeDevices: Type.Integer(),
      deviceIds: Type.Array(DeviceId),
    }),
  ),
  excluded: Type.Array(DeviceReason, {
    description: "The first thousand, as in the lists below; the reasons count all",
  }),
  excludedReasons: Reasons,
  notComparedReasons: Reasons,
  withoutWayBackReasons: Reasons,
  withoutWayBack: Type.Array(DeviceReason, {
    description: "Devices that a rollback could not return to what they run now, and why.",
  }),
  notCompared: Type.Array(DeviceReason, {
    description: "In the plan, and left out of the gate's comparison",
  }),
  paths: Type.Array(
    Type.Object({
      from: nullable(Type.String()),
      via: Type.Array(Type.String(), { description: "Stepping stones, in order" }),
      to: Type.String(),
      devices: Type.Integer(),
    }),
  ),
  bytesFull: Type.Integer({ description: "What full images would cost" }),
  bytesExpected: Type.Integer({ description: "What the artifacts that are ready now cost" }),
  estimate: Estimate,
  warnings: Type.Array(Type.String()),
});

const Arm = Type.Object({ events: Type.Number(), deviceHours: Type.Number() });
export const VerdictView = view("RolloutVerdict", {
  seq: Type.Optional(Type.Integer()),
  at: Timestamp,
  stageIndex: Type.Optional(Type.Integer()),
  decision: Type.String(),
  rule: Type.String(),
  sentence: Type.String(),
  numbers: Type.Record(Type.String(), Type.Unknown()),
  decidedBy: Type.Optional(Type.String()),
});
export const VerdictPage = page("RolloutVerdictPage", VerdictView);

export const ReplayView = view("RolloutReplay", {
  verdict: VerdictView,
  replayed: Type.Object({
    decision: Type.String(),
    rule: Type.String(),
    sentence: Type.String(),
    numbers: Type.Record(Type.String(), Type.Unknown()),
  }),
  agrees: Type.Boolean({ description: "Whether the gate says the same again, to the last number" }),
});

export const UpdateStop = view("UpdateStop", {
  stop: nullable(
    Type.Object({ stoppedAt: Timestamp, stoppedBy: Type.String(), reason: Type.String() }),
  ),
});
export const PenaltyBox = view("PenaltyBox", {
  items: Type.Array(
    Type.Object({ deviceId: DeviceId, failures: Type.Integer(), lastFailedAt: Timestamp }),
  ),
});

export const RolloutView = view("Rollout", {
  id: Uuid,
  name: Type.String(),
  kind: Type.Enum(["update", "rollback"] as const),
  state: Type.Enum(ROLLOUT_STATES),
  stateReason: Type.String(),
  releaseId: Uuid,
  release: Type.Object({ version: Type.String(), product: Type.String() }),
  rollsBack: nullable(Uuid),
  rollsBackStage: nullable(
    Type.Integer({ description: "Of a rollback of stages only: from which one on" }),
  ),
  query: Type.String(),
  policy: RolloutPolicyView,
  stageIndex: Type.Integer(),
  stageStartedAt: nullable(Timestamp),
  stages: Type.Array(
    view("RolloutStage", {
      index: Type.Integer(),
      name: Type.String(),
      cumulativeDevices: Type.Integer(),
      startedAt: nullable(Timestamp),
      finishedAt: nullable(Timestamp),
      counts: Type.Record(Type.String(), Type.Integer()),
    }),
  ),
  totals: view("RolloutTotals", {
    devices: Type.Integer(),
    pending: Type.Integer(),
    inProgress: Type.Integer(),
    succeeded: Type.Integer(),
    failed: Type.Integer(),
    excluded: Type.Integer(),
  }),
  evidence: Type.Record(
    Type.String(),
    view("RolloutEvidence", {
      treated: Arm,
      control: Arm,
      eValue: nullable(Type.Number()),
      likelihoodRatio: nullable(Type.Number()),
      pauseAt: nullable(Type.Number({ description: "E-value at which the gate pauses" })),
    }),
  ),
  lastVerdict: nullable(VerdictView),
  nextEvaluationAt: nullable(Timestamp),
  nextLookAt: nullable(
    Type.Unsafe<Date>({ ...Timestamp, description: "When the gate looks next" }),
  ),
  bytesDownloaded: Type.Integer(),
  bytesFull: Type.Integer(),
  bytesBySource: view("RolloutBytesBySource", {
    platform: Type.Integer({ description: "Sent by the platform itself" }),
    store: Type.Integer({ description: "Sent by the store that the platform sends devices to" }),
    cache: Type.Integer({ description: "Sent by download caches of the devices' sites" }),
    unknown: Type.Integer({
      description: "Of devices that do not say where their bytes came from",
    }),
  }),
  createdAt: Timestamp,
  createdBy: Type.String(),
  needsApproval: Type.Boolean({ description: "Whether a second person has yet to agree" }),
  approvedBy: nullable(Type.String()),
  startedAt: nullable(Timestamp),
  pausedAt: nullable(Timestamp),
  finishedAt: nullable(Timestamp),
  revision: Type.Integer(),
});
export const PlanDevicePage = page(
  "RolloutPlanDevicePage",
  view("RolloutPlanDevice", {
    deviceId: DeviceId,
    stageIndex: nullable(Type.Integer({ description: "Null for a device that is left out" })),
    reason: nullable(Type.String({ description: "Why it is left out, or not compared" })),
  }),
);
export const RolloutPage = page("RolloutPage", RolloutView);

export const RolloutDeviceView = view("RolloutDevice", {
  deviceId: DeviceId,
  stageIndex: Type.Integer(),
  state: Type.String(),
  progress: nullable(Type.Number()),
  sourceVersion: nullable(Type.String()),
  excludedReason: nullable(Type.String()),
  format: nullable(Type.String()),
  bytesDownloaded: Type.Integer(),
  bytesFull: Type.Integer(),
  failure: Type.Unknown(),
  offeredAt: nullable(Timestamp),
  updatedAt: nullable(Timestamp),
  finishedAt: nullable(Timestamp),
});
export const RolloutDevicePage = page("RolloutDevicePage", RolloutDeviceView);
export const RolloutDeviceList = listOf("RolloutDeviceList", RolloutDeviceView);
