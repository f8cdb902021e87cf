import { messageOf } from "../kernel/index.ts";
import type { Connection } from "./connection.ts";
import { storedWill, type Will } from "./packets/will.ts";
import { ConnectionFault, REASON } from "./reason-codes.ts";
import type { ClaimedSession, SessionSave, SessionState } from "./sessions-store.ts";

/** The session of one connection: what is kept of it, and whether it outlives the connection. */
export class Session {
  readonly epoch: number;
  readonly isPresent: boolean;
  /** Session Expiry Interval; 0 ends the session with the connection. */
  expirySeconds: number;
  readonly #connection: Connection;
  /** Whether the database keeps more of it than its epoch. */
  readonly #isOnRecord: boolean;
  /** Whether the database has the connection's will, and publishes it if this process dies. */
  readonly isWillArmed: boolean;
  #writing: Promise<boolean> | undefined;
  #next: Promise<boolean> | undefined;

  constructor(
    connection: Connection,
    claimed: ClaimedSession,
    { expirySeconds, hasWill }: { expirySeconds: number; hasWill: boolean },
  ) {
    this.#connection = connection;
    this.epoch = claimed.epoch;
    this.isPresent = claimed.resumed;
    this.expirySeconds = claimed.epoch > 0 ? expirySeconds : 0;
    this.#isOnRecord = this.isKept;
    this.isWillArmed = hasWill && claimed.epoch > 0;
  }

  get isKept(): boolean {
    return this.expirySeconds > 0;
  }

  /**
   * Makes the state durable as it is at the end of this turn. False when it is not: then the
   * connection has been ended, because the session is another's or cannot be written.
   */
  save(): Promise<boolean> {
    if (!this.isKept) return Promise.resolve(true);
    this.#next ??= (this.#writing ?? Promise.resolve(true)).then(() => {
      this.#writing = this.#next;
      this.#next = undefined;
      return this.#write();
    });
    return this.#next;
  }

  /**
   * The connection has ended: the session goes on without it, or ends now. `will` is left where it
   * is to be published; true when it waits with the session, for its delay or for the session's
   * end, whichever comes first.
   */
  end(will?: Will): boolean {
    const { context, peer } = this.#connection;
    if (!this.#isOnRecord && !this.isWillArmed) return false;
    const now = context.deps.clock.now();
    const expiresAt = new Date(now + this.expirySeconds * 1_000);
    // MQTT 5.0 §3.1.3.2.2: as long as its delay says, and no longer than the session.
    const delaySeconds = Math.min(will?.delaySeconds ?? 0, this.expirySeconds);
    const isWillKept = will !== undefined && delaySeconds > 0;
    const ended: SessionSave["ended"] = {
      expirySeconds: this.expirySeconds,
      expiresAt,
      keepsArmed: will !== undefined && !isWillKept,
      ...(isWillKept
        ? { will: { body: storedWill(will), at: new Date(now + delaySeconds * 1_000) } }
        : {}),
    };
    context.sessions
      .save(peer.tenantId, { ...this.#name(), state: this.#state(), ended })
      .catch((error) => {
        const { logger } = context.deps;
        logger.warn({ error: messageOf(error) }, "the end of a session could not be recorded");
      });
    return isWillKept;
  }

  /** The will was published, or could not be stored and is tried again by the sweep. */
  settleWill(isPublished: boolean): void {
    const { context, peer } = this.#connection;
    if (!this.isWillArmed) return;
    context.sessions.settleWill(peer.tenantId, { ...this.#name(), isPublished });
  }

  /** MQTT 5.0 §3.14.2.2.2: a DISCONNECT may change how long the session stays. */
  changeExpiry(seconds: number): void {
    if (seconds > 0 && this.expirySeconds === 0) {
      throw new ConnectionFault(REASON.protocolError, "the session was to end with the connection");
    }
    this.expirySeconds = seconds;
  }

  async #write(): Promise<boolean> {
    const connection = this.#connection;
    if (connection.isClosed) return false;
    const { context, peer } = connection;
    try {
      const save = { ...this.#name(), state: this.#state() };
      if (await context.sessions.save(peer.tenantId, save)) return !connection.isClosed;
      // MQTT 5.0 §3.1.4 [MQTT-3.1.4-3]: the device has connected elsewhere.
      connection.takeOver(true);
    } catch {
      connection.fail(new ConnectionFault(REASON.serverBusy, "the session cannot be kept now"));
    }
    return false;
  }

  #name() {
    return { deviceId: this.#connection.peer.deviceId, epoch: this.epoch };
  }

  #state(): SessionState {
    const { subscriptions, outbound, inbound } = this.#connection;
    return {
      subscriptions: subscriptions.list(),
      inflight: outbound.list(),
      received: inbound.stored(),
    };
  }
}
