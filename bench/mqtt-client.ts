// The devices of bench/mqtt.ts: raw MQTT 3.1.1 over TLS, so that the load costs little itself.
import { once } from "node:events";
import tls from "node:tls";
import mqttPacket from "mqtt-packet";

const CONNACK_BYTES = 4;
const PUBACK_BYTES = 4;
/** One loopback address has fewer ports than a big run has connections. */
const CONNECTIONS_PER_ADDRESS = 10_000;
const PINGREQ = Buffer.from([0xc0, 0]);
const PINGRESP = 0xd0;
const PUBACK = 0x40;
/** QoS 0 messages that go out in one write. */
const BURST = 20;

export interface Device {
  socket: tls.TLSSocket;
  id: string;
  ticket: Buffer | undefined;
  wasResumed: boolean;
}

export interface Target {
  port: number;
  context: tls.SecureContext;
  /** Where device number n publishes. */
  topic(number: number): string;
}

export interface ConnectOptions {
  ticket?: Buffer | undefined;
  /** A device gives up after a while: without it one waits for as long as the kernel asks. */
  patienceMs?: number;
}

/** Connects one device and waits for its CONNACK. */
export async function connectOne(
  target: Target,
  number: number,
  { ticket, patienceMs }: ConnectOptions = {},
): Promise<Device> {
  // Node's types do not know that a TLS connection may choose its own address, too.
  const options: tls.ConnectionOptions & { localAddress: string } = {
    port: target.port,
    host: "127.0.0.1",
    localAddress: `127.0.1.${1 + Math.floor(number / CONNECTIONS_PER_ADDRESS)}`,
    servername: `d-${number}`,
    // Who the server is has been seen often enough: the generator's core is for the load.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
    secureContext: target.context,
    ...(ticket ? { session: ticket } : {}),
  };
  const socket = tls.connect(options);
  const device: Device = { socket, id: `d-${number}`, ticket: undefined, wasResumed: false };
  socket.on("session", (session) => {
    device.ticket = session;
  });
  // A server that closes says no error: without this a device that is sent away would wait for ever.
  const ended = once(socket, "close").then(() => Promise.reject(new Error("closed by the server")));
  ended.catch(() => {});
  const patience = patienceMs && setTimeout(() => socket.destroy(), patienceMs);
  try {
    await established(device, ended);
    return device;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(patience);
  }
}

async function established(device: Device, ended: Promise<never>): Promise<void> {
  const { socket } = device;
  await Promise.race([once(socket, "secureConnect"), ended]);
  device.wasResumed = socket.isSessionReused();
  const connect = {
    cmd: "connect",
    clientId: device.id,
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    keepalive: 1_200,
  } as const;
  socket.write(mqttPacket.generate(connect));
  let answer = Buffer.alloc(0);
  while (answer.length < CONNACK_BYTES) {
    const [chunk] = (await Promise.race([once(socket, "data"), ended])) as [Buffer];
    answer = Buffer.concat([answer, chunk]);
  }
  if (answer[3] !== 0) throw new Error(`connection refused with code ${answer[3]}`);
}

/** Connects devices first to first + count - 1, at most `concurrency` at a time. */
export async function connectMany(
  target: Target,
  options: {
    first: number;
    count: number;
    concurrency: number;
    tickets?: (Buffer | undefined)[];
    /** A server that is busy may turn a device away; it comes again. */
    tries?: number;
    /** Of one try. */
    patienceMs?: number;
  },
): Promise<Device[]> {
  const devices: Device[] = [];
  let next = 0;
  const worker = async () => {
    while (next < options.count) {
      const index = next++;
      const number = options.first + index;
      const ticket = options.tickets?.[index];
      const { patienceMs } = options;
      const connect = () =>
        connectOne(target, number, { ticket, ...(patienceMs ? { patienceMs } : {}) });
      devices[index] = await tried(connect, options.tries ?? 1);
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, worker));
  return devices;
}

