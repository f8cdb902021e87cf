import { AppError } from "../kernel/index.ts";
import { gauge } from "../kernel/metrics.ts";
import type { DeviceIdentity } from "../protocol/index.ts";

/** A message all of whose samples are older than this is a backlog, and goes behind what is live. */
export const LATE_AFTER_MS = 10 * 60_000;

export interface BacklogLimits {
  /** Points under way at a time: of all, of one tenant, of one device. */
  points: number;
  tenantPoints: number;
  devicePoints: number;
  /** Messages that may wait for their turn; beyond it the device is told to come again. */
  waiting: number;
}

export const BACKLOG_LIMITS: BacklogLimits = {
  points: 50_000,
  tenantPoints: 25_000,
  devicePoints: 5_000,
  waiting: 20_000,
};

interface Waiting {
  tenantId: string;
  deviceId: string;
  points: number;
  start(): void;
}

const waitingGauge = gauge(
  "vautn_backlog_waiting",
  "Messages of backlogs that wait for their turn",
);

/**
 * Turns of messages with old points. A device that comes back after days gets on as fast as its share
 * allows: its next message waits unacknowledged, so that it sends no faster, and drops nothing.
 */
export class BacklogLane {
  readonly #limits: BacklogLimits;
  readonly #underWay = new Map<string, number>();
  #waiting: Waiting[] = [];

  constructor(limits: BacklogLimits = BACKLOG_LIMITS) {
    this.#limits = limits;
  }

  /** Runs the work when it is its turn. Throws `unavailable` where too many wait. */
  async run<T>(peer: DeviceIdentity, points: number, work: () => Promise<T>): Promise<T> {
    const turn = { tenantId: peer.tenantId, deviceId: peer.deviceId, points };
    if (!this.#hasRoom(turn)) {
      if (this.#waiting.length >= this.#limits.waiting) {
        const details = { limit: this.#limits.waiting };
        throw new AppError("unavailable", "too many backlogs are waiting", details);
      }
      await new Promise<void>((start) => {
        this.#waiting.push({ ...turn, start });
        waitingGauge.set(this.#waiting.length);
      });
    } else this.#count(turn, 1);
    try {
      return await work();
    } finally {
      this.#count(turn, -1);
      this.#startNext();
    }
  }

  #startNext(): void {
    const rest: Waiting[] = [];
    for (const waiting of this.#waiting) {
      if (this.#hasRoom(waiting)) {
        this.#count(waiting, 1);
        waiting.start();
      } else rest.push(waiting);
    }
    this.#waiting = rest;
    waitingGauge.set(rest.length);
  }

  /** A message larger than a share has its turn when nothing else of that share is under way. */
  #hasRoom(turn: Omit<Waiting, "start">): boolean {
    return this.#sharesOf(turn).every(([key, limit]) => {
      const used = this.#underWay.get(key) ?? 0;
      return used === 0 || used + turn.points <= limit;
    });
  }

  #count(turn: Omit<Waiting, "start">, sign: 1 | -1): void {
    for (const [key] of this.#sharesOf(turn)) {
      const used = (this.#underWay.get(key) ?? 0) + sign * turn.points;
      if (used > 0) this.#underWay.set(key, used);
      else this.#underWay.delete(key);
    }
  }

  #sharesOf({ tenantId, deviceId }: DeviceIdentity): [string, number][] {
    const { points, tenantPoints, devicePoints } = this.#limits;
    return [
      ["", points],
      [tenantId, tenantPoints],
      [`${tenantId}/${deviceId}`, devicePoints],
    ];
  }
}

/** Points in a message that is a backlog, or 0 where something in it is live. */
export function backlogSize(payload: unknown, now: number, offsetMs: number): number {
  const samples: unknown[] = Array.isArray(payload) ? payload : [payload];
  let points = 0;
  for (const sample of samples) {
    const { ts, values } = (sample ?? {}) as { ts?: unknown; values?: object };
    if (typeof ts === "number" && ts + offsetMs >= now - LATE_AFTER_MS) return 0;
    if (typeof values === "object" && values !== null) points += Object.keys(values).length;
  }
  return points;
}
