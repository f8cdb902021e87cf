// The devices of bench/storm.ts: raw MQTT 3.1.1 over TLS, so that the load costs little itself.
import { once } from "node:events";
import tls from "node:tls";
import mqttPacket from "mqtt-packet";

const CONNACK_BYTES = 4;
const PUBACK_BYTES = 4;

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

/** Connects one device and waits for its CONNACK. */
async function connectOne(target: Target, number: number, ticket?: Buffer): Promise<Device> {
  const socket = tls.connect({
    port: target.port,
    host: "127.0.0.1",
    servername: `d-${number}`,
    checkServerIdentity: () => undefined,
    secureContext: target.context,
    ...(ticket ? { session: ticket } : {}),
  });
  const device: Device = { socket, id: `d-${number}`, ticket: undefined, wasResumed: false };
  socket.on("session", (session) => {
    device.ticket = session;
  });
  await once(socket, "secureConnect");
  device.wasResumed = socket.isSessionReused();
  const connect = {
    cmd: "connect",
    clientId: device.id,
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    keepalive: 600,
  } as const;
  socket.write(mqttPacket.generate(connect));
  let answer = Buffer.alloc(0);
  while (answer.length < CONNACK_BYTES) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    answer = Buffer.concat([answer, chunk]);
  }
  if (answer[3] !== 0) throw new Error(`connection refused with code ${answer[3]}`);
  return device;
}

/** Connects devices first to first + count - 1, at most `concurrency` at a time. */
export async function connectMany(
  target: Target,
  options: { first: number; count: number; concurrency: number; tickets?: (Buffer | undefined)[] },
): Promise<Device[]> {
  const devices: Device[] = [];
  let next = 0;
  const worker = async () => {
    while (next < options.count) {
      const index = next++;
      const number = options.first + index;
      devices[index] = await connectOne(target, number, options.tickets?.[index]);
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, worker));
  return devices;
}

/** Publishes from every device with `window` messages unacknowledged; returns how many a second. */
export async function publishFor(
  target: Target,
  devices: readonly Device[],
  options: { first: number; window: number; durationMs: number },
): Promise<number> {
  let acknowledged = 0;
  let running = true;
  const started = performance.now();
  for (const [index, { socket }] of devices.entries()) {
    const packet = publishPacket(target.topic(options.first + index));
    const idOffset = packet.readUInt16BE(packet.byteLength - PAYLOAD.length - 2);
    let messageId = idOffset;
    const send = (count: number) => {
      const packets = Array.from({ length: count }, () => {
        const copy = Buffer.from(packet);
        messageId = (messageId % 65_000) + 1;
        copy.writeUInt16BE(messageId, copy.byteLength - PAYLOAD.length - 2);
        return copy;
      });
      socket.write(packets.length === 1 ? (packets[0] as Buffer) : Buffer.concat(packets));
    };
    let partial = 0;
    socket.on("data", (chunk: Buffer) => {
      partial += chunk.length;
      const count = Math.floor(partial / PUBACK_BYTES);
      partial -= count * PUBACK_BYTES;
      if (!running) return;
      acknowledged += count;
      if (count > 0) send(count);
    });
    send(options.window);
  }
  await new Promise((resolve) => setTimeout(resolve, options.durationMs));
  running = false;
  const seconds = (performance.now() - started) / 1_000;
  await new Promise((resolve) => setTimeout(resolve, 200));
  for (const { socket } of devices) socket.removeAllListeners("data").resume();
  return acknowledged / seconds;
}

/** A sample of ten metrics, about 200 bytes. */
const PAYLOAD = JSON.stringify({
  ts: 1_780_000_000_000,
  seq: 1,
  values: Object.fromEntries(
    Array.from({ length: 10 }, (_, index) => [`metric-${index}`, 20.5 + index]),
  ),
});

function publishPacket(topic: string): Buffer {
  return mqttPacket.generate({
    cmd: "publish",
    topic,
    payload: PAYLOAD,
    qos: 1,
    dup: false,
    retain: false,
    messageId: 1,
  }) as Buffer;
}
