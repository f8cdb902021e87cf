import { AppError, Batcher, type Clock } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { rowSize } from "../kernel/row-size.ts";
import type { ReadableSpan } from "../kernel/tracing.ts";
import type { DeviceIdentity } from "../protocol/index.ts";
import type { LogRow, SpanRow, Timeseries } from "../timeseries/index.ts";
import { type LogSearch, TRACE_ID } from "./log-conditions.ts";
import {
  countByDevice,
  countErrors,
  devicesWithErrors,
  type ErrorFigures,
  type ErrorQuery,
  errorsByHour,
} from "./log-counts-store.ts";
import { deviceLogRows, platformLogRow, type RejectedLine } from "./log-rows.ts";
import {
  type LogEntry,
  type LogPage,
  linesAround,
  readTraceLogs,
  searchLogs,
  type TailPosition,
  tailLogs,
} from "./log-store.ts";
import { type OtlpSamples, otlpSamples } from "./otlp-metrics.ts";
import { decodeProto, LOGS_REQUEST, TRACES_REQUEST } from "./otlp-proto.ts";
import { otlpLogRows, otlpSpanRows } from "./otlp-rows.ts";
import { Shares } from "./shares.ts";
import { spanRow } from "./span-rows.ts";
import { readPlatformSpans, readTraceSpans, type SpanView } from "./span-store.ts";

/** Lines of devices and of the platform, and the spans of traces. */
export interface Logs {
  /** An array of lines; resolves when the good ones are durable. */
  ingestDeviceLogs(
    peer: DeviceIdentity,
    payload: unknown,
    receivedAt: number,
  ): Promise<{ accepted: number; rejected: RejectedLine[] }>;
  search(
    tenantId: string,
    search: LogSearch & { limit: number; cursor?: string | undefined },
  ): Promise<LogPage>;
  /** What came in since `since`: a time to begin with, then the position of the last answer. */
  tail(
    tenantId: string,
    since: number | TailPosition,
    search?: LogSearch & { limit?: number },
  ): Promise<{ items: LogEntry[]; position: TailPosition }>;
  errorRate(tenantId: string, query: ErrorQuery): Promise<ErrorFigures>;
  /** Error lines of each device that wrote one, by the hour since `from`. */
  errorsByHour(
    tenantId: string,
    query: { deviceIds: readonly string[]; from: number; to: number },
  ): Promise<Map<string, number[]>>;
  /** Devices that wrote an error within the window, each with the time of its latest. */
  devicesWithErrors(
    tenantId: string,
    query: { from: number; to: number; limit: number },
  ): Promise<{ deviceId: string; ts: number }[]>;
  /** A line's neighbours from the same source, at most so many on each side, in the order of time. */
  around(
    tenantId: string,
    place: { deviceId: string; ts: number; seq: number },
    count: number,
  ): Promise<LogEntry[]>;
  /** Lines that match, of each device that wrote one; the most first, the platform's under "". */
  countByDevice(tenantId: string, search: LogSearch, limit: number): Promise<Map<string, number>>;
  /**
   * An OTLP request, from JSON as an object or from protobuf as bytes; resolves when what can be read
   * of it is durable. `rate-limited` where the tenant sends more than its share.
   */
  ingestOtlp(
    tenantId: string,
    signal: "logs" | "traces",
    body: unknown,
  ): Promise<{ accepted: number; rejected: number; reason: string }>;
  /** The same for metrics, of which `keep` is given what can be read, and says what it did not keep. */
  ingestOtlpMetrics(
    tenantId: string,
    body: unknown,
    keep: (devices: OtlpSamples["devices"]) => Promise<Refused>,
  ): Promise<Refused>;
  /** Of a process of ours; the attribute `vautn.tenant` decides whose a span is. */
  recordSpans(spans: ReadableSpan[], service?: string): Promise<void>;
  /** Lines of the platform's own log, as pino writes them. */
  recordPlatformLogs(lines: readonly string[]): Promise<void>;
  /** The whole way of a trace as far as the tenant may see it; `not-found` where it has no part. */
  trace(tenantId: string, traceId: string): Promise<Trace>;
  /** Writes what is queued. */
  close(): Promise<void>;
}

/** Records that were not kept, and why the first of them was not. */
export interface Refused {
  rejected: number;
  reason: string;
}

export interface Trace {
  traceId: string;
  spans: SpanView[];
  logs: LogEntry[];
}

/**
 * An insert costs some 60 ms whatever it holds, so that large ones carry more. Sizes are lines, long
 * ones for several, or a batch of the longest would be more than the store takes at once.
 */
const BATCH = { maxBatchSize: 100_000, maxDelayMs: 50, maxQueuedSize: 400_000 };
const DEFAULT_TAIL_LIMIT = 200;

const lines = counter("vautn_log_lines_total", "Log lines of devices by outcome", ["outcome"]);
const otlp = counter("vautn_otlp_records_total", "Records that came by OTLP", [
  "signal",
  "outcome",
]);
const overflows = counter("vautn_log_overflows_total", "Log messages refused by a full queue");

export interface LogsDeps {
  timeseries: Timeseries;
  clock: Clock;
  /** Records that a tenant may send by OTLP each second, in each process; ten times as many at once. */
  otlpRecordsPerSecond?: number;
}

const OTLP_RECORDS_PER_SECOND = 20_000;

