import { type Clock, messageOf, type Random, type Timer } from "../../kernel/index.ts";
import type { Heartbeat } from "../../protocol/index.ts";

export interface HeartbeatsDeps {
  clock: Clock;
  random: Random;
  intervalMs: number;
  isConnected(): boolean;
  compose(): Heartbeat;
  publish(payload: string): Promise<void>;
  onProblem(message: string): void;
}

/**
 * Tells at an interval that the device lives and what it runs. A heartbeat that cannot be sent is
 * not kept: the next one says more. The first comes at a random time, so that a fleet spreads.
 */
export class Heartbeats {
  readonly #deps: HeartbeatsDeps;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(deps: HeartbeatsDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#plan(this.#deps.random.next() * this.#deps.intervalMs);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** One at once, e.g. after a connect. */
  send(): void {
    if (this.#stopped || !this.#deps.isConnected()) return;
    this.#deps.publish(JSON.stringify(this.#deps.compose())).catch((error) => {
      if (!this.#stopped) this.#deps.onProblem(`heartbeat: ${messageOf(error)}`);
    });
  }

  #plan(delayMs: number): void {
    this.#timer = this.#deps.clock.after(delayMs, () => {
      this.send();
      this.#plan(this.#deps.intervalMs);
    });
  }
}
