import type { LogLine } from "./messages.ts";

/** Attributes of a log line that closes a span: what was done, how long it took, and why it failed. */
const NAME = "span.name";
const DURATION = "span.duration_ms";
const ERROR = "span.error";

const MAX_NAME_LENGTH = 128;
const MAX_DURATION_MS = 366 * 86_400_000;
const MAX_ERROR_LENGTH = 1_024;

/** Something that a device did for a trace. It ends with the line that tells of it. */
export interface LogSpan {
  name: string;
  durationMs: number;
  /** Absent where it went well. */
  error?: string | undefined;
}

export function spanAttributes({ name, durationMs, error }: LogSpan): Record<string, unknown> {
  return {
    [NAME]: name.slice(0, MAX_NAME_LENGTH),
    [DURATION]: Math.min(Math.max(0, Math.round(durationMs)), MAX_DURATION_MS),
    ...(error === undefined ? {} : { [ERROR]: error.slice(0, MAX_ERROR_LENGTH) }),
  };
}

/** The span that a line closes; undefined where it closes none, or says so in a way that is none. */
export function spanOf({ traceparent, attributes }: LogLine): LogSpan | undefined {
  if (!traceparent || !attributes) return undefined;
  const { [NAME]: name, [DURATION]: durationMs, [ERROR]: error } = attributes;
  if (typeof name !== "string" || name === "" || name.length > MAX_NAME_LENGTH) return undefined;
  if (typeof durationMs !== "number" || !(durationMs >= 0 && durationMs <= MAX_DURATION_MS)) {
    return undefined;
  }
  const failed = typeof error === "string" ? { error: error.slice(0, MAX_ERROR_LENGTH) } : {};
  return { name, durationMs, ...failed };
}
