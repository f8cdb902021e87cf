import type { LogRecord, Span, Trace } from "../../api/index.ts";

export type TraceRow =
  | { kind: "span"; at: number; depth: number; span: Span }
  | { kind: "log"; at: number; depth: number; log: LogRecord };

/** The deepest indentation: a trace of unknown origin may be nested without end. */
const DEEPEST = 12;

/** First and last moment of a trace, in milliseconds. */
export function extentOf({ spans, logs }: Trace): { start: number; end: number } {
  const starts = [...spans.map(({ startMs }) => startMs), ...logs.map(({ ts }) => ts)];
  const ends = [
    ...spans.map(({ startMs, durationMs }) => startMs + durationMs),
    ...logs.map(({ ts }) => ts),
  ];
  const start = starts.reduce((least, time) => Math.min(least, time), Number.POSITIVE_INFINITY);
  const end = ends.reduce((greatest, time) => Math.max(greatest, time), start);
  return { start, end: Math.max(end, start + 1) };
}

/** Spans below their parents in the order of time, with the log lines where they were written. */
export function rowsOf({ spans, logs }: Trace): TraceRow[] {
  const known = new Set(spans.map(({ spanId }) => spanId));
  const children = Map.groupBy(spans, ({ parentSpanId }) =>
    parentSpanId !== null && known.has(parentSpanId) ? parentSpanId : "",
  );
  const rows: TraceRow[] = [];
  const visited = new Set<string>();
  const visit = (parent: string, depth: number) => {
    const below = (children.get(parent) ?? []).toSorted((a, b) => a.startMs - b.startMs);
    for (const span of below) {
      if (visited.has(span.spanId)) continue;
      visited.add(span.spanId);
      rows.push({ kind: "span", at: span.startMs, depth: Math.min(depth, DEEPEST), span });
      visit(span.spanId, depth + 1);
    }
  };
  visit("", 0);
  const lines = logs
    .toSorted((a, b) => a.ts - b.ts)
    .map((log): TraceRow => ({ kind: "log", at: log.ts, depth: 0, log }));
  return [...rows, ...lines];
}
