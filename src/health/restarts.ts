import { MIN_PEERS, median, restartsTooOften } from "./peers.ts";

const HOUR_MS = 3_600_000;
const MAX_KEPT = 50;
/** Restarts in an hour by which half a cohort is in trouble. */
const FLEET_RESTARTS = 3;

export interface RestartFinding {
  /** Null when the whole cohort is concerned. */
  deviceId: string | null;
  restarts: number;
  peers: { devices: number; restarts: number };
}

interface Uptime {
  ts: number;
  seconds: number;
  restarts: number[];
}

/** Finds restarts in the uptimes of devices' heartbeats, and the devices that have too many. */
export class RestartWatch {
  readonly #maxDevices: number;
  readonly #devices = new Map<string, Uptime>();

  constructor(maxDevices: number) {
    this.#maxDevices = maxDevices;
  }

  /** Whether this heartbeat is the first after a restart. */
  observe(deviceId: string, ts: number, uptimeSeconds: number): boolean {
    const known = this.#devices.get(deviceId);
    if (!known) {
      if (this.#devices.size < this.#maxDevices) {
        this.#devices.set(deviceId, { ts, seconds: uptimeSeconds, restarts: [] });
      }
      return false;
    }
    if (ts <= known.ts) return false;
    const restarted = uptimeSeconds < known.seconds;
    if (restarted) known.restarts.push(ts);
    known.restarts = known.restarts.filter((at) => at > ts - HOUR_MS).slice(-MAX_KEPT);
    known.ts = ts;
    known.seconds = uptimeSeconds;
    return restarted;
  }

  /** What a restart of `deviceId` at `ts` means, given those of its cohort in the same hour. */
  judge(deviceId: string, ts: number, cohort: readonly string[]): RestartFinding | undefined {
    const own = this.#count(deviceId, ts);
    const others = cohort.filter((id) => id !== deviceId).map((id) => this.#count(id, ts));
    const restarts = others.reduce((sum, count) => sum + count, 0);
    const peers = { devices: others.length, restarts };
    if (others.length >= MIN_PEERS && median(others) >= FLEET_RESTARTS) {
      return { deviceId: null, restarts: own, peers };
    }
    return restartsTooOften(own, peers) ? { deviceId, restarts: own, peers } : undefined;
  }

  #count(deviceId: string, ts: number): number {
    const restarts = this.#devices.get(deviceId)?.restarts ?? [];
    return restarts.filter((at) => at > ts - HOUR_MS && at <= ts).length;
  }
}
