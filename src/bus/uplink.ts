import type { Socket } from "node:net";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { connect, type NatsConnection, PermissionViolationError } from "@nats-io/transport-node";
import { messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/logger.ts";
import { type BusMessage, subjects } from "./bus.ts";
import { FloodGuard } from "./flood-guard.ts";
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
  /** `flood`: that it was left for a while since it brings what nobody here believes. */
  onState: (isConnected: boolean, flood: Flood) => void;
}

export interface Flood {
  isOn: boolean;
  /** How often it was left so. */
  times: number;
}

const RETRY_MS = 1_000;
/** How long a server is left that floods: what it costs is bounded by what is read before that is seen. */
const FLOOD_REST_MS = 10_000;
const LOOK_MS = 1_000;
/** The client's own bound of a message. */
const MAX_FRAME_BYTES = 64 * 1024 ** 2;
/** Two pings without an answer: the line is dead. */
const PING_MS = 5_000;
/** What may be on its way to the broker; beyond it messages are dropped, as on a line that is down. */
const MAX_UNSENT_BYTES = 32 * 1024 ** 2;
const COMPLAIN_EVERY_MS = 10_000;
/** Questions to the processes of one machine. */
const STAYS_HERE = /^metrics\./;
/** What gateways find in the stores where they are told that they have missed something. */
const OF_DEVICES = /^device\./;

/** Connects in the background, again and again; what is said meanwhile is lost. */
export function connectUplink(options: UplinkOptions): Uplink {
  const { logger, channel, onState } = options;
  let untimely = 0;
  const frames = createSealedFrames(options.key, options.now, (ms) => {
    untimely += 1;
    complain({ ms }, "a message of another machine is of another time: compare their clocks");
  });
  const closing = new AbortController();
  let connection: NatsConnection | undefined;
  let isUp = false;
  let unsentBytes = 0;
  let settling: NatsConnection | undefined;
  let dropped = 0;
  let owesNews = false;
  let flood: Flood = { isOn: false, times: 0 };
  let toldFlood = flood;
  const complainedAt = new Map<string, number>();

  const running = run();
  return {
    publish(subject, message) {
      if (STAYS_HERE.test(subject)) return;
      const why = send(subject, message);
      if (why === undefined) return;
      dropped += 1;
      complain({ dropped, why }, "the bus to other machines lost messages");
      if (!OF_DEVICES.test(subject)) return;
      owesNews = true;
      tellLost();
    },
    async close() {
      closing.abort();
      if (!connection) return;
      await connection.close();
      await running;
    },
  };

  /** Why it cannot be sent, if so. */
  function send(subject: string, message: BusMessage): string | undefined {
    if (!connection || !isUp) return "is not reached";
    if (Math.max(unsentBytes, unwrittenBytes(connection)) > MAX_UNSENT_BYTES)
      return "does not keep up";
    const frame = frames.seal(subject, message);
    if (frame.length > (connection.info?.max_payload ?? 0)) return "takes no such large message";
    try {
      connection.publish(channel, frame);
    } catch (error) {
      return messageOf(error);
    }
    unsentBytes += frame.length;
    if (settling !== connection) void settle(connection);
    return undefined;
  }

  /** As soon as they are reached, the others hear that they have to look for themselves. */
  function tellLost(): void {
    if (owesNews && send(subjects.lost, {}) === undefined) owesNews = false;
  }

  /** The answer to a ping says that everything before it has arrived. */
  async function settle(to: NatsConnection): Promise<void> {
    settling = to;
    try {
      while (to === connection && isUp && unsentBytes > 0) {
        const asked = unsentBytes;
        await to.flush();
        unsentBytes = Math.max(0, unsentBytes - asked);
        tellLost();
      }
    } catch {
      // The line is gone, and what was on it.
    } finally {
      if (settling === to) settling = undefined;
    }
  }

  function complain(details: object, message: string): void {
    const now = performance.now();
    if (now - (complainedAt.get(message) ?? Number.NEGATIVE_INFINITY) < COMPLAIN_EVERY_MS) return;
    complainedAt.set(message, now);
    logger.warn(details, message);
  }

  function setState(isConnected: boolean): void {
    // What was on its way has perhaps not arrived.
    if (unsentBytes > 0) owesNews = true;
    unsentBytes = 0;
    if (isUp === isConnected && toldFlood === flood) return;
    const isChange = isUp !== isConnected;
    isUp = isConnected;
    toldFlood = flood;
    onState(isConnected, flood);
    if (!isChange) return;
    if (isConnected) logger.info({}, "the bus to other machines is connected");
    else if (!closing.signal.aborted) logger.warn({}, "the bus to other machines is away");
    tellLost();
  }

  function connected(): void {
    if (flood.isOn) flood = { ...flood, isOn: false };
    setState(true);
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
      const restMs = flood.isOn ? FLOOD_REST_MS : RETRY_MS;
      await sleep(restMs, undefined, { signal: closing.signal }).catch(() => {});
    }
  }

  /** Until the connection is closed for good, or the server does not let messages through. */
  async function serve(to: NatsConnection): Promise<void> {
    let refusal: Error | undefined;
    let isGone = false;
    const refuse = (error: Error) => {
      refusal ??= error;
      isGone = true;
      void to.close();
    };
    const largest = Math.min(to.info?.max_payload ?? 0, MAX_FRAME_BYTES);
    const guard = new FloodGuard(largest, (what) => {
      flood = { isOn: true, times: flood.times + 1 };
      refuse(new Error(`the server sends ${what}, and is left for ${FLOOD_REST_MS / 1_000} s`));
    });
    const looks = setInterval(() => guard.look(socketOf(to)?.bytesRead ?? 0), LOOK_MS);
    const follow = async () => {
      for await (const status of to.status()) {
        if (status.type === "error" && status.error instanceof PermissionViolationError) {
          refuse(status.error);
        }
        if (status.type !== "disconnect" && status.type !== "reconnect") continue;
        isGone = status.type === "disconnect";
        if (isGone) setState(false);
        else connected();
      }
      isGone = true;
    };
    to.subscribe(channel, {
      callback: (error, { data }) => {
        if (error) return refuse(error);
        if (guard.isFlooded) return;
        const untimelyBefore = untimely;
        const opened = frames.open(data);
        if (!opened) return guard.refuse({ isUntimely: untimely > untimelyBefore });
        guard.believe(data.length);
        options.onMessage(opened.subject, opened.message);
      },
    });
    void follow();
    // Nobody makes anything of it: a server that forbids it, or the subscription, says so before it answers.
    to.publish(channel);
    const asked = to.flush().then(nextTurn);
    await Promise.race([asked, to.closed()]).catch(() => {});
    if (!isGone) connected();
    const failure = (await to.closed()) ?? refusal;
    clearInterval(looks);
    if (failure) throw failure;
  }
}

/**
 * What waits in the socket. The client does not tell, and answers to its pings prove nothing: a server can send
 * them without reading what came before.
 */
function unwrittenBytes(connection: NatsConnection): number {
  return socketOf(connection)?.writableLength ?? 0;
}

function socketOf(connection: NatsConnection): Socket | undefined {
  const { protocol } = connection as { protocol?: { transport?: { socket?: Socket } } };
  return protocol?.transport?.socket;
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
