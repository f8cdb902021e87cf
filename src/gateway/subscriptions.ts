import {
  type DeviceIdentity,
  PLATFORM_PUBLISHES,
  topicMatches,
  topicPrefix,
} from "../protocol/index.ts";
import type { StoredSubscription } from "./sessions-store.ts";

export interface Subscription {
  qos: 0 | 1 | 2;
  /** MQTT 5.0 §3.8.2.1.2: sent back with what the subscription brings. */
  identifier: number | undefined;
  /** MQTT 5.0 §3.8.3.1: not what this device has published itself. */
  noLocal?: boolean;
  /** MQTT 5.0 §3.8.3.1: with the RETAIN flag that it was published with. */
  retainAsPublished?: boolean;
}

export interface Match {
  qos: 0 | 1 | 2;
  identifiers: number[];
  retainAsPublished: boolean;
}

/** The filters of one session. */
export class Subscriptions {
  readonly #filters = new Map<string, Subscription>();
  readonly #limit: number;
  #hearsOwn = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether a filter may match what the device publishes itself: seldom, and dear to find out. */
  get hearsOwn(): boolean {
    return this.#hearsOwn;
  }

  get size(): number {
    return this.#filters.size;
  }

  has(filter: string): boolean {
    return this.#filters.has(filter);
  }

  /** False when the connection has as many as it may have. */
  add(filter: string, subscription: Subscription): boolean {
    if (!this.#filters.has(filter) && this.#filters.size >= this.#limit) return false;
    this.#filters.set(filter, subscription);
    return true;
  }

  /** Looks anew whether the device may hear itself. */
  review(device: DeviceIdentity): void {
    this.#hearsOwn = [...this.#filters].some(
      ([filter, { noLocal }]) => !noLocal && mayHearOwn(device, filter),
    );
  }

  /** As they are kept with the session. */
  list(): StoredSubscription[] {
    return [...this.#filters].map(([filter, { qos, identifier, noLocal, retainAsPublished }]) => ({
      filter,
      qos,
      ...(identifier === undefined ? {} : { identifier }),
      ...(noLocal ? { noLocal } : {}),
      ...(retainAsPublished ? { retainAsPublished } : {}),
    }));
  }

  restore(stored: readonly StoredSubscription[]): void {
    for (const { filter, identifier, ...rest } of stored) this.add(filter, { ...rest, identifier });
  }

  remove(filter: string): boolean {
    return this.#filters.delete(filter);
  }

  /** How `topic` goes out; undefined when nobody listens. `isOwn`: the device has published it. */
  match(topic: string, { isOwn = false } = {}): Match | undefined {
    const matching = [...this.#filters].filter(
      // MQTT 5.0 §3.8.3.1 [MQTT-3.8.3-3]: No Local keeps back what the client itself has sent.
      ([filter, { noLocal }]) => !(isOwn && noLocal) && topicMatches(filter, topic),
    );
    if (matching.length === 0) return undefined;
    // MQTT 5.0 §3.3.4 [MQTT-3.3.4-2]: overlapping filters bring one copy, with the highest QoS.
    return {
      qos: Math.max(...matching.map(([, { qos }]) => qos)) as 0 | 1 | 2,
      identifiers: matching.flatMap(([, { identifier }]) => identifier ?? []),
      retainAsPublished: matching.some(([, found]) => found.retainAsPublished === true),
    };
  }
}

/** Whether a filter reaches further than to one of the platform's own topics. */
export function mayHearOwn(device: DeviceIdentity, filter: string): boolean {
  const suffix = filter.slice(topicPrefix(device).length);
  return !(PLATFORM_PUBLISHES as readonly string[]).includes(suffix);
}
