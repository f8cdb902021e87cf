import type { Database } from "../db/index.ts";
import type { Clock } from "../kernel/index.ts";
import { beat, forgetGateway, silentGateways } from "./gateways-store.ts";

export const BEAT_INTERVAL_MS = 5_000;
/** A gateway that has been silent for so long is taken for dead. */
export const DEAD_AFTER_MS = 30_000;

interface Deps {
  db: Database;
  clock: Clock;
  gatewayId: string;
  /** Another gateway has died: its sessions are nobody's now. */
  onDead(gatewayId: string): Promise<void>;
  /** This one was taken for dead: others have begun to see to its devices. */
  onForgotten(): void;
}

/** Says that this gateway lives, and finds those that do not any more. */
export class GatewayBeats {
  readonly #deps: Deps;
  #beatenAt = Number.NEGATIVE_INFINITY;
  /** Since when this gateway's own beats have come without a gap. */
  #steadySince = Number.POSITIVE_INFINITY;
  #isKnown = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Called about once a second. */
  async tick(): Promise<void> {
    const { db, clock, gatewayId, onForgotten } = this.#deps;
    const now = clock.now();
    if (now - this.#beatenAt < BEAT_INTERVAL_MS) return;
    if (now - this.#beatenAt > 2 * BEAT_INTERVAL_MS) this.#steadySince = now;
    const wasKnown = await db.platform((tx) => beat(tx, gatewayId, new Date(now)));
    if (this.#isKnown && !wasKnown) onForgotten();
    this.#isKnown = true;
    this.#beatenAt = now;
    // When the database was away nobody could beat: the others get as long as they would need.
    if (now - this.#steadySince >= DEAD_AFTER_MS) await this.#buryOthers(now);
  }

  /** It stops in good order: nobody has to wait for it. */
  async stop(): Promise<void> {
    await this.#deps.db.platform((tx) => forgetGateway(tx, this.#deps.gatewayId));
  }

  async #buryOthers(now: number): Promise<void> {
    const { db, gatewayId, onDead } = this.#deps;
    const before = new Date(now - DEAD_AFTER_MS);
    for (const id of await db.platform((tx) => silentGateways(tx, before))) {
      if (id === gatewayId) continue;
      // Forgotten only then: who dies here in between is found again.
      await onDead(id);
      await db.platform((tx) => forgetGateway(tx, id, before));
    }
  }
}
