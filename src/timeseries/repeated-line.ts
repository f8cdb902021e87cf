import type { Logger } from "../kernel/logger.ts";

const EVERY_MS = 10_000;

/** Lines that would come a hundred times a second: one each ten seconds, and how many it stands for. */
export class RepeatedLine {
  readonly #logger: Logger;
  readonly #said = new Map<string, { at: number; untold: number }>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  error(facts: Record<string, unknown>, line: string): void {
    this.#say("error", facts, line);
  }

  warn(facts: Record<string, unknown>, line: string): void {
    this.#say("warn", facts, line);
  }

  /** Lines are constants of ours, so few of them are remembered. */
  #say(level: "error" | "warn", facts: Record<string, unknown>, line: string): void {
    const now = performance.now();
    const said = this.#said.get(line);
    if (said && now - said.at < EVERY_MS) {
      said.untold += 1;
      return;
    }
    this.#said.set(line, { at: now, untold: 0 });
    const untold = said?.untold ?? 0;
    this.#logger[level]({ ...facts, ...(untold > 0 ? { alsoBefore: untold } : {}) }, line);
  }
}
