import { setTimeout as sleep } from "node:timers/promises";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/logger.ts";
import type { BusMessage } from "./bus.ts";
import { createSealedFrames } from "./sealed-frames.ts";

/** The bus to other machines, as the bus within one: at most once, and nothing waits for it. */
export interface Uplink {
  publish(subject: string, message: BusMessage): void;
  close(): Promise<void>;
}

export interface UplinkOptions {
  /** `nats://` or `tls://`, with user and password, or a token in the user's place, where it needs them. */
  url: string;
  /** 32 bytes that every machine of the installation has, and the broker has not. */
  key: Uint8Array;
  /** Names the installation to the broker, so that several share one. */
  channel: string;
  logger: Logger;
  now: () => number;
  onMessage: (subject: string, message: BusMessage) => void;
  onState: (isConnected: boolean) => void;
}

const RETRY_MS = 1_000;
/** Two pings without an answer: the line is dead. */
const PING_MS = 5_000;
/** What may be on its way to the broker; beyond it messages are dropped, as on a line that is down. */
const MAX_UNSENT_BYTES = 32 * 1024 ** 2;
const COMPLAIN_EVERY_MS = 10_000;
/** Questions to the processes of one machine. */
const STAYS_HERE = /^metrics\./;

/** Connects in the background, again and again; what is said meanwhile is lost. */
export function connectUplink(options: UplinkOptions): Uplink {
  const { logger, channel, onState } = options;
  const frames = createSealedFrames(options.key, options.now);
  const closing = new AbortController();
  let connection: NatsConnection | undefined;
  let isUp = false;
  let unsentBytes = 0;
  let isSettling = false;
  let dropped = 0;
  let complainedAt = Number.NEGATIVE_INFINITY;

  const running = run();
  return {
    publish(subject, message) {
      if (STAYS_HERE.test(subject)) return;
      if (!connection || !isUp || unsentBytes > MAX_UNSENT_BYTES) return drop("is not reached");
      const frame = frames.seal(subject, message);
      if (frame.length > (connection.info?.max_payload ?? 0))
        return drop("takes no such large message");
      send(connection, frame);
    },
    async close() {
      closing.abort();
      if (!connection) return;
      await connection.close();
      await running;
    },
  };

  function send(to: NatsConnection, frame: Buffer): void {
    try {
      to.publish(channel, frame);
      unsentBytes += frame.length;
      if (!isSettling) void settle(to);
    } catch (error) {
      drop(messageOf(error));
    }
  }

  /** The answer to a ping says that everything before it has arrived. */
  async function settle(to: NatsConnection): Promise<void> {
    isSettling = true;
    try {
      while (to === connection && isUp && unsentBytes > 0) {
        const asked = unsentBytes;
        await to.flush();
        unsentBytes = Math.max(0, unsentBytes - asked);
      }
    } catch {
      // The line is gone, and what was on it.
    } finally {
      isSettling = false;
    }
  }

  function drop(why: string): void {
    dropped += 1;
    complain({ dropped, why }, "the bus to other machines lost messages; they look for themselves");
  }

  function complain(details: object, message: string): void {
    const now = performance.now();
    if (now - complainedAt < COMPLAIN_EVERY_MS) return;
    complainedAt = now;
    logger.warn(details, message);
  }

  function setState(isConnected: boolean): void {
    if (isUp === isConnected) return;
    isUp = isConnected;
    onState(isConnected);
    if (isConnected) logger.info({}, "the bus to other machines is connected");
    else if (!closing.signal.aborted) logger.warn({}, "the bus to other machines is away");
  }

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        connection = await connect({ ...addressOf(options.url), ...CONNECT_OPTIONS });
        if (closing.signal.aborted) await connection.close();
        else await serve(connection);
      } catch (error) {
        complain({ error: messageOf(error) }, "the bus to other machines cannot be reached");
      }
      setState(false);
      connection = undefined;
      unsentBytes = 0;
      await sleep(RETRY_MS, undefined, { signal: closing.signal }).catch(() => {});
    }
  }

  /** Until the connection is closed for good. */
  async function serve(to: NatsConnection): Promise<void> {
    to.subscribe(channel, {
      callback: (error, { data }) => {
        const opened = error ? undefined : frames.open(data);
        if (opened) options.onMessage(opened.subject, opened.message);
      },
    });
    setState(true);
    void follow(to);
    const failure = await to.closed();
    if (failure) throw failure;
  }

  async function follow(to: NatsConnection): Promise<void> {
    for await (const status of to.status()) {
      if (status.type === "disconnect") setState(false);
      if (status.type === "reconnect") {
        unsentBytes = 0;
        setState(true);
      }
    }
  }
}

const CONNECT_OPTIONS = {
  ...{ name: "vautn", noEcho: true, pingInterval: PING_MS, maxPingOut: 2, timeout: 5_000 },
  ...{ maxReconnectAttempts: -1, reconnectTimeWait: RETRY_MS, ignoreAuthErrorAbort: true },
};

function addressOf(text: string) {
  const { protocol, host, username, password } = new URL(text);
  const [user, pass] = [decodeURIComponent(username), decodeURIComponent(password)];
  const credentials = pass ? { user, pass } : user ? { token: user } : {};
  return { servers: host, ...credentials, ...(protocol === "tls:" ? { tls: {} } : {}) };
}