export function createLogs(deps: LogsDeps): Logs {
  const { timeseries, clock } = deps;
  const shares = new Shares(clock, deps.otlpRecordsPerSecond ?? OTLP_RECORDS_PER_SECOND);
  const batcher = new Batcher<LogRow[]>({
    ...BATCH,
    onOverflow: () => overflows.inc(),
    write: (messages) => timeseries.insert("logs", messages.flat()),
  });
  const spanBatcher = new Batcher<SpanRow[]>({
    ...BATCH,
    onOverflow: () => overflows.inc(),
    write: (messages) => timeseries.insert("spans", messages.flat()),
  });

  return {
    async ingestDeviceLogs(peer, payload, receivedAt) {
      const { rows, spans, rejected } = deviceLogRows(peer, payload, receivedAt);
      const written = [batcher.add(rows, sizeOf(rows))];
      if (spans.length > 0) written.push(spanBatcher.add(spans, spans.length));
      await Promise.all(written);
      lines.inc({ outcome: "accepted" }, rows.length);
      lines.inc({ outcome: "rejected" }, rejected.length);
      return { accepted: rows.length, rejected };
    },

    search: (tenantId, search) => searchLogs(timeseries, tenantId, search),

    tail(tenantId, since, search = {}) {
      const position =
        typeof since === "number" ? { receivedAt: since, ts: 0, deviceId: "", seq: 0 } : since;
      const limit = search.limit ?? DEFAULT_TAIL_LIMIT;
      return tailLogs(timeseries, tenantId, position, { ...search, limit });
    },

    errorRate: (tenantId, query) => countErrors(timeseries, tenantId, query),
    errorsByHour: (tenantId, query) => errorsByHour(timeseries, tenantId, query),
    devicesWithErrors: (tenantId, query) => devicesWithErrors(timeseries, tenantId, query),

    around: (tenantId, place, count) => linesAround(timeseries, tenantId, place, count),

    countByDevice: (tenantId, search, limit) => countByDevice(timeseries, tenantId, search, limit),

    async ingestOtlp(tenantId, signal, body) {
      const isProto = Buffer.isBuffer(body);
      if (signal === "logs") {
        const request = isProto ? decodeProto(body, LOGS_REQUEST) : body;
        const { rows, ...rest } = otlpLogRows(tenantId, request, clock.now());
        shares.take(tenantId, rows.length);
        if (rows.length > 0) await batcher.add(rows, sizeOf(rows));
        otlp.inc({ signal, outcome: "accepted" }, rows.length);
        otlp.inc({ signal, outcome: "rejected" }, rest.rejected);
        return { accepted: rows.length, ...rest };
      }
      const request = isProto ? decodeProto(body, TRACES_REQUEST) : body;
      const { rows, ...rest } = otlpSpanRows(tenantId, request);
      shares.take(tenantId, rows.length);
      if (rows.length > 0) await timeseries.insert("spans", rows);
      otlp.inc({ signal, outcome: "accepted" }, rows.length);
      otlp.inc({ signal, outcome: "rejected" }, rest.rejected);
      return { accepted: rows.length, ...rest };
    },

    async ingestOtlpMetrics(tenantId, body, keep) {
      const { devices, read, ...unread } = otlpSamples(body);
      shares.take(tenantId, read);
      const lost = await keep(devices);
      otlp.inc({ signal: "metrics", outcome: "accepted" }, read - lost.rejected);
      const rejected = unread.rejected + lost.rejected;
      otlp.inc({ signal: "metrics", outcome: "rejected" }, rejected);
      return { rejected, reason: unread.reason || lost.reason };
    },

    recordSpans: (spans, service = "vautn") =>
      timeseries.insert(
        "spans",
        spans.map((span) => spanRow(span, service)),
      ),

    recordPlatformLogs: (texts) => {
      const rows = texts.map((text) => platformLogRow(text, clock.now()));
      return timeseries.insert(
        "logs",
        rows.filter((row) => row !== undefined),
      );
    },

    async trace(tenantId, traceId) {
      if (!TRACE_ID.test(traceId)) {
        throw new AppError("invalid-request", "a trace id has 32 hex digits");
      }
      const [own, logs, platform] = await Promise.all([
        readTraceSpans(timeseries, tenantId, traceId),
        readTraceLogs(timeseries, tenantId, traceId),
        readPlatformSpans(timeseries, traceId),
      ]);
      if (own.length === 0 && logs.length === 0) {
        throw new AppError("not-found", "no such trace here", { traceId });
      }
      return { traceId, spans: outerFirst([...own, ...platform]), logs };
    },

    async close() {
      await Promise.all([batcher.flush(), spanBatcher.flush()]);
    },
  };
}

function sizeOf(rows: readonly LogRow[]): number {
  let size = 0;
  for (const { message, attributes } of rows) {
    size += rowSize(message.length + attributes.length);
  }
  return size;
}

const MAX_DEPTH = 100;

/**
 * By their start, and none before one that it is part of: several begin within a microsecond, and
 * clocks of two processes differ by more.
 */
function outerFirst(spans: readonly SpanView[]): SpanView[] {
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  const placed = spans.map((span) => {
    let startMs = span.startMs;
    let depth = 0;
    let outer = byId.get(span.parentSpanId ?? "");
    for (; outer && depth < MAX_DEPTH; depth += 1) {
      startMs = Math.max(startMs, outer.startMs);
      outer = byId.get(outer.parentSpanId ?? "");
    }
    return { span, startMs, depth };
  });
  placed.sort((left, right) => left.startMs - right.startMs || left.depth - right.depth);
  return placed.map(({ span }) => span);
}
