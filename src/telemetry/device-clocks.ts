import type { DeviceIdentity } from "../protocol/index.ts";

/** A clock that is nearer to ours than this is right: the rest is the line, or drift. */
const RIGHT_WITHIN_MS = 120_000;
/**
 * An offset is kept while the clock stays this near to it, so that a message that comes again gets the
 * same time again. A clock that drifts further steps once.
 */
const KEPT_WITHIN_MS = 30_000;
/** Devices whose clocks are or were wrong; beyond that, whose was heard of longest ago is forgotten. */
const MAX_DEVICES = 100_000;

interface KnownClock {
  offsetMs: number;
  isWrong: boolean;
}

/** What becomes of the times that a device gives. */
export interface Shift {
  /** Added to all of them. */
  offsetMs: number;
  /** Added to those that cannot be believed: they were taken before the clock was set. */
  rescueMs?: number | undefined;
}

const RIGHT: Shift = { offsetMs: 0 };

/** Clocks of devices that are wrong, as their heartbeats show: years behind, or counting from the boot. */
export class DeviceClocks {
  readonly #clocks = new Map<string, KnownClock>();
  readonly #recall: ((tenantId: string, deviceId: string) => Promise<number | null>) | undefined;

  /** `recall` finds what was last known of a device's offset, in another process or before a start. */
  constructor(recall?: (tenantId: string, deviceId: string) => Promise<number | null>) {
    this.#recall = recall;
  }

  /** Takes a heartbeat's own time. */
  async observe(peer: DeviceIdentity, ts: number, receivedAt: number): Promise<Shift> {
    const key = keyOf(peer);
    const measured = receivedAt - ts;
    let known = this.#clocks.get(key);
    if (Math.abs(measured) <= RIGHT_WITHIN_MS) {
      if (known) known.isWrong = false;
      return this.shiftOf(peer);
    }
    if (!known && this.#recall) {
      const recalled = await this.#recall(peer.tenantId, peer.deviceId);
      if (recalled !== null) known = { offsetMs: recalled, isWrong: true };
    }
    const isKept = known && Math.abs(known.offsetMs - measured) <= KEPT_WITHIN_MS;
    const offsetMs = isKept && known ? known.offsetMs : measured;
    this.#clocks.delete(key);
    if (this.#clocks.size >= MAX_DEVICES) {
      this.#clocks.delete(this.#clocks.keys().next().value as string);
    }
    this.#clocks.set(key, { offsetMs, isWrong: true });
    return { offsetMs };
  }

  shiftOf(peer: DeviceIdentity): Shift {
    if (this.#clocks.size === 0) return RIGHT;
    const known = this.#clocks.get(keyOf(peer));
    if (!known) return RIGHT;
    return known.isWrong ? { offsetMs: known.offsetMs } : { offsetMs: 0, rescueMs: known.offsetMs };
  }
}

function keyOf({ tenantId, deviceId }: DeviceIdentity): string {
  return `${tenantId}/${deviceId}`;
}
