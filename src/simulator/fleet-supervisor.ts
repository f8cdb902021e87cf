import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import type { FromFleet, RefusedDevice, ToFleet } from "./fleet-messages.ts";

const ENTRY = path.resolve(import.meta.dirname, "fleet-process.ts");
const MAX_RESTARTS_PER_MINUTE = 5;

export interface FleetProcessOptions {
  /** The fleet's folder. */
  directory: string;
  mqttUrl: string;
  httpsUrl: string;
  /** Ends the fleet, also while it is starting. */
  signal: AbortSignal;
  onEnrolled?: (count: number, total: number) => void;
  /** What a person should know of the process, in a sentence. */
  onNotice?: (message: string) => void;
}

export interface FleetProcess {
  devices: number;
  refused: RefusedDevice[];
  stop(): Promise<void>;
}

/**
 * Runs the fleet of a folder in a process of its own and starts it again when it dies; resolves
 * when its devices are being switched on, rejects when it cannot be started at all.
 */
export async function startFleetProcess(options: FleetProcessOptions): Promise<FleetProcess> {
  const deaths: number[] = [];
  let stopping = false;
  options.signal.throwIfAborted();
  let child = launch();
  options.signal.addEventListener("abort", () => void stop(), { once: true });
  const { devices, refused } = await untilStarted(child, options);
  watch();
  return { devices, refused, stop };

  function launch(): ChildProcess {
    const launched = fork(ENTRY, [], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const { directory, mqttUrl, httpsUrl } = options;
    launched.send({ kind: "start", directory, mqttUrl, httpsUrl } satisfies ToFleet);
    return launched;
  }

  function watch(): void {
    child.once("exit", (status, signal) => {
      if (stopping) return;
      const now = Date.now();
      const recent = deaths.filter((at) => now - at < 60_000);
      deaths.splice(0, deaths.length, ...recent, now);
      const how = `the simulated fleet ended (${signal ?? status})`;
      if (recent.length >= MAX_RESTARTS_PER_MINUTE) {
        options.onNotice?.(`${how} too often; it stays switched off`);
        return;
      }
      options.onNotice?.(`${how}; starting it again`);
      child = launch();
      watch();
      untilStarted(child, options).catch((error) => options.onNotice?.((error as Error).message));
    });
  }

  async function stop(): Promise<void> {
    stopping = true;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    if (child.connected) child.send({ kind: "stop" } satisfies ToFleet, () => {});
    await exited;
  }
}

function untilStarted(
  child: ChildProcess,
  { onEnrolled }: FleetProcessOptions,
): Promise<{ devices: number; refused: RefusedDevice[] }> {
  return new Promise((resolve, reject) => {
    const onExit = () => reject(new Error("the simulated fleet ended while it was starting"));
    child.once("exit", onExit);
    child.on("message", (message: FromFleet) => {
      if (message.kind === "enrolled") return onEnrolled?.(message.count, message.total);
      child.off("exit", onExit);
      if (message.kind === "started") return resolve(message);
      child.kill();
      reject(new Error(`the simulated fleet did not start: ${message.message}`));
    });
  });
}
