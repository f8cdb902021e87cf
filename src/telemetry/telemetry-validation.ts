import { AppError, LIMITS } from "../kernel/index.ts";

/** A value that was not stored, and why. */
export interface RejectedValue {
  metric: string;
  ts: number | null;
  reason: RejectionReason;
}

export type RejectionReason =
  | "sample-malformed"
  | "timestamp-invalid"
  | "timestamp-too-old"
  | "timestamp-in-future"
  | "sequence-invalid"
  | "metric-name-invalid"
  | "metric-name-reserved"
  | "not-a-number"
  | "not-finite"
  | "nested"
  | "too-many-metrics"
  | "too-many-points";

/** Takes a value that can be stored. */
export type PointSink = (metric: string, ts: number, seq: number, value: number) => void;

export interface CheckedTelemetry {
  accepted: number;
  /** The first of them; `rejectedCount` counts all. */
  rejected: RejectedValue[];
  rejectedCount: number;
}

const MAX_REPORTED_REJECTIONS = 100;
/** What the platform itself measures of a device; nothing a device may say. */
export const PLATFORM_PREFIX = "_platform.";
const METRIC_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.:/-]*$/;

export function isMetricName(name: string): boolean {
  return name.length <= LIMITS.metricNameLength && METRIC_NAME.test(name);
}

/**
 * Separates a telemetry message (one sample or an array of them) into what can be stored, which
 * `take` is given, and what cannot: one bad value does not cost the good ones. Throws `message-invalid` where nothing is left.
 */
export function checkTelemetry(payload: unknown, now: number, take: PointSink): CheckedTelemetry {
  const result: CheckedTelemetry = { accepted: 0, rejected: [], rejectedCount: 0 };
  for (const sample of Array.isArray(payload) ? payload : [payload]) {
    checkSample(sample, now, result, take);
  }
  if (result.accepted === 0) {
    const [first] = result.rejected;
    throw new AppError("message-invalid", `no value can be used: ${first?.reason ?? "empty"}`, {
      rejected: result.rejected,
    });
  }
  return result;
}

function checkSample(
  sample: unknown,
  now: number,
  result: CheckedTelemetry,
  take: PointSink,
): void {
  if (!isRecord(sample) || !isRecord(sample.values)) {
    reject(result, "", null, "sample-malformed");
    return;
  }
  const { ts, seq, values } = sample;
  const fault = timestampFault(ts, now) ?? (isSequence(seq) ? undefined : "sequence-invalid");
  let metrics = 0;
  for (const metric in values) {
    metrics += 1;
    const reason =
      fault ??
      (metrics > LIMITS.telemetryMetricsPerSample ? "too-many-metrics" : undefined) ??
      (result.accepted >= LIMITS.telemetryPointsPerMessage ? "too-many-points" : undefined) ??
      nameFault(metric) ??
      valueFault(values[metric]);
    if (reason) reject(result, metric, typeof ts === "number" ? ts : null, reason);
    else {
      result.accepted += 1;
      take(metric, ts as number, seq as number, Number(values[metric]));
    }
  }
}

function nameFault(metric: string): RejectionReason | undefined {
  if (!isMetricName(metric)) return "metric-name-invalid";
  return metric.startsWith(PLATFORM_PREFIX) ? "metric-name-reserved" : undefined;
}

/** Why a device's timestamp cannot be believed, or undefined. */
export function timestampFault(ts: unknown, now: number): RejectionReason | undefined {
  if (!Number.isSafeInteger(ts)) return "timestamp-invalid";
  if ((ts as number) < LIMITS.oldestTimestampMs) return "timestamp-too-old";
  if ((ts as number) > now + LIMITS.futureToleranceMs) return "timestamp-in-future";
  return undefined;
}

function isSequence(seq: unknown): boolean {
  return Number.isSafeInteger(seq) && (seq as number) >= 0;
}

/** Numbers count, and booleans as 0 and 1. */
function valueFault(value: unknown): RejectionReason | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? undefined : "not-finite";
  if (typeof value === "boolean") return undefined;
  return typeof value === "object" && value !== null ? "nested" : "not-a-number";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function reject(
  result: CheckedTelemetry,
  metric: string,
  ts: number | null,
  reason: RejectionReason,
): void {
  result.rejectedCount += 1;
  if (result.rejected.length >= MAX_REPORTED_REJECTIONS) return;
  result.rejected.push({ metric: metric.slice(0, LIMITS.metricNameLength), ts, reason });
}
