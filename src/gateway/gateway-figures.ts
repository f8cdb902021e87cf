import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Connection } from "./connection.ts";
import type { GatewayContext } from "./context.ts";
import {
  inflightGauge,
  loopDelayGauge,
  subscriptionsGauge,
  waitingBytesGauge,
} from "./gateway-metrics.ts";

/** How often the event loop is looked at; what it is late is its delay. */
const RESOLUTION_MS = 20;
const NANOSECONDS = 1e9;
/** Updates after which the delays are counted anew. */
const DELAY_WINDOW = 10;

/** Figures of `/metrics` that are sums over the connections of a gateway. */
export class GatewayFigures {
  readonly #connections: ReadonlySet<Pick<Connection, "counts">>;
  readonly #load: GatewayContext["load"];
  readonly #delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #updates = 0;

  constructor(connections: ReadonlySet<Connection>, load: GatewayContext["load"]) {
    this.#connections = connections;
    this.#load = load;
    this.#delays.enable();
  }

  update(): void {
    let [subscriptions, inbound, outbound] = [0, 0, 0];
    for (const { counts } of this.#connections) {
      subscriptions += counts.subscriptions;
      inbound += counts.inboundMessages;
      outbound += counts.outboundMessages;
    }
    subscriptionsGauge.set(subscriptions);
    inflightGauge.set({ direction: "in" }, inbound);
    inflightGauge.set({ direction: "out" }, outbound);
    waitingBytesGauge.set(this.#load.inboundBytes);
    loopDelayGauge.set({ quantile: "0.5" }, this.#delays.percentile(50) / NANOSECONDS);
    loopDelayGauge.set({ quantile: "0.99" }, this.#delays.percentile(99) / NANOSECONDS);
    loopDelayGauge.set({ quantile: "1" }, this.#delays.max / NANOSECONDS);
    this.#updates += 1;
    if (this.#updates % DELAY_WINDOW === 0) this.#delays.reset();
  }

  stop(): void {
    this.#delays.disable();
  }
}
