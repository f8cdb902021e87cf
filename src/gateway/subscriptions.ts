import { topicMatches } from "../protocol/index.ts";
import type { StoredSubscription } from "./sessions-store.ts";

export interface Subscription {
  qos: 0 | 1 | 2;
  /** MQTT 5.0 §3.8.2.1.2: sent back with what the subscription brings. */
  identifier: number | undefined;
}

/** The filters of one session. */
export class Subscriptions {
  readonly #filters = new Map<string, Subscription>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** False when the connection has as many as it may have. */
  add(filter: string, subscription: Subscription): boolean {
    if (!this.#filters.has(filter) && this.#filters.size >= this.#limit) return false;
    this.#filters.set(filter, subscription);
    return true;
  }

  /** As they are kept with the session. */
  list(): StoredSubscription[] {
    return [...this.#filters].map(([filter, { qos, identifier }]) => ({
      filter,
      qos,
      ...(identifier === undefined ? {} : { identifier }),
    }));
  }

  restore(stored: readonly StoredSubscription[]): void {
    for (const { filter, qos, identifier } of stored) this.add(filter, { qos, identifier });
  }

  remove(filter: string): boolean {
    return this.#filters.delete(filter);
  }

  /** With what QoS and identifiers `topic` goes out; undefined when nobody listens. */
  match(topic: string): { qos: 0 | 1 | 2; identifiers: number[] } | undefined {
    const matching = [...this.#filters].filter(([filter]) => topicMatches(filter, topic));
    if (matching.length === 0) return undefined;
    // MQTT 5.0 §3.3.4 [MQTT-3.3.4-2]: overlapping filters bring one copy, with the highest QoS.
    return {
      qos: Math.max(...matching.map(([, { qos }]) => qos)) as 0 | 1 | 2,
      identifiers: matching.flatMap(([, { identifier }]) => identifier ?? []),
    };
  }
}
