import { type FileHandle, open, readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { type Clock, messageOf, type Timer } from "../../kernel/index.ts";
import type { BootStatus } from "../ports.ts";
import { runProgram } from "../work/run-program.ts";

/** What resets a machine that nobody speaks up for. */
export interface Watchdog {
  /** Longest time between two signs of life that is safe. */
  readonly intervalMs: number;
  alive(): Promise<void>;
  /** Nothing is expected any more: the agent ends in order. */
  disarm(): Promise<void>;
}

/** Linux's /dev/watchdog (Documentation/watchdog/watchdog-api.rst): any write is a sign of life. */
export async function deviceWatchdog(file: string, intervalMs: number): Promise<Watchdog> {
  const device: FileHandle = await open(file, "r+");
  return {
    intervalMs,
    async alive() {
      await device.write("\0");
    },
    async disarm() {
      // "Magic close": without the letter the machine is reset, as it should be after a crash.
      await device.write("V");
      await device.close();
    },
  };
}

const NOTIFY_MS = 10_000;

/** The service manager's watchdog (sd_notify(3)); undefined where it does not ask for one. */
export function systemdWatchdog(env: NodeJS.ProcessEnv): Watchdog | undefined {
  const microseconds = Number(env.WATCHDOG_USEC);
  if (!env.NOTIFY_SOCKET || !(microseconds > 0)) return undefined;
  return {
    intervalMs: microseconds / 1_000 / 3,
    async alive() {
      await runProgram(["systemd-notify", "WATCHDOG=1"], AbortSignal.timeout(NOTIFY_MS));
    },
    disarm: async () => {},
  };
}

/** Tells the service manager that the agent works, where there is one that wants to know. */
export async function notifyReady(env: NodeJS.ProcessEnv): Promise<void> {
  if (!env.NOTIFY_SOCKET) return;
  await runProgram(["systemd-notify", "--ready"], AbortSignal.timeout(NOTIFY_MS)).catch(() => {
    // Not there, e.g. in a container: whoever waits for the word ends us, and that is its to say.
  });
}

/** WDIOF_CARDRESET of linux/watchdog.h: the last reset was the watchdog's. */
const CARD_RESET = 0x20;

/** Why the machine was started, as far as the drivers of its watchdogs tell. */
export async function resetCause(
  directory = "/sys/class/watchdog",
): Promise<BootStatus["resetCause"]> {
  for (const name of await readdir(directory).catch(() => [])) {
    const file = path.join(directory, name, "bootstatus");
    const status = await readFile(file, "utf8").catch(() => "0");
    if ((Number(status) & CARD_RESET) !== 0) return "watchdog";
  }
  return "power-on";
}

export interface WatchdogKeeperDeps {
  watchdog: Watchdog;
  clock: Clock;
  /** Rejects, or does not end, where a part of the agent that everything needs has stopped. */
  works(): Promise<void>;
  onProblem(message: string): void;
}

/**
 * Speaks up for the agent as long as it works: not by a timer alone, but after its disk has answered.
 * An agent that hangs, in a trial boot or later, thus lets the watchdog reset the machine, and the
 * bootloader's counter then leads back.
 */
export class WatchdogKeeper {
  readonly #deps: WatchdogKeeperDeps;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(deps: WatchdogKeeperDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#speakUp();
  }

  /** Falls silent; where the agent ends in order, nothing is expected of it any more. */
  async stop(options: { inOrder: boolean }): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    if (options.inOrder) await this.#deps.watchdog.disarm();
  }

  #speakUp(): void {
    const { watchdog, works, clock, onProblem } = this.#deps;
    works()
      .then(() => (this.#stopped ? undefined : watchdog.alive()))
      .catch((error) => onProblem(`no sign of life was given: ${messageOf(error)}`))
      .finally(() => {
        if (!this.#stopped) {
          this.#timer = clock.after(watchdog.intervalMs, () => this.#speakUp());
        }
      });
  }
}
