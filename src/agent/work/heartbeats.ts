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

/** A week, as the message allows. */
const MAX_SLEEP_SECONDS = 604_800;
/** How long the machine has to go down before it counts as awake again. */
const GOING_DOWN_MS = 60_000;

/**
 * Tells at an interval that the device lives and what it runs. A heartbeat that cannot be sent is
 * not kept: the next one says more. The first comes at a random time, so that a fleet spreads.
 */
export class Heartbeats {
  readonly #deps: HeartbeatsDeps;
  #timer: Timer | undefined;
  #dueMs = 0;
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

  /**
   * Tells that the device will not be heard for so long. Resolves when the platform knows: then the
   * machine may be put to sleep. The next heartbeat, at the latest after the reconnect, ends it.
   */
  async announceSleep(seconds: number): Promise<void> {
    if (!Number.isInteger(seconds) || seconds < 1 || seconds > MAX_SLEEP_SECONDS) {
      throw new Error(
        `a device sleeps for a whole number of seconds from 1 to ${MAX_SLEEP_SECONDS}`,
      );
    }
    if (!this.#deps.isConnected()) throw new Error("there is no connection to tell it over");
    const { clock, intervalMs } = this.#deps;
    const dueMs = this.#dueMs;
    this.#timer?.cancel();
    this.#plan(Math.max(intervalMs, GOING_DOWN_MS));
    try {
      await this.#deps.publish(JSON.stringify({ ...this.#deps.compose(), sleepSeconds: seconds }));
    } catch (error) {
      // It stays awake, and is heard when it would have been; the clock may have been set meanwhile.
      this.#timer?.cancel();
      const left = Math.min(intervalMs, Math.max(0, dueMs - clock.now()));
      if (!this.#stopped) this.#plan(left);
      throw error;
    }
  }

  #plan(delayMs: number): void {
    this.#dueMs = this.#deps.clock.now() + delayMs;
    this.#timer = this.#deps.clock.after(delayMs, () => {
      this.send();
      this.#plan(this.#deps.intervalMs);
    });
  }
}
