import { type Bus, subjects } from "../../bus/index.ts";
import type { Clock } from "../../kernel/index.ts";
import { filterMatches } from "../exchange/topics.ts";
import { INTEREST_INTERVAL_MS, offeredMessage } from "../fan-out.ts";
import { applicationMessages } from "../gateway-metrics.ts";
import type { PassedMessage } from "../passed-properties.ts";
import type { Asked } from "./access.ts";

export interface Listening extends Asked {
  qos: 0 | 1 | 2;
  identifier: number | undefined;
  noLocal: boolean;
  retainAsPublished: boolean;
}

/** How a message goes out to one listener. */
export interface HowToDeliver {
  qos: 0 | 1 | 2;
  identifiers: number[];
  retain: boolean;
}

type Offered = ReturnType<typeof offeredMessage>;

/** Someone to whom messages are brought; whether it may have them it judges itself, each time. */
export interface Listener {
  readonly subscriptions: ReadonlyMap<string, Listening>;
  /** As whom it is known to the others. */
  readonly clientKey: string;
  /** Whether messages of QoS 1 and 2 wait for it in its own queue, in the database. */
  readonly hasQueue: boolean;
  /** Something has come into that queue. */
  wake(): void;
  /** False when it may not have the message, or takes none any more. */
  deliver(message: PassedMessage, how: HowToDeliver): boolean;
}

/** Brings the messages of tenants' devices to the applications of this process. */
export class Hub {
  readonly #deps: { bus: Bus; clock: Clock };
  readonly #byTenant = new Map<string, Set<Listener>>();
  /** Whose turn it is in each shared subscription. */
  readonly #turns = new Map<string, number>();

  constructor(deps: { bus: Bus; clock: Clock }) {
    this.#deps = deps;
  }

  /** Begins to listen to the bus; the result ends it. */
  start(): () => void {
    const { bus, clock } = this.#deps;
    const unsubscribe = bus.subscribe("message.>", (message, subject) => {
      for (const [tenantId, listeners] of this.#byTenant) {
        if (subjects.message(tenantId) === subject) this.#bring(listeners, offeredMessage(message));
      }
    });
    let timer = clock.after(INTEREST_INTERVAL_MS, repeat);
    const announce = () => {
      for (const tenantId of this.#byTenant.keys()) this.#announce(tenantId);
    };
    function repeat(): void {
      announce();
      timer = clock.after(INTEREST_INTERVAL_MS, repeat);
    }
    return () => {
      unsubscribe();
      timer.cancel();
    };
  }

  /** Someone listens to a tenant's devices from now on. */
  join(tenantId: string, listener: Listener): void {
    const listeners = this.#byTenant.get(tenantId) ?? new Set();
    this.#byTenant.set(tenantId, listeners.add(listener));
    this.#announce(tenantId);
  }

  /** Forgets those who have gone, and tenants to which nobody listens any more. */
  leave(listener: Listener): void {
    for (const [tenantId, listeners] of this.#byTenant) {
      listeners.delete(listener);
      if (listeners.size === 0) this.#byTenant.delete(tenantId);
    }
    if (this.#byTenant.size === 0) this.#turns.clear();
  }

  #announce(tenantId: string): void {
    this.#deps.bus.publish(subjects.interest(tenantId), {});
  }

  #bring(listeners: ReadonlySet<Listener>, message: Offered): void {
    const groups = new Map<string, { listener: Listener; listening: Listening }[]>();
    for (const listener of listeners) {
      const plain: Listening[] = [];
      for (const [asked, listening] of listener.subscriptions) {
        if (!filterMatches(listening.filter, message.topic)) continue;
        // MQTT 5.0 §3.8.3.1 [MQTT-3.8.3-3].
        if (listening.noLocal && message.exchanged?.from === listener.clientKey) continue;
        if (listening.group === undefined) plain.push(listening);
        else groups.set(asked, [...(groups.get(asked) ?? []), { listener, listening }]);
      }
      // MQTT 5.0 §3.3.4 [MQTT-3.3.4-2]: overlapping filters bring one copy.
      if (plain.length > 0) this.#bringTo(listener, message, matchOf(message, plain));
    }
    for (const [asked, members] of groups) this.#bringToOne(asked, members, message);
  }

  #bringTo(listener: Listener, message: Offered, how: HowToDeliver): void {
    // What applications tell one another is in the queue of who has one.
    if (message.exchanged && how.qos > 0 && listener.hasQueue) listener.wake();
    else count(listener.deliver(message, how));
  }

  /** MQTT 5.0 §4.8.2 [MQTT-4.8.2-4]: to one of the group, in turn; to the next if it takes none. */
  #bringToOne(
    asked: string,
    members: readonly { listener: Listener; listening: Listening }[],
    message: Offered,
  ): void {
    const turn = this.#turns.get(asked) ?? 0;
    for (let tried = 0; tried < members.length; tried += 1) {
      const index = (turn + tried) % members.length;
      const { listener, listening } = members[index] as (typeof members)[number];
      if (!listener.deliver(message, matchOf(message, [listening]))) continue;
      this.#turns.set(asked, index + 1);
      count(true);
      return;
    }
    count(false);
  }
}

function matchOf(message: Offered, listening: readonly Listening[]): HowToDeliver {
  const granted = Math.max(...listening.map(({ qos }) => qos));
  return {
    qos: Math.min(message.qos, granted) as 0 | 1 | 2,
    identifiers: listening.flatMap(({ identifier }) => identifier ?? []),
    // MQTT 5.0 §3.3.1.3 [MQTT-3.3.1-12], [MQTT-3.3.1-13]: kept only where Retain As Published is.
    retain:
      message.exchanged?.retain === true &&
      listening.some(({ retainAsPublished }) => retainAsPublished),
  };
}

function count(isDelivered: boolean): void {
  applicationMessages.inc({ direction: "out", outcome: isDelivered ? "sent" : "refused" });
}
