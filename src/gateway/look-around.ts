import type { Bus } from "../bus/index.ts";
import type { Connection } from "./connection.ts";
import { wakeDeliveries } from "./packets/subscribe.ts";

/** Connections of which one step looks at what waits: some hundred questions to the database. */
const PER_STEP = 100;

/**
 * Looks for what waits for the devices that are connected here while news of other machines may be lost:
 * all of them, in turns, as long as the bus to these is away, and once more when it is back.
 */
export class LookAround {
  readonly #bus: Pick<Bus, "isUplinkUp">;
  readonly #connections: ReadonlySet<Connection>;
  #isOwed = false;
  #round: Iterator<Connection> | undefined;
  #beganAway = false;

  constructor(bus: Pick<Bus, "isUplinkUp">, connections: ReadonlySet<Connection>) {
    this.#bus = bus;
    this.#connections = connections;
  }

  /** Called every second or so. */
  step(): void {
    const isAway = this.#bus.isUplinkUp === false;
    if (isAway) this.#isOwed = true;
    if (!this.#isOwed) return;
    if (!this.#round) {
      this.#round = [...this.#connections].values();
      this.#beganAway = isAway;
    }
    for (let looked = 0; looked < PER_STEP; looked += 1) {
      const { value: connection, done } = this.#round.next();
      if (done) {
        this.#round = undefined;
        this.#isOwed = this.#beganAway || isAway;
        return;
      }
      if (connection.isOpen) wakeDeliveries(connection);
    }
  }
}
