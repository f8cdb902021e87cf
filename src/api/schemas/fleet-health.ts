import { Type } from "typebox";
import { listOf, nullable, Timestamp, view } from "./common.ts";

const counts = {
  total: Type.Integer(),
  online: Type.Integer(),
  healthy: Type.Integer(),
  degraded: Type.Integer(),
  failing: Type.Integer(),
  offline: Type.Integer(),
};

export const FleetMatrix = listOf(
  "FleetMatrix",
  view("MatrixCell", {
    row: Type.String(),
    column: Type.String(),
    ...counts,
    unknown: Type.Integer(),
  }),
);

export const FleetHistory = listOf(
  "FleetHistory",
  view("FleetMoment", { at: Timestamp, key: Type.String(), ...counts }),
);

export const CrashGroupList = listOf(
  "CrashGroupList",
  view("CrashGroup", {
    signature: Type.String({ description: "What the crashes have in common" }),
    kind: Type.String({ description: "crash, fallback, self-test-failed" }),
    count: Type.Integer(),
    devices: Type.Integer(),
    firmware: Type.Array(Type.Object({ version: Type.String(), count: Type.Integer() })),
    firstSeenAt: Timestamp,
    lastSeenAt: Timestamp,
    example: Type.Object({
      deviceId: Type.String(),
      details: Type.Record(Type.String(), Type.Unknown()),
    }),
  }),
);

export const RestartGroupList = listOf(
  "RestartGroupList",
  view("RestartGroup", {
    signature: Type.String({ description: "What the restarts have in common" }),
    reason: Type.String({
      description: "As devices gave it: watchdog, power-on, brown-out, update, command …",
    }),
    isAsked: Type.Boolean({ description: "By an update, a command or a user" }),
    count: Type.Integer(),
    devices: Type.Integer(),
    firmware: Type.Array(Type.Object({ version: Type.String(), count: Type.Integer() })),
    firstSeenAt: Timestamp,
    lastSeenAt: Timestamp,
    exampleDeviceId: Type.String({ description: "The device of the last of them" }),
  }),
);

const RateView = view("Rate", {
  events: Type.Integer({ description: "At most one a device and day" }),
  deviceHours: Type.Number(),
  rate: nullable(Type.Number({ description: "In a thousand device-hours" })),
  low: nullable(Type.Number({ description: "95 %, by Byar's approximation" })),
  high: nullable(Type.Number()),
});

const VersionLifeView = view("VersionLife", {
  version: Type.String(),
  devices: Type.Integer(),
  deviceHours: Type.Number(),
  incidents: Type.Record(Type.String(), Type.Integer()),
  running: Type.Record(Type.String(), Type.Integer(), { description: "Now, by health" }),
});

export const ReleaseComparisonView = view("ReleaseComparison", {
  from: Timestamp,
  to: Timestamp,
  target: nullable(VersionLifeView),
  source: nullable(VersionLifeView),
  kinds: Type.Array(
    view("KindComparison", {
      kind: Type.String(),
      target: RateView,
      source: RateView,
      ratio: nullable(Type.Number({ description: "The target's rate by the source's" })),
      low: Type.Number({
        description: "95 %: Wilson's interval of the target's share of the events",
      }),
      high: nullable(Type.Number()),
      verdict: Type.Enum(["better", "worse", "no-difference-shown", "too-little-to-say"] as const),
    }),
  ),
});
