import { createHash } from "node:crypto";
import { AppError, LIMITS, randomInteger, systemRandom } from "../kernel/index.ts";
import { storableJson, storablePlainJson, storableText } from "../kernel/storable.ts";
import { parseTraceparent } from "../kernel/tracing.ts";
import {
  checkMessage,
  type DeviceIdentity,
  isTenantId,
  type LogLevel,
  type LogLine,
  LogLine as LogLineSchema,
  spanOf,
} from "../protocol/index.ts";
import { type LogRow, PLATFORM_TENANT, type SpanRow } from "../timeseries/index.ts";

/** A line that was not stored, by its place in the message. */
export interface RejectedLine {
  index: number;
  reason: string;
}

/** Severity numbers of OpenTelemetry's log data model. */
export const SEVERITIES: Record<LogLevel, number> = {
  trace: 1,
  debug: 5,
  info: 9,
  warn: 13,
  error: 17,
  fatal: 21,
};

const SPAN_ID_LENGTH = 16;
/** What the spans of devices have as their service. */
const DEVICE_SERVICE = "device";
const MAX_REPORTED_REJECTIONS = 100;
const MAX_ATTRIBUTES_LENGTH = 16_384;

/** The level of the nearest severity number at or below. */
export function levelOf(severity: number): LogLevel {
  const levels = Object.entries(SEVERITIES) as [LogLevel, number][];
  return levels.findLast(([, number]) => number <= severity)?.[0] ?? "trace";
}

/**
 * The lines of a device's message that can be stored, the spans that they close, and the other lines
 * with their reasons.
 */
export function deviceLogRows(
  { tenantId, deviceId }: DeviceIdentity,
  payload: unknown,
  receivedAt: number,
): { rows: LogRow[]; spans: SpanRow[]; rejected: RejectedLine[] } {
  const lines: unknown[] = Array.isArray(payload) ? payload : [payload];
  if (lines.length > LIMITS.logLinesPerMessage) {
    throw new AppError("message-invalid", "too many lines in one message", {
      limit: LIMITS.logLinesPerMessage,
    });
  }
  const rows: LogRow[] = [];
  const spans: SpanRow[] = [];
  const rejected: RejectedLine[] = [];
  lines.forEach((line, index) => {
    try {
      checkMessage(LogLineSchema, line);
      const row = { tenantId, deviceId, ...fieldsOf(line as LogLine, receivedAt) };
      rows.push(row);
      const span = spanRow(row, line as LogLine);
      if (span) spans.push(span);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      if (rejected.length < MAX_REPORTED_REJECTIONS) {
        rejected.push({ index, reason: error.message });
      }
    }
  });
  if (rows.length === 0) {
    throw new AppError("message-invalid", "no line can be used", { rejected });
  }
  return { rows, spans, rejected };
}

/** The same line brought twice gives the same span, which stands once. */
function spanRow(row: LogRow, line: LogLine): SpanRow | undefined {
  const span = spanOf(line);
  if (!span || !row.traceId) return undefined;
  const { tenantId, deviceId, traceId, spanId: parentSpanId } = row;
  const id = createHash("sha256").update(JSON.stringify([deviceId, line.ts, line.seq, span.name]));
  return {
    ...{ tenantId, traceId, parentSpanId, spanId: id.digest("hex").slice(0, SPAN_ID_LENGTH) },
    name: storableText(span.name),
    service: DEVICE_SERVICE,
    startedAt: Math.round((row.ts - span.durationMs) * 1_000),
    durationUs: Math.round(span.durationMs * 1_000),
    status: span.error === undefined ? 1 : 2,
    statusMessage: storableText(span.error ?? ""),
    attributes: JSON.stringify({ "device.id": deviceId }),
  };
}

function fieldsOf(line: LogLine, receivedAt: number): Omit<LogRow, "tenantId" | "deviceId"> {
  // A device without a clock is heard all the same, with the time of the arrival.
  const believable =
    line.ts >= LIMITS.oldestTimestampMs && line.ts <= receivedAt + LIMITS.futureToleranceMs;
  const trace = parseTraceparent(line.traceparent);
  return {
    ts: believable ? line.ts : receivedAt,
    seq: Math.min(line.seq, Number.MAX_SAFE_INTEGER),
    severity: SEVERITIES[line.level],
    logger: line.logger ?? "",
    message: line.message,
    traceId: trace?.traceId ?? "",
    spanId: trace?.spanId ?? "",
    attributes: serializeAttributes(line.attributes ?? {}),
  };
}

/** At most the permitted number of attributes; none where their text is too long. */
export function serializeAttributes(attributes: Record<string, unknown>): string {
  // CBOR brings what JSON has no word for: large integers, bytes.
  return withinLength(storableJson(firstOf(attributes)));
}

/** The same for attributes that hold nothing but what JSON has words for. */
export function serializePlainAttributes(attributes: Record<string, unknown>): string {
  return withinLength(storablePlainJson(firstOf(attributes)));
}

function firstOf(attributes: Record<string, unknown>): Record<string, unknown> {
  const names = Object.keys(attributes);
  if (names.length <= LIMITS.logAttributes) return attributes;
  return Object.fromEntries(Object.entries(attributes).slice(0, LIMITS.logAttributes));
}

function withinLength(text: string): string {
  return text.length <= MAX_ATTRIBUTES_LENGTH ? text : '{"truncated":true}';
}

/** Sequence numbers of our own lines: two processes never share one within a millisecond. */
let nextSequence = randomInteger(systemRandom, 2 ** 31) * 2 ** 20;

/** A line of the platform's own log, as pino writes it; undefined where it is none. */
export function platformLogRow(line: string, now: number): LogRow | undefined {
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line);
  } catch {
    return undefined; // Not one of pino's lines.
  }
  if (typeof entry !== "object" || entry === null) return undefined;
  const { level, time, msg, role, traceId, spanId, "vautn.tenant": tenant, ...attributes } = entry;
  nextSequence += 1;
  return {
    tenantId: isTenantId(tenant) ? tenant : PLATFORM_TENANT,
    ts: Number.isSafeInteger(time) ? (time as number) : now,
    deviceId: "",
    seq: nextSequence,
    severity: severityOfPino(Number(level)),
    logger: typeof role === "string" ? role : "platform",
    message: String(msg ?? "").slice(0, LIMITS.logMessageLength),
    traceId: typeof traceId === "string" ? traceId : "",
    spanId: typeof spanId === "string" ? spanId : "",
    attributes: serializeAttributes(attributes),
  };
}

/** pino counts 10 trace, 20 debug … 60 fatal; OpenTelemetry 1, 5 … 21. */
function severityOfPino(level: number): number {
  const step = Math.min(Math.max(Math.floor(level / 10), 1), 6);
  return Number.isFinite(step) ? step * 4 - 3 : SEVERITIES.info;
}
