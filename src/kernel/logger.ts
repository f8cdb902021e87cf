import { trace } from "@opentelemetry/api";
import { type DestinationStream, type Logger, pino } from "pino";

export type { Logger } from "pino";

/** Keys whose values never reach a log, at any of the depths that our objects have. */
const SECRET_KEYS = [
  "password",
  "secret",
  "token",
  "apiKey",
  "privateKey",
  "authorization",
  "cookie",
];

/**
 * JSON lines to `destination` (standard error unless said otherwise). Each line carries the trace
 * and span in which it was written, so that a search by trace finds it.
 */
export function createLogger(options: {
  level: string;
  role?: string;
  destination?: DestinationStream;
}): Logger {
  return pino(
    {
      level: options.level,
      base: options.role ? { role: options.role } : {},
      redact: {
        paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]),
        censor: "[secret]",
      },
      mixin() {
        const context = trace.getActiveSpan()?.spanContext();
        return context ? { traceId: context.traceId, spanId: context.spanId } : {};
      },
    },
    options.destination ?? pino.destination({ fd: 2, sync: false }),
  );
}
