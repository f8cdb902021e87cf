import { LIMITS } from "../../kernel/index.ts";
import type { LogLevel, LogLine } from "../../protocol/index.ts";

const RANK: Record<LogLevel, number> = { trace: 0, debug: 1, info: 2, warn: 3, error: 4, fatal: 5 };
const RECENT_LINES = 50;

export interface DeviceLogDeps {
  now(): number;
  nextSequence(): number;
  /** Lowest level that leaves the device. */
  level(): LogLevel;
  /** Takes a line on its way to the platform. */
  send(line: LogLine): void;
  /** The machine's own log, e.g. standard error. */
  local?: ((level: LogLevel, message: string) => void) | undefined;
}

/** The device's log: to the platform from a level on, to the machine always, the last lines kept. */
export class DeviceLog {
  readonly #deps: DeviceLogDeps;
  readonly #recent: string[] = [];

  constructor(deps: DeviceLogDeps) {
    this.#deps = deps;
  }

  write(
    level: LogLevel,
    message: string,
    options: {
      logger?: string;
      traceparent?: string | null;
      attributes?: Record<string, unknown> | undefined;
      origin?: "machine-log" | undefined;
    } = {},
  ): void {
    const { now, nextSequence, send, local } = this.#deps;
    const text = message.slice(0, LIMITS.logMessageLength);
    // What came from there would come from there again, and so on for ever.
    if (options.origin !== "machine-log") local?.(level, text);
    this.#recent.push(`${new Date(now()).toISOString()} ${level} ${text.slice(0, 500)}`);
    if (this.#recent.length > RECENT_LINES) this.#recent.shift();
    if (RANK[level] < RANK[this.#deps.level()]) return;
    const { logger = "agent", traceparent, attributes } = options;
    send({
      ts: now(),
      seq: nextSequence(),
      level,
      message: text,
      logger,
      ...(traceparent ? { traceparent } : {}),
      ...(attributes ? { attributes } : {}),
    });
  }

  recent(): readonly string[] {
    return this.#recent;
  }
}
