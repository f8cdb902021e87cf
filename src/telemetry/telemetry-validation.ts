import { AppError, LIMITS } from "../kernel/index.ts";
import { isMetricName } from "../protocol/index.ts";
import type { Declaration, DeclaredMetric } from "./declaration.ts";
import type { KeptPoints } from "./kept-points.ts";
import type { PlainSample } from "./plain-sample.ts";

/** A value that was not stored, and why. */
export interface RejectedValue {
  metric: string;
  /** The device's own time; null where it gave none. */
  ts: number | null;
  reason: RejectionReason;
  /** Of which sample of the message, the first being 0. */
  sample: number;
}

export type RejectionReason =
  | "sample-malformed"
  | "timestamp-invalid"
  | "timestamp-too-old"
  | "beyond-retention"
  | "timestamp-in-future"
  | "sequence-invalid"
  | "metric-name-invalid"
  | "metric-name-reserved"
  | "not-a-value"
  | "not-finite"
  | "nested"
  | "text-too-long"
  | "type-mismatch"
  | "out-of-range"
  | "too-many-metrics"
  | "too-many-points"
  | "backlog-full";

/** Takes what can be stored. */
export interface PointSink {
  number(metric: string, ts: number, seq: number, value: number): void;
  text(metric: string, ts: number, seq: number, text: string): void;
  /** Values follow whose time is `shiftMs` later than the device said. */
  beginSample?(shiftMs: number): void;
}

export interface CheckedTelemetry {
  accepted: number;
  /** The first of them; `rejectedCount` counts all. */
  rejected: RejectedValue[];
  rejectedCount: number;
}

/** How a device's time becomes ours: `ts + offsetMs`; its own is kept beside it where that is not 0. */
export interface CheckOptions {
  declaration?: Declaration | undefined;
  offsetMs?: number;
  /** Likewise, for times that cannot be believed as they are: of a clock that is right by now. */
  rescueMs?: number | undefined;
  /** How old values may be. */
  kept?: KeptPoints | undefined;
}

const MAX_REPORTED_REJECTIONS = 100;
/** What the platform itself measures of a device; nothing a device may say. */
export const PLATFORM_PREFIX = "_platform.";

/**
 * Separates a telemetry message (one sample or an array of them) into what can be stored, which
 * `sink` is given, and what cannot: one bad value does not cost the good ones. Throws
 * `message-invalid`, with all of that as its details, where nothing is left.
 */
export function checkTelemetry(
  payload: unknown,
  now: number,
  sink: PointSink,
  options: CheckOptions = {},
): CheckedTelemetry {
  const result: CheckedTelemetry = { accepted: 0, rejected: [], rejectedCount: 0 };
  if (Array.isArray(payload)) {
    for (let index = 0; index < payload.length; index += 1) {
      checkSample(payload[index], index, now, result, sink, options);
    }
  } else checkSample(payload, 0, now, result, sink, options);
  return usable(result);
}

/** The same for a sample that was read without JSON.parse, whose time, sequence and names are good. */
export function checkPlain(
  { ts, seq, count, names, values }: PlainSample,
  sink: PointSink,
  declaration: Declaration,
): CheckedTelemetry {
  const result: CheckedTelemetry = { accepted: 0, rejected: [], rejectedCount: 0 };
  sink.beginSample?.(0);
  for (let index = 0; index < count; index += 1) {
    const metric = names[index] as string;
    const reason = take(values[index], metric, ts, seq, sink, declaration.get(metric));
    if (reason) reject(result, 0, metric, ts, reason);
    else result.accepted += 1;
  }
  return usable(result);
}

function usable(result: CheckedTelemetry): CheckedTelemetry {
  if (result.accepted > 0) return result;
  const [first] = result.rejected;
  throw new AppError("message-invalid", `no value can be used: ${first?.reason ?? "empty"}`, {
    rejected: result.rejected,
    rejectedCount: result.rejectedCount,
  });
}

function checkSample(
  sample: unknown,
  index: number,
  now: number,
  result: CheckedTelemetry,
  sink: PointSink,
  { declaration, offsetMs = 0, rescueMs, kept }: CheckOptions,
): void {
  if (!isRecord(sample) || !isRecord(sample.values)) {
    reject(result, index, "", null, "sample-malformed");
    return;
  }
  const { seq, values } = sample;
  let ts = typeof sample.ts === "number" ? sample.ts + offsetMs : sample.ts;
  let shift = offsetMs;
  if (rescueMs !== undefined && typeof sample.ts === "number" && timestampFault(ts, now)) {
    shift = rescueMs;
    ts = sample.ts + rescueMs;
  }
  sink.beginSample?.(shift);
  const fault = timestampFault(ts, now) ?? (isSequence(seq) ? undefined : "sequence-invalid");
  const old = kept && !fault && now - (ts as number) > kept.shortestMs ? kept : undefined;
  let metrics = 0;
  for (const metric in values) {
    metrics += 1;
    const reason =
      fault ??
      (old && isTooOld(old, metric, values[metric], now - (ts as number))
        ? "beyond-retention"
        : undefined) ??
      (metrics > LIMITS.telemetryMetricsPerSample ? "too-many-metrics" : undefined) ??
      (result.accepted >= LIMITS.telemetryPointsPerMessage ? "too-many-points" : undefined) ??
      take(values[metric], metric, ts as number, seq as number, sink, declaration?.get(metric));
    if (reason) {
      // As the device gave it: by a time that was put right it would not know its own value.
      reject(result, index, metric, typeof sample.ts === "number" ? sample.ts : null, reason);
    } else result.accepted += 1;
  }
}

