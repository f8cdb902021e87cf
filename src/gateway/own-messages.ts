import type { IPublishPacket } from "mqtt-packet";
import type { Connection } from "./connection.ts";
import { deliveriesTotal, retainedTotal } from "./gateway-metrics.ts";
import type { OutboundMessage } from "./outbound.ts";
import { type PassedMessage, passedMessage, remainingExpiry } from "./passed-properties.ts";
import type { RetainedFor } from "./retained.ts";

/** Messages that wait for a device's window; it asked for them, and more of them are dropped. */
const MAX_WAITING = 100;

interface Waiting extends PassedMessage {
  retain: boolean;
  identifiers: number[];
}

/** A device's own messages on their way back to it: retained ones, and those that it sends itself. */
export class OwnMessages {
  readonly #connection: Connection;
  #waiting: Waiting[] = [];

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** A message of the device has been taken: it goes to the device's own subscriptions, too. */
  echo(packet: IPublishPacket, receivedAt: number): void {
    const { subscriptions } = this.#connection;
    if (!subscriptions.hearsOwn) return;
    const match = subscriptions.match(packet.topic, { isOwn: true });
    if (!match) return;
    const message = passedMessage(packet, receivedAt);
    this.#add({
      ...message,
      // MQTT 5.0 §3.8.4 [MQTT-3.8.4-8]: the lower of what was published and what was granted.
      qos: Math.min(message.qos, match.qos) as 0 | 1 | 2,
      // MQTT 5.0 §3.3.1.3 [MQTT-3.3.1-12], [MQTT-3.3.1-13]: kept only where Retain As Published is.
      retain: packet.retain && match.retainAsPublished,
      identifiers: match.identifiers,
    });
  }

  /** What is retained for new subscriptions; RETAIN is 1 on it (MQTT 5.0 [MQTT-3.3.1-8]). */
  async sendRetained(wanted: readonly RetainedFor[]): Promise<void> {
    const { context, peer } = this.#connection;
    for (const message of await context.retained.find(peer, wanted)) {
      if (this.#add({ ...message, retain: true })) retainedTotal.inc({ action: "sent" });
    }
  }

  /** Sends as much as the device's window lets through. */
  drain(): void {
    while (this.#waiting.length > 0 && this.#connection.isOpen) {
      const [next] = this.#waiting as [Waiting];
      const { outbound } = this.#connection;
      if (next.qos > 0 && outbound.free <= 0) return;
      this.#waiting.shift();
      const message = this.#outboundOf(next);
      if (!message) continue;
      void outbound.send(message).then((outcome) => deliveriesTotal.inc({ kind: "own", outcome }));
    }
  }

  /** False where there was no room for it. */
  #add(message: Waiting): boolean {
    if (this.#waiting.length >= MAX_WAITING) {
      deliveriesTotal.inc({ kind: "own", outcome: "dropped" });
      return false;
    }
    this.#waiting.push(message);
    this.drain();
    return true;
  }

  #outboundOf(message: Waiting): OutboundMessage | undefined {
    const { topic, payload, qos, retain, properties, identifiers } = message;
    const expiry = remainingExpiry(message, this.#connection.context.deps.clock.now());
    if (!expiry) return undefined;
    const subscription = identifiers.length === 0 ? {} : { subscriptionIdentifier: identifiers };
    return {
      topic,
      payload,
      qos,
      retain,
      properties: { ...properties, ...expiry, ...subscription },
    };
  }
}
