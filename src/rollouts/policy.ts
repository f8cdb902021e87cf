import { type Static, Type } from "typebox";
import { Compile } from "typebox/compile";
import { AppError, LIMITS } from "../kernel/index.ts";
import { assertMetrics, assertThresholds } from "./policy-checks.ts";
import { AGGREGATES, comparisonParts, planningParts } from "./policy-parts.ts";
import { isTimeZone } from "./windows.ts";

const Seconds = Type.Number({ minimum: 0, maximum: 31_536_000 });
const DeadlineMs = Type.Integer({ minimum: 1, maximum: 31_536_000_000 });

/** A step of the widening: how many devices the rollout may have touched when it is full. */
export const StagePolicy = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 64 }),
    devices: Type.Optional(Type.Integer({ minimum: 1 })),
    percent: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 100 })),
    /** Instead of the policy's. */
    minSoakSeconds: Type.Optional(Seconds),
    /** Spreads the stage's first offers evenly over this time; 0 or absent offers all at once. */
    rampSeconds: Type.Optional(Seconds),
  },
  { additionalProperties: false },
);

/** A plain limit on a figure of the updated devices, for those who want one beside the statistics. */
export const ThresholdPolicy = Type.Object(
  {
    /**
     * `crash-rate` in crashes per device-day (one a device), `error-log-rate` in lines per
     * device-hour, `offline-share` from 0 to 1, `telemetry.<metric>` of the updated devices, each
     * of which has one say. One device alone moves none of them far.
     */
    metric: Type.String({
      pattern: "^(crash-rate|error-log-rate|offline-share|telemetry\\.[A-Za-z0-9_.:/-]{1,128})$",
    }),
    /** How the devices' figures of telemetry are taken together; the mean when left out. */
    aggregate: Type.Optional(Type.Enum(AGGREGATES)),
    /** The limit itself; or `growsBy`. */
    above: Type.Optional(Type.Number()),
    /**
     * Share by which a figure of telemetry may lie above that of the devices that still wait, at the
     * same time: 0.2 for a fifth. Never above what the fleet was long ago, for seasons change too.
     */
    growsBy: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1_000 })),
    /** Evidence that must be in before the limit counts. */
    minimumDeviceHours: Type.Optional(Type.Number({ minimum: 0 })),
    minimumDevices: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  { additionalProperties: false },
);

const Deadlines = Type.Object(
  {
    offered: DeadlineMs,
    downloading: DeadlineMs,
    installing: DeadlineMs,
    rebooting: DeadlineMs,
    confirming: DeadlineMs,
  },
  { additionalProperties: false },
);

/** Its fields in the order of the guide, which is that of files as well: `inDocumentedOrder`. */
export const RolloutPolicy = Type.Object(
  {
    stages: Type.Array(StagePolicy, { minItems: 1, maxItems: LIMITS.rolloutStages }),
    minSoakSeconds: Seconds,
    /** A stage of this age is promoted when nothing speaks against it; null asks for evidence. */
    maxSoakSeconds: Type.Union([Seconds, Type.Null()]),
    /** Kept as the control until the end. */
    holdbackPercent: Type.Number({ minimum: 0, maximum: 50 }),
    ...planningParts,
    /** How long each phase may last, in milliseconds. */
    deadlines: Deadlines,
    /** What a pause by the gate does besides: send back everybody, or the present stage alone. */
    onBreach: Type.Union([
      Type.Literal("pause"),
      Type.Literal("rollback"),
      Type.Literal("rollback-stage"),
    ]),
    /** The same wish in another word: either one makes a pause by the gate roll back. */
    rollbackAutomatically: Type.Boolean(),
    /** Only devices that report that they were started with Secure Boot on. */
    requireSecureBoot: Type.Boolean(),
    /** A stage of this age that is neither promoted nor paused asks a person. */
    askAfterSeconds: Seconds,
    evaluateEverySeconds: Type.Number({ minimum: 0.1, maximum: 86_400 }),
    /** Chance of pausing a good rollout, shared out over the metrics. */
    alpha: Type.Number({ exclusiveMinimum: 0, maximum: 0.5 }),
    /** Widen when the likelihood ratio for "`rateRatio` times worse" has fallen to this. */
    promoteLikelihoodRatio: Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1 }),
    rateRatio: Type.Number({ exclusiveMinimum: 1, maximum: 100 }),
    /** Crashes among the canaries that pause at once. */
    canaryCrashLimit: Type.Integer({ minimum: 1 }),
    /** Share of updates that may fail (fell back, silent, refused) in a good rollout. */
    toleratedFailureShare: Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1 }),
    ...comparisonParts,
    thresholds: Type.Array(ThresholdPolicy, { maxItems: 20 }),
  },
  { additionalProperties: false },
);

