import { randomBytes } from "node:crypto";
import {
  type Attributes,
  context,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import {
  BatchSpanProcessor,
  NodeTracerProvider,
  type ReadableSpan,
  type SpanExporter,
} from "@opentelemetry/sdk-trace-node";
import { messageOf } from "./errors.ts";

export type { ReadableSpan } from "@opentelemetry/sdk-trace-node";

/** Receives finished spans in batches; must not throw synchronously. */
export type SpanSink = (spans: ReadableSpan[]) => Promise<void>;

/** Starts recording spans into `sink`; the returned function flushes and stops. */
export function startTracing(sink: SpanSink): () => Promise<void> {
  const exporter: SpanExporter = {
    export(spans, done) {
      sink(spans).then(
        () => done({ code: 0 }),
        (error) =>
          done({ code: 1, error: error instanceof Error ? error : new Error(messageOf(error)) }),
      );
    },
    async shutdown() {},
  };
  const provider = new NodeTracerProvider({
    spanProcessors: [
      new BatchSpanProcessor(exporter, { maxQueueSize: 8192, scheduledDelayMillis: 500 }),
    ],
  });
  provider.register();
  return () => provider.shutdown();
}

/**
 * Runs `work` inside a span; an error marks the span and passes on. `parent` is a W3C `traceparent`
 * that came from elsewhere (a queue, a device); without one the active span is the parent.
 */
export async function withSpan<T>(
  name: string,
  attributes: Attributes,
  work: (span: Span) => Promise<T>,
  options: { parent?: string | null | undefined; kind?: SpanKind } = {},
): Promise<T> {
  const parentContext = options.parent ? contextOf(options.parent) : context.active();
  const tracer = trace.getTracer("vautn");
  const spanOptions = { attributes, kind: options.kind ?? SpanKind.INTERNAL };
  return tracer.startActiveSpan(name, spanOptions, parentContext, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** `traceparent` of the active span, or of a new trace where none is active. */
export function currentTraceparent(): string {
  const active = trace.getActiveSpan()?.spanContext();
  return active && active.traceId !== "0".repeat(32)
    ? formatTraceparent(active.traceId, active.spanId)
    : formatTraceparent(randomBytes(16).toString("hex"), randomBytes(8).toString("hex"));
}

export function formatTraceparent(traceId: string, spanId: string): string {
  return `00-${traceId}-${spanId}-01`;
}

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/;

/** Parts of a W3C Trace Context header (§3.2), or undefined when it is not one. */
export function parseTraceparent(value: unknown): { traceId: string; spanId: string } | undefined {
  const match = typeof value === "string" ? TRACEPARENT.exec(value) : null;
  if (!match || /^0+$/.test(match[1] as string) || /^0+$/.test(match[2] as string))
    return undefined;
  return { traceId: match[1] as string, spanId: match[2] as string };
}

function contextOf(traceparent: string) {
  const parsed = parseTraceparent(traceparent);
  if (!parsed) return context.active();
  return trace.setSpanContext(context.active(), {
    ...parsed,
    traceFlags: TraceFlags.SAMPLED,
    isRemote: true,
  });
}
