import { MIN_PEERS, median, restartsTooOften } from "./peers.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const MAX_KEPT = 50;
/** Restarts in a day by which half a cohort is in trouble. */
const FLEET_RESTARTS = 3;
/** A sum of evidence (CUSUM) for "ten times as often as its peers" finds what creeps. */
const CREEP_RATIO = 10;
const CREEP_LIMIT = 8;
/** The least that a fleet is taken to restart, a day and device. */
const LEAST_RATE = 0.005;
/** A loop is over when nothing has happened for so many of its turns, an hour at least. */
const CALM_TURNS = 3;

export interface RestartFinding {
  /** Null when the whole cohort is concerned. */
  deviceId: string | null;
  /** Within 24 hours. */
  restarts: number;
  peers: { devices: number; restarts: number };
  /** Whether single restarts over days have added up, and no loop. */
  isCreep: boolean;
}

/** Restarts of a cohort's devices within the last day. */
interface CohortDay {
  counts: Map<string, number>;
  total: number;
  median: number;
}

interface Uptime {
  ts: number;
  seconds: number;
  restarts: number[];
  /** The sum of evidence and the time up to which it goes. */
  creep: number;
  creepAt: number;
}

export type RestartsSnapshot = [string, Uptime][];

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
        const fresh = { ts, seconds: uptimeSeconds, restarts: [], creep: 0, creepAt: ts };
        this.#devices.set(deviceId, fresh);
      }
      return false;
    }
    if (ts <= known.ts) return false;
    const restarted = uptimeSeconds < known.seconds;
    if (restarted) known.restarts.push(ts);
    if (known.restarts.length > 0) {
      known.restarts = known.restarts.filter((at) => at > ts - DAY_MS).slice(-MAX_KEPT);
    }
    known.ts = ts;
    known.seconds = uptimeSeconds;
    return restarted;
  }

  /** What the restarts of a cohort's devices mean, each given those of the others in the same day. */
  judge(restarted: ReadonlyMap<string, number>, cohort: readonly string[]): RestartFinding[] {
    const latest = Math.max(...restarted.values());
    const day = this.#dayOf(cohort, latest);
    return [...restarted].flatMap(([deviceId, ts]) => this.#judgeOne(deviceId, ts, day) ?? []);
  }

  /** When restarts of a device, or of its cohort, count as over if none follows. */
  calmAt(deviceId: string): number {
    const restarts = this.#devices.get(deviceId)?.restarts ?? [];
    const [last = 0] = restarts.slice(-1);
    const turns = restarts.length - 1;
    const turnMs = turns > 0 ? (last - (restarts[0] as number)) / turns : 0;
    return last + Math.min(DAY_MS, Math.max(HOUR_MS, CALM_TURNS * turnMs));
  }

  snapshot(): RestartsSnapshot {
    return [...this.#devices];
  }

  restore(devices: RestartsSnapshot): void {
    for (const [id, uptime] of devices.slice(0, this.#maxDevices)) this.#devices.set(id, uptime);
  }

  #judgeOne(deviceId: string, ts: number, day: CohortDay): RestartFinding | undefined {
    const own = day.counts.get(deviceId) ?? 1;
    const peers = { devices: Math.max(0, day.counts.size - 1), restarts: day.total - own };
    const creeps = this.#creeps(deviceId, ts, peers);
    if (peers.devices >= MIN_PEERS && day.median >= FLEET_RESTARTS) {
      return { deviceId: null, restarts: day.median, peers, isCreep: false };
    }
    if (restartsTooOften(own, peers)) return { deviceId, restarts: own, peers, isCreep: false };
    return creeps ? { deviceId, restarts: own, peers, isCreep: true } : undefined;
  }

  /** Adds a restart to the device's sum of evidence; whether the sum has become too high. */
  #creeps(deviceId: string, ts: number, peers: { devices: number; restarts: number }): boolean {
    const device = this.#devices.get(deviceId);
    if (!device || peers.devices < MIN_PEERS) return false;
    const usual = Math.max(LEAST_RATE, peers.restarts / peers.devices);
    const days = Math.max(0, ts - device.creepAt) / DAY_MS;
    const before = Math.max(0, device.creep - (CREEP_RATIO - 1) * usual * days);
    device.creep = before + Math.log(CREEP_RATIO);
    device.creepAt = ts;
    if (device.creep < CREEP_LIMIT) return false;
    device.creep = 0;
    return true;
  }

  #dayOf(cohort: readonly string[], ts: number): CohortDay {
    const counts = new Map(cohort.map((id) => [id, this.#count(id, ts)]));
    const values = [...counts.values()];
    return {
      counts,
      total: values.reduce((sum, count) => sum + count, 0),
      median: values.length === 0 ? 0 : median(values),
    };
  }

  #count(deviceId: string, ts: number): number {
    const restarts = this.#devices.get(deviceId)?.restarts ?? [];
    return restarts.filter((at) => at > ts - DAY_MS).length;
  }
}