export type StagePolicy = Static<typeof StagePolicy>;
export type ThresholdPolicy = Static<typeof ThresholdPolicy>;
export type RolloutPolicy = Static<typeof RolloutPolicy>;

const HOUR_SECONDS = 3_600;
const MINUTE_MS = 60_000;

/** What `npm run sim:gate` measures; the soak times are for fleets that report crashes in hours. */
export const DEFAULT_POLICY: RolloutPolicy = {
  stages: [
    { name: "canary", devices: 5 },
    { name: "5 %", percent: 5 },
    { name: "25 %", percent: 25 },
    { name: "50 %", percent: 50 },
    { name: "100 %", percent: 100, minSoakSeconds: 12 * HOUR_SECONDS },
  ],
  minSoakSeconds: 4 * HOUR_SECONDS,
  maxSoakSeconds: null,
  askAfterSeconds: 7 * 24 * HOUR_SECONDS,
  evaluateEverySeconds: 900,
  alpha: 0.02,
  promoteLikelihoodRatio: 0.03,
  rateRatio: 3,
  holdbackPercent: 5,
  canaryCrashLimit: 2,
  toleratedFailureShare: 0.02,
  deadlines: {
    offered: 60 * MINUTE_MS,
    downloading: 120 * MINUTE_MS,
    installing: 30 * MINUTE_MS,
    rebooting: 15 * MINUTE_MS,
    confirming: 15 * MINUTE_MS,
  },
  thresholds: [],
  onBreach: "pause",
  requireSecureBoot: false,
  rollbackAutomatically: false,
};

const validator = Compile(RolloutPolicy);

/** The policy with defaults filled in; `invalid-request` names the field that is wrong. */
export function completePolicy(input: unknown): RolloutPolicy {
  const given = (input ?? {}) as Partial<RolloutPolicy>;
  const policy = {
    ...DEFAULT_POLICY,
    ...given,
    deadlines: { ...DEFAULT_POLICY.deadlines, ...given.deadlines },
  };
  if (!validator.Check(policy)) {
    const [first] = validator.Errors(policy);
    const path = `/policy${first?.instancePath ?? ""}`;
    throw new AppError("invalid-request", `${path} ${first?.message ?? "is wrong"}`, { path });
  }
  policy.stages.forEach((stage, index) => {
    if ((stage.devices === undefined) === (stage.percent === undefined)) {
      const path = `/policy/stages/${index}`;
      throw new AppError("invalid-request", `${path} needs either devices or percent`, { path });
    }
  });
  if (policy.maxSoakSeconds !== null && policy.maxSoakSeconds < policy.minSoakSeconds) {
    const path = "/policy/maxSoakSeconds";
    throw new AppError("invalid-request", `${path} is shorter than minSoakSeconds`, { path });
  }
  if (comparedMetrics(policy).length < (policy.metrics ?? []).length) {
    const path = "/policy/metrics";
    throw new AppError("invalid-request", `${path} names a metric twice`, { path });
  }
  assertMetrics(policy.metrics ?? []);
  assertThresholds(policy.thresholds);
  const zone = policy.window?.timeZone;
  if (zone !== undefined && !isTimeZone(zone)) {
    const path = "/policy/window/timeZone";
    throw new AppError("invalid-request", `${path}: there is no zone "${zone}"`, { path });
  }
  return policy;
}

/** Figures that both arms are compared by. */
export function comparedMetrics(policy: RolloutPolicy): string[] {
  return [...new Set((policy.metrics ?? []).map(({ metric }) => metric))];
}

/** When the rollout begins, in milliseconds; 0 for at once. */
export function startsAt(policy: RolloutPolicy): number {
  return policy.startAt === undefined ? 0 : Date.parse(policy.startAt);
}

/** Whether a pause by the gate also sends the devices back. */
export function rollsBackOnBreach(policy: RolloutPolicy): boolean {
  return policy.onBreach === "rollback" || policy.rollbackAutomatically;
}
