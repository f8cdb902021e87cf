// Devices of bench/commands.ts, as lean as can be: they connect, subscribe to their commands, and
// acknowledge each. How old a command is when it arrives is told by the command itself.
import tls from "node:tls";
import mqttPacket from "mqtt-packet";
import { deviceTopic } from "../src/protocol/index.ts";
import { connectMany } from "./mqtt-client.ts";

export interface ClientOrder {
  port: number;
  key: string;
  cert: string;
  ca: string;
  first: number;
  count: number;
  /** Whether each device says in the end that it has done what it was told. */
  answers: boolean;
}

export type ClientNews = { kind: "ready" } | { kind: "arrived"; latenciesMs: number[] };

const CONCURRENT_CONNECTS = 16;
const CONNECT_TRIES = 30;
const REPORT_EVERY_MS = 250;
const TYPE_PUBLISH = 3;
const TYPE_SUBACK = 9;

let latenciesMs: number[] = [];
let isAnswering = false;
let lastPacketId = 0;

process.once("message", async ({ port, first, count, answers, ...credentials }: ClientOrder) => {
  isAnswering = answers;
  const context = tls.createSecureContext(credentials);
  const devices = await connectMany(
    { port, context, topic: topicOf },
    { first, count, concurrency: CONCURRENT_CONNECTS, tries: CONNECT_TRIES },
  );
  await Promise.all(devices.map(({ socket }, index) => listen(socket, first + index)));
  tell({ kind: "ready" });
  setInterval(() => {
    if (latenciesMs.length === 0) return;
    tell({ kind: "arrived", latenciesMs });
    latenciesMs = [];
  }, REPORT_EVERY_MS);
});
process.once("disconnect", () => process.exit());

function tell(news: ClientNews): void {
  process.send?.(news);
}

function topicOf(number: number): string {
  return deviceTopic({ tenantId: "bench", deviceId: `d-${number}` }, "commands");
}

function listen(socket: tls.TLSSocket, number: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let rest: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let size = packetSize(rest); size > 0; size = packetSize(rest)) {
      const packet = rest.subarray(0, size);
      rest = rest.subarray(size);
      const type = (packet[0] as number) >> 4;
      if (type === TYPE_SUBACK) resolve();
      else if (type === TYPE_PUBLISH) take(socket, packet);
    }
  });
  const subscriptions = [{ topic: topicOf(number), qos: 1 as const }];
  socket.write(mqttPacket.generate({ cmd: "subscribe", messageId: 1, subscriptions }));
  return promise;
}

/** Length of the first packet, 0 where it is not whole. */
function packetSize(bytes: Buffer): number {
  const { end, length } = remainingLength(bytes);
  return end > 0 && end + length <= bytes.length ? end + length : 0;
}

/** MQTT 3.1.1 §2.2.3: up to four bytes of seven bits each. */
function remainingLength(bytes: Buffer): { end: number; length: number } {
  let length = 0;
  for (let index = 1; index < Math.min(5, bytes.length); index += 1) {
    const byte = bytes[index] as number;
    length += (byte & 0x7f) * 128 ** (index - 1);
    if (byte < 0x80) return { end: index + 1, length };
  }
  return { end: 0, length: 0 };
}

function take(socket: tls.TLSSocket, packet: Buffer): void {
  const { end } = remainingLength(packet);
  const topicEnd = end + 2 + packet.readUInt16BE(end);
  const at = /"at":(\d+)/.exec(packet.toString("latin1", topicEnd + 2))?.[1];
  latenciesMs.push(Number(process.hrtime.bigint() / 1_000n - BigInt(at ?? 0)) / 1_000);
  socket.write(Buffer.from([0x40, 2, packet[topicEnd] as number, packet[topicEnd + 1] as number]));
  if (isAnswering) answer(socket, packet.toString("latin1", end + 2, topicEnd), packet);
}

function answer(socket: tls.TLSSocket, topic: string, packet: Buffer): void {
  const id = /"id":"([^"]+)"/.exec(packet.toString("latin1"))?.[1];
  lastPacketId = (lastPacketId % 60_000) + 1;
  socket.write(
    mqttPacket.generate({
      ...{ cmd: "publish", qos: 1, dup: false, retain: false, messageId: lastPacketId },
      topic: `${topic}/${id}/result`,
      payload: JSON.stringify({ status: "succeeded", output: { ok: true } }),
    }),
  );
}
