import { MIN_PEERS, median } from "./peers.ts";

/** Values of one metric in one slice of time, all devices of one kind together. */
export interface Slot {
  /** Product and hardware revision. */
  kind: string;
  metric: string;
  /** Beginning of the slice, milliseconds since the epoch. */
  ts: number;
  /** Mean of each device's values. */
  values: Map<string, number>;
}

/** What a detector is fed for one device: the value, or how far it stands from its peers. */
export interface Residual {
  deviceId: string;
  value: number;
  residual: number;
}

/** Devices that are compared with one another, or with the median of the kind they belong to. */
export interface PeerGroup {
  cohort: string;
  residuals: Residual[];
  /** What they are compared with; null where there are too few peers to have a say. */
  median: number | null;
  /** Devices behind the median. */
  peers: number;
  /** Whether the median is that of this very group. */
  isOwnMedian: boolean;
}

/**
 * Divides a slot by firmware and sets each device against the median of those that run the same; where
 * they are too few (the canaries of a rollout), against the median of the same kind of device whatever
 * it runs; where those are too few, too, it stands for itself.
 */
export function compareWithPeers(slot: Slot, cohortOf: (deviceId: string) => string): PeerGroup[] {
  const all = [...slot.values];
  const common = all.length >= MIN_PEERS ? median([...slot.values.values()]) : null;
  const groups = [...Map.groupBy(all, ([deviceId]) => cohortOf(deviceId))];
  return groups.map(([cohort, members]): PeerGroup => {
    const isOwnMedian = members.length >= MIN_PEERS;
    const middle = isOwnMedian ? median(members.map(([, value]) => value)) : common;
    return {
      cohort,
      median: middle,
      peers: middle === null ? 0 : isOwnMedian ? members.length : all.length,
      isOwnMedian,
      residuals: members.map(([deviceId, value]) => {
        return { deviceId, value, residual: value - (middle ?? 0) };
      }),
    };
  });
}

interface OpenSlot {
  ts: number;
  kind: string;
  metric: string;
  sums: Map<string, { sum: number; count: number }>;
}

/** Open slots as they are kept over a restart. */
export interface SlotsSnapshot {
  newest: number;
  closedBefore: number;
  open: { ts: number; kind: string; metric: string; sums: [string, number, number][] }[];
}

/**
 * Gathers points into slices of time and hands a slice over when it is complete: when points came that
 * are `graceMs` younger than its end. Points for a slice that has gone are left out.
 */
export class FleetSlots {
  readonly #slotMs: number;
  readonly #graceMs: number;
  readonly #maxOpenValues: number;
  readonly #open = new Map<string, OpenSlot>();
  #openValues = 0;
  #newest = -1;
  #closedBefore = -1;

  constructor(options: { slotMs: number; graceMs: number; maxOpenValues: number }) {
    this.#slotMs = options.slotMs;
    this.#graceMs = options.graceMs;
    this.#maxOpenValues = options.maxOpenValues;
  }

  /**
   * Whether there was room and time for the point. A device whose clock runs ahead of `nowMs` does not
   * close the present slice for the others.
   */
  add(
    point: { kind: string; deviceId: string; metric: string; ts: number; value: number },
    nowMs: number,
  ): boolean {
    const { kind, deviceId, metric, ts, value } = point;
    const start = Math.floor(ts / this.#slotMs) * this.#slotMs;
    if (start < this.#closedBefore || this.#openValues >= this.#maxOpenValues) return false;
    this.#newest = Math.max(this.#newest, Math.min(ts, nowMs));
    const slot = this.#slotAt(start, kind, metric);
    const known = slot.sums.get(deviceId);
    if (known) {
      known.sum += value;
      known.count += 1;
    } else {
      slot.sums.set(deviceId, { sum: value, count: 1 });
      this.#openValues += 1;
    }
    return true;
  }

  /** The complete slices, in the order of time. */
  takeComplete(): Slot[] {
    const complete = this.#newest - this.#graceMs - this.#slotMs;
    const slots: Slot[] = [];
    for (const [key, slot] of this.#open) {
      if (slot.ts > complete) continue;
      this.#open.delete(key);
      this.#openValues -= slot.sums.size;
      this.#closedBefore = Math.max(this.#closedBefore, slot.ts + this.#slotMs);
      const { ts, kind, metric } = slot;
      const values = new Map<string, number>();
      for (const [deviceId, { sum, count }] of slot.sums) values.set(deviceId, sum / count);
      slots.push({ ts, kind, metric, values });
    }
    return slots.sort((left, right) => left.ts - right.ts || compare(left.metric, right.metric));
  }

  snapshot(): SlotsSnapshot {
    const open = [...this.#open.values()].map(({ ts, kind, metric, sums }) => {
      const rows = [...sums].map(([deviceId, { sum, count }]): [string, number, number] => {
        return [deviceId, sum, count];
      });
      return { ts, kind, metric, sums: rows };
    });
    return { newest: this.#newest, closedBefore: this.#closedBefore, open };
  }

  restore(snapshot: SlotsSnapshot): void {
    this.#newest = snapshot.newest;
    this.#closedBefore = snapshot.closedBefore;
    for (const { ts, kind, metric, sums } of snapshot.open) {
      const slot = this.#slotAt(ts, kind, metric);
      for (const [deviceId, sum, count] of sums) slot.sums.set(deviceId, { sum, count });
      this.#openValues += sums.length;
    }
  }

  #slotAt(ts: number, kind: string, metric: string): OpenSlot {
    const key = JSON.stringify([ts, kind, metric]);
    let slot = this.#open.get(key);
    if (!slot) {
      slot = { ts, kind, metric, sums: new Map() };
      this.#open.set(key, slot);
    }
    return slot;
  }
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
