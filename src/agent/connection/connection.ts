import { type Clock, messageOf, type Random, sleep } from "../../kernel/index.ts";
import { IdentityRefused } from "../identity/identity-refused.ts";
import type {
  ConnectOptions,
  PublishOptions,
  Session,
  SessionHandlers,
  Transport,
} from "../ports.ts";
import { fullJitter } from "./back-off.ts";

export interface ConnectionOptions {
  /** Bounds of the delay before an attempt to connect again. */
  backOff: { baseMs: number; capMs: number };
  connectTimeoutMs: number;
  /** A publish without acknowledgement for so long means a dead connection. */
  publishTimeoutMs: number;
}

export const CONNECTION_DEFAULTS: ConnectionOptions = {
  backOff: { baseMs: 2_000, capMs: 120_000 },
  connectTimeoutMs: 30_000,
  publishTimeoutMs: 30_000,
};

export interface ConnectionDeps {
  transport: Transport;
  clock: Clock;
  random: Random;
  options: ConnectionOptions;
  life: AbortSignal;
  onMessage: SessionHandlers["onMessage"];
  /** Asked before each attempt. */
  connectOptions?(): ConnectOptions;
  onConnected(): void;
  /** The platform does not accept the certificate, or for its renewal only. */
  onRefused?(error: IdentityRefused): void;
  onProblem(message: string): void;
}

/** Keeps one session with the platform alive, with full jitter between attempts. */
export class Connection {
  readonly #deps: ConnectionDeps;
  #session: Session | undefined;
  #waiting: (() => void)[] = [];
  #running: Promise<void> | undefined;
  #losses = 0;
  /** Work during which no attempt is made. */
  #exclusive: Promise<unknown> | undefined;
  #hurry: () => void = () => {};
  #isHurried = false;

  constructor(deps: ConnectionDeps) {
    this.#deps = deps;
  }

  /** Connects after up to `spreadMs`, so that a fleet does not come at once. */
  start(spreadMs = 0): void {
    this.#running = this.#run(spreadMs).catch((error) => {
      if (!this.#deps.life.aborted) this.#deps.onProblem(`connection: ${messageOf(error)}`);
    });
  }

  get isConnected(): boolean {
    return this.#session !== undefined;
  }

  /** Times that a connection was lost since the boot. */
  get losses(): number {
    return this.#losses;
  }

  /** Resolves when there is a session; rejects with the signal's reason. */
  whenConnected(signal: AbortSignal): Promise<void> {
    if (this.#session) return Promise.resolve();
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(() => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      });
    });
  }

  /** Resolves when the platform has acknowledged; rejects when offline, refused or lost. */
  async publish(topic: string, payload: string, options?: PublishOptions): Promise<void> {
    const session = this.#session;
    if (!session) throw new Error("there is no connection");
    const limit = new AbortController();
    const timeout = sleep(this.#deps.clock, this.#deps.options.publishTimeoutMs, limit.signal).then(
      () => "late" as const,
      () => "done" as const,
    );
    try {
      const outcome = await Promise.race([session.publish(topic, payload, options), timeout]);
      if (outcome === "late") {
        await session.close();
        throw new Error("the platform did not acknowledge in time");
      }
    } finally {
      limit.abort();
    }
  }

  /**
   * Carries work out that opens a session of its own: a device has one at a time, and an attempt
   * meanwhile would end it. The present session is left alone.
   */
  async exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = work();
    this.#exclusive = done.catch(() => {
      // The caller hears of it.
    });
    try {
      return await done;
    } finally {
      this.#exclusive = undefined;
    }
  }

  /** Ends the session, if there is one, and connects again at once. */
  async reconnect(): Promise<void> {
    this.#isHurried = true;
    await this.#session?.close();
    this.#hurry();
  }

  /** Resolves when the session is closed and no other will be opened; `life` must have ended. */
  async stop(): Promise<void> {
    await this.#session?.close();
    await this.#running;
  }

  /** Lets the session go without waiting; `life` must have ended. */
  drop(): void {
    this.#session?.close().catch(() => {
      // There is nothing left to close.
    });
  }

  async #run(spreadMs: number): Promise<void> {
    const { clock, random, life, options } = this.#deps;
    if (spreadMs > 0) await sleep(clock, random.next() * spreadMs, life);
    for (let attempt = 0; !life.aborted; attempt += 1) {
      try {
        await this.#holdSession(() => {
          attempt = 0;
        });
      } catch (error) {
        if (life.aborted) return;
        this.#deps.onProblem(`cannot connect: ${messageOf(error)}`);
        if (error instanceof IdentityRefused) this.#deps.onRefused?.(error);
      }
      if (life.aborted) return;
      await this.#pause(fullJitter(random, attempt, options.backOff));
    }
  }

  /** Waits, unless a reconnect is wanted, and in any case for exclusive work to end. */
  async #pause(delayMs: number): Promise<void> {
    const { clock, life } = this.#deps;
    const hurry = new AbortController();
    this.#hurry = () => hurry.abort();
    if (!this.#isHurried) {
      await sleep(clock, delayMs, AbortSignal.any([life, hurry.signal])).catch(() => {
        // Told to hurry, or to end, which the caller looks at.
      });
    }
    this.#isHurried = false;
    while (this.#exclusive && !life.aborted) await this.#exclusive;
  }

  /** Resolves when a session that was established has ended. */
  async #holdSession(onEstablished: () => void): Promise<void> {
    const { transport, clock, life, options, onMessage } = this.#deps;
    const limit = new AbortController();
    const timer = clock.after(options.connectTimeoutMs, () =>
      limit.abort(new Error("no connection within the time allowed")),
    );
    let tellClosed: (reason: string) => void = () => {};
    const closed = new Promise<string>((resolve) => {
      tellClosed = resolve;
    });
    try {
      const session = await transport.connect(
        { onMessage, onClose: (reason) => tellClosed(reason) },
        AbortSignal.any([life, limit.signal]),
        this.#deps.connectOptions?.(),
      );
      if (life.aborted) return void (await session.close());
      this.#session = session;
    } finally {
      timer.cancel();
    }
    onEstablished();
    for (const resolve of this.#waiting.splice(0)) resolve();
    this.#deps.onConnected();
    const reason = await closed;
    this.#session = undefined;
    this.#losses += 1;
    if (!life.aborted) this.#deps.onProblem(`connection lost: ${reason}`);
  }
}
