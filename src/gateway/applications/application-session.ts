import { messageOf } from "../../kernel/index.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { storedWill, type Will } from "../packets/will.ts";
import { ConnectionFault, REASON } from "../reason-codes.ts";
import type { SessionState, StoredSubscription } from "../sessions-store.ts";
import type { Application } from "./application.ts";

export interface ClaimedApplication {
  tenantId: string;
  clientKey: string;
  epoch: number;
  resumed: boolean;
  expirySeconds: number;
  state: SessionState;
  will: Will | undefined;
}

/** What is kept of an application's session in PostgreSQL, and how it goes on after its connection. */
export class KeptSession {
  readonly claimed: ClaimedApplication;
  readonly #exchange: Exchange;
  readonly #application: Application;
  #expirySeconds: number;
  #writing: Promise<boolean> | undefined;
  #next: Promise<boolean> | undefined;

  constructor(application: Application, exchange: Exchange, claimed: ClaimedApplication) {
    this.#application = application;
    this.#exchange = exchange;
    this.claimed = claimed;
    this.#expirySeconds = claimed.expirySeconds;
  }

  get isKept(): boolean {
    return this.#expirySeconds > 0;
  }

  /** Makes the state durable as it is at the end of this turn; false where the session is lost. */
  save(): Promise<boolean> {
    if (!this.isKept) return Promise.resolve(true);
    this.#next ??= (this.#writing ?? Promise.resolve(true)).then(() => {
      this.#writing = this.#next;
      this.#next = undefined;
      return this.#write();
    });
    return this.#next;
  }

  /** MQTT 5.0 §3.14.2.2.2: a DISCONNECT may change how long the session stays. */
  changeExpiry(seconds: number, longest: number): void {
    if (seconds > 0 && this.#expirySeconds === 0) {
      throw new ConnectionFault(REASON.protocolError, "the session was to end with the connection");
    }
    this.#expirySeconds = Math.min(seconds, longest);
  }

  /**
   * The connection has ended. A will waits for its delay or for the session's end, whichever comes
   * first (MQTT 5.0 §3.1.3.2.2), and is published by the sweep: so it is durable from here on.
   */
  end(isWillDue: boolean): void {
    const { tenantId, clientKey, epoch, will } = this.claimed;
    const { deps } = this.#application.context;
    const now = deps.clock.now();
    const delaySeconds = Math.min(will?.delaySeconds ?? 0, this.#expirySeconds);
    const at = new Date(now + delaySeconds * 1_000);
    const end = {
      ...{ clientKey, epoch, expirySeconds: this.#expirySeconds },
      expiresAt: new Date(now + this.#expirySeconds * 1_000),
      state: this.#state(),
      ...(will && isWillDue ? { will: { body: storedWill(will), at } } : {}),
    };
    this.#exchange.end(tenantId, end).catch((error) => {
      deps.logger.warn({ error: messageOf(error) }, "the end of a session could not be recorded");
    });
  }

  async #write(): Promise<boolean> {
    const { tenantId, clientKey, epoch } = this.claimed;
    const application = this.#application;
    try {
      if (await this.#exchange.save(tenantId, clientKey, epoch, this.#state())) return true;
      application.takeOver();
    } catch {
      application.fail(new ConnectionFault(REASON.serverBusy, "the session cannot be kept now"));
    }
    return false;
  }

  #state(): SessionState {
    const { subscriptions, outbound, unreleased } = this.#application;
    return {
      subscriptions: [...subscriptions].map(
        ([filter, { qos, identifier, noLocal, retainAsPublished }]): StoredSubscription => ({
          ...{ filter, qos, noLocal, retainAsPublished },
          ...(identifier === undefined ? {} : { identifier }),
        }),
      ),
      inflight: outbound.list(),
      received: [...unreleased],
    };
  }
}
