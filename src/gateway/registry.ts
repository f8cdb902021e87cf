import { subjects } from "../bus/index.ts";
import type { DeviceIdentity } from "../protocol/index.ts";

/** The one live connection of each device; a device is found by its subject on the bus. */
export class Registry<Entry> {
  readonly #entries = new Map<string, Entry>();

  /** Makes `entry` the device's connection; returns the one that it replaces. */
  claim(device: DeviceIdentity, entry: Entry): Entry | undefined {
    const key = subjects.device(device.tenantId, device.deviceId);
    const former = this.#entries.get(key);
    this.#entries.set(key, entry);
    return former;
  }

  /** Forgets the device's connection, if it is still `entry`. */
  release(device: DeviceIdentity, entry: Entry): void {
    const key = subjects.device(device.tenantId, device.deviceId);
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
  }

  bySubject(subject: string): Entry | undefined {
    return this.#entries.get(subject);
  }

  find(device: DeviceIdentity): Entry | undefined {
    return this.#entries.get(subjects.device(device.tenantId, device.deviceId));
  }

  /** Every connection of a tenant: a look at all of them, for what happens seldom. */
  ofTenant(tenantId: string): Entry[] {
    const prefix = subjects.device(tenantId, "");
    return [...this.#entries].flatMap(([key, entry]) => (key.startsWith(prefix) ? [entry] : []));
  }

  get size(): number {
    return this.#entries.size;
  }
}
