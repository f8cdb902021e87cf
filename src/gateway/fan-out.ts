import { type Bus, type BusMessage, subjects } from "../bus/index.ts";
import type { Clock } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import {
  type PassedMessage,
  passedMessage,
  restoredProperties,
  storedProperties,
} from "./passed-properties.ts";

type Publish = Parameters<typeof passedMessage>[0];

/** How often those who listen say so, and how long their word counts. */
export const INTEREST_INTERVAL_MS = 10_000;
const INTEREST_TTL_MS = 30_000;
const MAX_TENANTS = 10_000;

/** Hands devices' messages to the bus, for tenants whose applications listen somewhere. */
export class FanOut {
  readonly #bus: Bus;
  readonly #interested: TtlCache<true>;

  constructor({ bus, clock }: { bus: Bus; clock: Clock }) {
    this.#bus = bus;
    this.#interested = new TtlCache({ clock, ttlMs: INTEREST_TTL_MS, maxEntries: MAX_TENANTS });
  }

  /** Begins to hear who listens; the result ends it. */
  start(): () => void {
    return this.#bus.subscribe("interest.>", (_message, subject) => {
      this.#interested.set(subject, true);
    });
  }

  /** Whether anybody listens anywhere. */
  get isHeard(): boolean {
    return this.#interested.size > 0;
  }

  /** A message of a device that is durable by now. */
  offer(tenantId: string, publish: Publish, receivedAt: number): void {
    // The common case: nobody listens anywhere.
    if (!this.isHeard) return;
    if (!this.#interested.get(subjects.interest(tenantId))) return;
    const message = passedMessage(publish, receivedAt);
    this.#bus.publish(subjects.message(tenantId), {
      ...message,
      payload: message.payload.toString("base64"),
      properties: storedProperties(message.properties),
      expiresAt: message.expiresAt ?? null,
    });
  }
}

/** As `offer` writes it. */
interface Offered extends Pick<PassedMessage, "topic" | "qos"> {
  payload: string;
  properties: unknown;
  expiresAt: number | null;
  /** Of an application's message to the others: whose it is, and whether it was to be retained. */
  exchanged?: { retain: boolean; from: string | null };
}

/** A message as the bus has brought it; `exchanged` where an application has sent it. */
export function offeredMessage(message: BusMessage): PassedMessage & Pick<Offered, "exchanged"> {
  const { topic, payload, qos, properties, expiresAt, exchanged } = message as unknown as Offered;
  return {
    topic,
    payload: Buffer.from(payload, "base64"),
    qos,
    properties: restoredProperties(properties),
    expiresAt: expiresAt ?? undefined,
    ...(exchanged ? { exchanged } : {}),
  };
}