/** A position is kept as what its parts are kept as. */
function isTooOld(kept: KeptPoints, metric: string, value: unknown, ageMs: number): boolean {
  return ageMs > kept.of(isRecord(value) ? `${metric}.lat` : metric);
}

/** Gives the sink one value, or says why not. */
function take(
  value: unknown,
  metric: string,
  ts: number,
  seq: number,
  sink: PointSink,
  declared: DeclaredMetric | undefined,
): RejectionReason | undefined {
  if (!declared) {
    const fault = nameFault(metric);
    if (fault) return fault;
  }
  switch (typeof value) {
    case "number":
      if (!Number.isFinite(value)) return "not-finite";
      if (declared) {
        const fault = numberFault(value, declared);
        if (fault) return fault;
      }
      sink.number(metric, ts, seq, value);
      return undefined;
    case "boolean":
      if (declared && declared.type !== "boolean") return "type-mismatch";
      sink.number(metric, ts, seq, value ? 1 : 0);
      return undefined;
    case "string":
      if (declared && declared.type !== "string") return "type-mismatch";
      if (value.length > LIMITS.telemetryTextLength) return "text-too-long";
      sink.text(metric, ts, seq, value);
      return undefined;
    default:
      return takePosition(value, metric, ts, seq, sink, declared);
  }
}

/** `{lat, lon, alt?}` in degrees and metres becomes a metric each. */
function takePosition(
  value: unknown,
  metric: string,
  ts: number,
  seq: number,
  sink: PointSink,
  declared: DeclaredMetric | undefined,
): RejectionReason | undefined {
  if (!isRecord(value)) return Array.isArray(value) ? "nested" : "not-a-value";
  const { lat, lon, alt, ...rest } = value;
  const isPosition =
    typeof lat === "number" &&
    typeof lon === "number" &&
    (alt === undefined || typeof alt === "number") &&
    Object.keys(rest).length === 0;
  if (!isPosition) return "nested";
  if (declared && declared.type !== "position") return "type-mismatch";
  if (!Number.isFinite(lat) || !Number.isFinite(lon) || !Number.isFinite(alt ?? 0)) {
    return "not-finite";
  }
  if (Math.abs(lat) > 90 || Math.abs(lon) > 180) return "out-of-range";
  if (metric.length + ".lat".length > LIMITS.metricNameLength) return "metric-name-invalid";
  sink.number(`${metric}.lat`, ts, seq, lat);
  sink.number(`${metric}.lon`, ts, seq, lon);
  if (alt !== undefined) sink.number(`${metric}.alt`, ts, seq, alt);
  return undefined;
}

function numberFault(value: number, declared: DeclaredMetric): RejectionReason | undefined {
  const { type, minimum, maximum } = declared;
  if (type === "string" || type === "position") return "type-mismatch";
  if (type === "integer" && !Number.isInteger(value)) return "type-mismatch";
  if (type === "boolean" && value !== 0 && value !== 1) return "type-mismatch";
  return value < minimum || value > maximum ? "out-of-range" : undefined;
}

/** Names that were found good: a fleet uses few, again and again. */
const goodNames = new Set<string>();
const MAX_GOOD_NAMES = 10_000;

/** Why no device may report under this name where nothing declares it, or undefined. */
export function nameFault(metric: string): RejectionReason | undefined {
  if (goodNames.has(metric)) return undefined;
  if (!isMetricName(metric)) return "metric-name-invalid";
  if (metric.startsWith(PLATFORM_PREFIX)) return "metric-name-reserved";
  if (goodNames.size < MAX_GOOD_NAMES) goodNames.add(metric);
  return undefined;
}

/** Why a device's timestamp cannot be believed, or undefined. */
export function timestampFault(ts: unknown, now: number): RejectionReason | undefined {
  if (!Number.isSafeInteger(ts)) return "timestamp-invalid";
  if ((ts as number) < LIMITS.oldestTimestampMs) return "timestamp-too-old";
  if ((ts as number) > now + LIMITS.futureToleranceMs) return "timestamp-in-future";
  return undefined;
}

export function isSequence(seq: unknown): boolean {
  return Number.isSafeInteger(seq) && (seq as number) >= 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function reject(
  result: CheckedTelemetry,
  sample: number,
  metric: string,
  ts: number | null,
  reason: RejectionReason,
): void {
  result.rejectedCount += 1;
  if (result.rejected.length >= MAX_REPORTED_REJECTIONS) return;
  result.rejected.push({ metric: metric.slice(0, LIMITS.metricNameLength), ts, reason, sample });
}
