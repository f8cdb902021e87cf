import { unconfined } from "../kernel/confinement.ts";
import { gauge } from "../kernel/metrics.ts";
import { type Bus, type BusMessage, subjectMatches, subjects } from "./bus.ts";
import type { Flood } from "./uplink.ts";

/** The supervisor's line serves all processes: the highest of what they were told is what it was. */
const floods = gauge(
  "vautn_bus_floods",
  "Times that the bus to other machines was left for a while since it brought what is not of this installation",
  [],
  "max",
);

interface Subscription {
  pattern: string;
  handler: (message: BusMessage, subject: string) => void;
}

/** The bus within one process; `relay` passes what is published here on to the other processes. */
export class LocalBus implements Bus {
  isUplinkUp?: boolean;
  isUplinkFlooded = false;
  readonly #subscriptions = new Set<Subscription>();
  readonly #onClose: () => Promise<void>;
  readonly #relay: ((subject: string, message: BusMessage) => void) | undefined;

  constructor(
    relay?: (subject: string, message: BusMessage) => void,
    onClose: () => Promise<void> = async () => {},
  ) {
    this.#relay = relay;
    this.#onClose = onClose;
  }

  /** Whether other machines are reached; what they said before was not heard here. */
  setUplink(isUp: boolean, flood?: Flood): void {
    this.isUplinkUp = isUp;
    this.isUplinkFlooded = flood?.isOn ?? false;
    floods.set(flood?.times ?? 0);
    if (isUp) this.deliver(subjects.lost, {});
  }

  publish(subject: string, message: BusMessage): void {
    this.deliver(subject, message);
    this.#relay?.(subject, message);
  }

  subscribe(pattern: string, handler: Subscription["handler"]): () => void {
    const subscription = { pattern, handler };
    this.#subscriptions.add(subscription);
    return () => this.#subscriptions.delete(subscription);
  }

  /**
   * Hands a message to this process's subscribers, after the current turn of the event loop, and
   * outside of whatever the call that sent it is confined to.
   */
  deliver(subject: string, message: BusMessage): void {
    unconfined(() => {
      for (const subscription of this.#subscriptions) {
        if (!subjectMatches(subscription.pattern, subject)) continue;
        setImmediate(() => {
          if (this.#subscriptions.has(subscription)) subscription.handler(message, subject);
        });
      }
    });
  }

  async close(): Promise<void> {
    this.#subscriptions.clear();
    await this.#onClose();
  }
}
