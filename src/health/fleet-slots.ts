import { MIN_PEERS, median } from "./peers.ts";

/** The metric that counts how many values a device sent: what it takes of the line. */
export const VOLUME = "telemetry volume";

/** Values of one metric in one slice of time, all devices of a cohort together. */
export interface Slot {
  cohort: string;
  metric: string;
  /** Beginning of the slice, milliseconds since the epoch. */
  ts: number;
  /** Mean of each device's values; for {@link VOLUME} their number. */
  values: Map<string, number>;
}

/** What a detector is fed for one device: the value, or how far it stands from its peers. */
export interface Residual {
  deviceId: string;
  value: number;
  residual: number;
}

export interface SlotView {
  residuals: Residual[];
  /** Median of the cohort; null where it is too small to have a say. */
  median: number | null;
}

/** A device minus the median of its cohort; in a small cohort the value itself. */
export function compareWithPeers(slot: Slot): SlotView {
  const middle = slot.values.size >= MIN_PEERS ? median([...slot.values.values()]) : null;
  const residuals = [...slot.values].map(([deviceId, value]) => {
    return { deviceId, value, residual: value - (middle ?? 0) };
  });
  return { residuals, median: middle };
}

interface OpenSlot {
  ts: number;
  cohort: string;
  metric: string;
  sums: Map<string, { sum: number; count: number }>;
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
  #newest = Number.NEGATIVE_INFINITY;
  #closedBefore = Number.NEGATIVE_INFINITY;

  constructor(options: { slotMs: number; graceMs: number; maxOpenValues: number }) {
    this.#slotMs = options.slotMs;
    this.#graceMs = options.graceMs;
    this.#maxOpenValues = options.maxOpenValues;
  }

  /** Whether there was room and time for the point. */
  add(cohort: string, deviceId: string, metric: string, ts: number, value: number): boolean {
    const start = Math.floor(ts / this.#slotMs) * this.#slotMs;
    if (start < this.#closedBefore || this.#openValues >= this.#maxOpenValues) return false;
    this.#newest = Math.max(this.#newest, ts);
    const key = JSON.stringify([start, cohort, metric]);
    let slot = this.#open.get(key);
    if (!slot) {
      slot = { ts: start, cohort, metric, sums: new Map() };
      this.#open.set(key, slot);
    }
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
      const { ts, cohort, metric } = slot;
      const values = new Map<string, number>();
      for (const [deviceId, { sum, count }] of slot.sums) {
        values.set(deviceId, metric === VOLUME ? count : sum / count);
      }
      slots.push({ ts, cohort, metric, values });
    }
    return slots.sort((left, right) => left.ts - right.ts || compare(left.metric, right.metric));
  }
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
