import { LazyMap } from "../kernel/lazy-collections.ts";
import { ConnectionFault, REASON } from "./reason-codes.ts";

/** Topic aliases that a client may use toward us, and the most that we use toward it. */
export const TOPIC_ALIAS_MAXIMUM = 16;

/** Numbers that a client has given to topics; they end with its connection. */
export class InboundAliases {
  readonly #topics = new LazyMap<number, string>();

  /** The topic that is meant. Throws ConnectionFault. */
  resolve(topic: string, alias: number | undefined): string {
    if (alias === undefined) {
      // MQTT 5.0 §3.3.2.1: a topic name of no characters needs an alias.
      if (topic.length > 0) return topic;
      throw new ConnectionFault(REASON.topicNameInvalid, "no topic name");
    }
    // MQTT 5.0 §3.3.2.3.4 [MQTT-3.3.2-8], [MQTT-3.3.2-9]: from 1 to our Topic Alias Maximum.
    if (!(alias >= 1 && alias <= TOPIC_ALIAS_MAXIMUM)) {
      throw new ConnectionFault(REASON.topicAliasInvalid, "the topic alias is not valid");
    }
    if (topic.length > 0) {
      this.#topics.set(alias, topic);
      return topic;
    }
    const known = this.#topics.get(alias);
    if (known !== undefined) return known;
    // MQTT 5.0 §3.3.2.3.4: an alias that stands for nothing yet.
    throw new ConnectionFault(REASON.protocolError, "the topic alias is not known");
  }
}

/** Numbers that we give to topics toward a client that permits it. */
export class OutboundAliases {
  readonly #aliases = new LazyMap<string, number>();
  readonly #maximum: number;

  /** MQTT 5.0 §3.1.2.11.5 [MQTT-3.1.2-26], [MQTT-3.1.2-27]: no more than the client permits. */
  constructor(clientMaximum: number) {
    this.#maximum = Math.min(clientMaximum, TOPIC_ALIAS_MAXIMUM);
  }

  /** How a topic is written now; call `commit` when it is. */
  use(topic: string): { topic: string; topicAlias?: number; commit(): void } {
    const known = this.#aliases.get(topic);
    if (known !== undefined) return { topic: "", topicAlias: known, commit: () => {} };
    if (this.#aliases.size >= this.#maximum) return { topic, commit: () => {} };
    const topicAlias = this.#aliases.size + 1;
    return { topic, topicAlias, commit: () => this.#aliases.set(topic, topicAlias) };
  }
}
