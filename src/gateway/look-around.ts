import { type Bus, subjects } from "../bus/index.ts";
import type { Connection } from "./connection.ts";
import { wakeDeliveries } from "./packets/subscribe.ts";

/** Connections of which one step looks at what waits: some hundred questions to the database. */
const PER_STEP = 100;

/**
 * Looks for what waits for the devices that are connected here while news of other machines may be lost:
 * all of them, in turns, as long as the bus to these is away, and once more when it is back, or when one
 * of them says that it could not tell something.
 */
export class LookAround {
  readonly #bus: Pick<Bus, "isUplinkUp">;
  readonly #connections: ReadonlySet<Connection>;
  readonly #unsubscribe: () => void;
  #isOwed = false;
  #round: Iterator<Connection> | undefined;
  /** Whether something may have been lost since the round began: who was looked at has to be again. */
  #isStale = false;

  constructor(bus: Pick<Bus, "isUplinkUp" | "subscribe">, connections: ReadonlySet<Connection>) {
    this.#bus = bus;
    this.#connections = connections;
    this.#unsubscribe = bus.subscribe(subjects.lost, () => this.#owe());
  }

  /** Called every second or so. */
  step(): void {
    if (this.#bus.isUplinkUp === false) this.#owe();
    if (!this.#isOwed) return;
    if (!this.#round) {
      this.#round = [...this.#connections].values();
      this.#isStale = this.#bus.isUplinkUp === false;
    }
    for (let looked = 0; looked < PER_STEP; looked += 1) {
      const { value: connection, done } = this.#round.next();
      if (done) {
        this.#round = undefined;
        this.#isOwed = this.#isStale;
        return;
      }
      if (connection.isOpen) wakeDeliveries(connection);
    }
  }

  stop(): void {
    this.#unsubscribe();
  }

  #owe(): void {
    this.#isOwed = true;
    this.#isStale = true;
  }
}