async function tried<T>(work: () => Promise<T>, tries: number): Promise<T> {
  for (let left = tries - 1; ; left -= 1) {
    try {
      return await work();
    } catch (error) {
      if (left <= 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 + Math.random() * 1_000));
    }
  }
}

/** Publishes with `window` QoS 1 messages unacknowledged; how many were acknowledged. */
export async function publishFor(
  target: Target,
  devices: readonly Device[],
  options: { first: number; window: number; durationMs: number },
): Promise<number> {
  let acknowledged = 0;
  let running = true;
  for (const [index, { socket }] of devices.entries()) {
    const packet = publishPacket(target.topic(options.first + index), 1);
    const idOffset = packet.length - PAYLOAD.length - 2;
    let messageId = 0;
    const send = (count: number) => {
      const packets = Array.from({ length: count }, () => {
        const copy = Buffer.from(packet);
        messageId = (messageId % 65_000) + 1;
        copy.writeUInt16BE(messageId, idOffset);
        return copy;
      });
      socket.write(packets.length === 1 ? (packets[0] as Buffer) : Buffer.concat(packets));
    };
    let partial = 0;
    socket.on("data", (chunk: Buffer) => {
      partial += chunk.length;
      const count = Math.floor(partial / PUBACK_BYTES);
      partial -= count * PUBACK_BYTES;
      acknowledged += count;
      if (running && count > 0) send(count);
    });
    send(options.window);
  }
  await new Promise((resolve) => setTimeout(resolve, options.durationMs));
  running = false;
  // What is under way is work of the server, too, and is counted.
  for (let before = -1; before !== acknowledged; ) {
    before = acknowledged;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  for (const { socket } of devices) socket.removeAllListeners("data").resume();
  return acknowledged;
}

/** Sends `each` QoS 0 messages from every device, and waits until the server has read them. */
export async function burst(
  target: Target,
  devices: readonly Device[],
  options: { first: number; each: number },
): Promise<number> {
  const sendAll = async ({ socket }: Device, index: number) => {
    const packet = publishPacket(target.topic(options.first + index), 0);
    const bytes = Buffer.concat(Array.from({ length: BURST }, () => packet));
    // What follows the messages is answered when they have been read.
    const answered = new Promise<void>((resolve) => {
      socket.on("data", (chunk: Buffer) => chunk.at(-2) === PINGRESP && resolve());
    });
    for (let sent = 0; sent < options.each; sent += BURST) {
      if (!socket.write(bytes)) await once(socket, "drain");
    }
    socket.write(PINGREQ);
    await answered;
    socket.removeAllListeners("data").resume();
  };
  await Promise.all(devices.map(sendAll));
  return devices.length * Math.ceil(options.each / BURST) * BURST;
}

/**
 * Waits until a message that is sent now is acknowledged. By then the server has stored what came
 * before it; without this the next measurement would pay for the last one's backlog.
 */
export async function drained(
  target: Target,
  probe: { device: Device; number: number },
): Promise<void> {
  const packet = publishPacket(target.topic(probe.number), 1);
  for (;;) {
    const { socket } = probe.device;
    const isStored = await new Promise<boolean>((resolve) => {
      socket.once("data", (chunk: Buffer) => resolve(chunk[0] === PUBACK));
      socket.once("close", () => resolve(false));
      if (socket.destroyed) resolve(false);
      else socket.write(packet);
    });
    if (isStored) return;
    // Sent away, for a store took too long: it has to ask again.
    socket.destroy();
    probe.device = await connectOne(target, probe.number);
  }
}

/** A sample of ten metrics, about 200 bytes. */
const PAYLOAD = JSON.stringify({
  ts: Date.now(),
  seq: 1,
  values: Object.fromEntries(
    Array.from({ length: 10 }, (_, index) => [`metric-${index}`, 20.5 + index]),
  ),
});

function publishPacket(topic: string, qos: 0 | 1): Buffer {
  return mqttPacket.generate({
    cmd: "publish",
    topic,
    payload: PAYLOAD,
    qos,
    dup: false,
    retain: false,
    messageId: 1,
  }) as Buffer;
}
