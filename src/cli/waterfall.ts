import type { LogLine, Span, Trace } from "../client/index.ts";
import { printable } from "./printable.ts";

const BAR_WIDTH = 24;
const MAX_DEPTH = 20;

/** A trace as a waterfall: spans below their parents, log lines below the span that wrote them. */
export function waterfall(trace: Trace, columns: number): string {
  const { spans, logs } = trace;
  const start = Math.min(...spans.map((span) => span.startMs), ...logs.map((line) => line.ts));
  const end = Math.max(
    ...spans.map((span) => span.startMs + span.durationMs),
    ...logs.map((line) => line.ts),
  );
  const lines: string[] = [`trace ${trace.traceId}, ${duration(end - start)} in all`, ""];
  const known = new Set(spans.map((span) => span.spanId));
  const shown = new Set<LogLine>();
  const emit = (span: Span, depth: number) => {
    const bar = barOf(span, start, end - start);
    const mark = span.status === "error" ? " FAILED" : "";
    const name = `${"  ".repeat(depth)}${span.name}${mark}`;
    lines.push(cut(`${bar} ${duration(span.durationMs).padStart(9)}  ${name}`, columns));
    for (const line of logs.filter((entry) => entry.spanId === span.spanId)) {
      shown.add(line);
      lines.push(logText(line, start, depth + 1, columns));
    }
    if (depth >= MAX_DEPTH) return;
    for (const child of spans.filter((other) => other.parentSpanId === span.spanId)) {
      emit(child, depth + 1);
    }
  };
  // A parent that is not ours to see (the caller's own span) leaves its children at the top.
  for (const span of spans) {
    if (!span.parentSpanId || !known.has(span.parentSpanId)) emit(span, 0);
  }
  const rest = logs.filter((line) => !shown.has(line));
  for (const line of rest.toSorted((left, right) => left.ts - right.ts)) {
    lines.push(logText(line, start, 0, columns));
  }
  return `${lines.join("\n")}\n`;
}

function barOf(span: Span, start: number, total: number): string {
  const at = total > 0 ? Math.floor(((span.startMs - start) / total) * (BAR_WIDTH - 1)) : 0;
  const length = total > 0 ? Math.round((span.durationMs / total) * BAR_WIDTH) : BAR_WIDTH;
  const filled = Math.max(1, Math.min(length, BAR_WIDTH - at));
  return `${" ".repeat(at)}${"█".repeat(filled)}`.padEnd(BAR_WIDTH);
}

function logText(line: LogLine, start: number, depth: number, columns: number): string {
  const at = `+${duration(line.ts - start)}`.padStart(BAR_WIDTH + 10);
  const who = line.deviceId ?? "platform";
  const text = printable(line.message).replaceAll("\n", " ");
  return cut(`${at}  ${"  ".repeat(depth)}${who} ${line.level}: ${text}`, columns);
}

function duration(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1_000) return `${ms.toFixed(1)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(2)} s`;
  return `${(ms / 60_000).toFixed(1)} min`;
}

function cut(text: string, columns: number): string {
  return text.length > columns ? `${text.slice(0, columns - 1)}…` : text;
}
