import { readFile } from "node:fs/promises";
import { enrolByClaim } from "../agent/index.ts";
import { sleep, systemClock } from "../kernel/index.ts";
import { isReleaseEnvelope } from "../protocol/index.ts";
import type { Behaviours, DeviceFault } from "./behaviour.ts";
import { createFleet, type FleetStatus } from "./fleet.ts";

/** What `vautn simulate` takes. */
export interface SimulationOptions {
  devices: number;
  /** `https://host:port` of the platform's HTTPS for devices. */
  httpsUrl: string;
  /** File with the platform's root certificate. */
  root: string;
  tenant: string;
  claimToken: string;
  product: string;
  hardwareRevision: string;
  /** Device ids are this and a number. */
  prefix: string;
  /** Files with the image that the devices were made with, and its signed manifest. */
  image: string;
  manifest: string;
  behaviours?: Behaviours;
  /** Strikes `count` devices, from the first on. */
  faults?: readonly { fault: DeviceFault; count: number }[];
  seed?: number;
  spreadMs?: number;
  timeScale?: number;
  heartbeatIntervalMs?: number;
  reportEveryMs?: number;
  onReport(status: Omit<FleetStatus, "devices">): void;
  /** Ends the simulation. */
  signal: AbortSignal;
}

const REPORT_EVERY_MS = 5_000;

/**
 * Enrols `devices` devices by EST with a claim token and runs them against a platform until the
 * signal; resolves with the last state of the fleet.
 */
export async function runSimulation(options: SimulationOptions): Promise<FleetStatus> {
  const { httpsUrl, tenant, claimToken, product, hardwareRevision, signal } = options;
  const root = await readFile(options.root, "utf8");
  const release = JSON.parse(await readFile(options.manifest, "utf8"));
  if (!isReleaseEnvelope(release)) throw new Error(`${options.manifest} is no release manifest`);
  const deviceId = (index: number) => `${options.prefix}${String(index + 1).padStart(5, "0")}`;
  const fleet = createFleet({
    count: options.devices,
    provisioning: (index) => {
      signal.throwIfAborted();
      const device = deviceId(index);
      const identity = { tenant, device, product, hardwareRevision };
      return enrolByClaim({ ...identity, httpsUrl, root, claimToken });
    },
    factory: { image: await readFile(options.image), release },
    ...(options.behaviours ? { behaviours: options.behaviours } : {}),
    seed: options.seed ?? 1,
    spreadMs: options.spreadMs ?? 10_000,
    timeScale: options.timeScale ?? 1,
    settings: { heartbeatIntervalMs: options.heartbeatIntervalMs ?? 60_000 },
  });
  try {
    await fleet.start();
    for (const { fault, count } of options.faults ?? []) {
      for (let index = 0; index < Math.min(count, options.devices); index += 1) {
        fleet.inject(deviceId(index), fault);
      }
    }
    while (!signal.aborted) {
      const { devices, ...counts } = fleet.status();
      options.onReport(counts);
      await sleep(systemClock, options.reportEveryMs ?? REPORT_EVERY_MS, signal).catch(() => {
        // The signal; the loop ends.
      });
    }
    return fleet.status();
  } finally {
    await fleet.stop();
  }
}
