import mqttPacket, { type Packet } from "mqtt-packet";
import { readConnect, readPacket } from "../../src/gateway/codec.ts";
import { Framer } from "../../src/gateway/framer.ts";
import { ConnectionFault } from "../../src/gateway/reason-codes.ts";
import { seededRandom } from "../../src/kernel/index.ts";

const MAX_PACKET_BYTES = 256 * 1024;

const SAMPLES: Packet[] = [
  {
    ...{ cmd: "connect", clientId: "c", protocolId: "MQTT", protocolVersion: 5, clean: true },
    keepalive: 1,
    will: { topic: "t", payload: Buffer.from("p"), qos: 1, retain: false },
    properties: { receiveMaximum: 5, userProperties: { a: "b" } },
  },
  {
    ...{
      cmd: "publish",
      topic: "tenants/a/devices/b/telemetry",
      payload: "{}",
      qos: 2,
      dup: false,
    },
    ...{ retain: true, messageId: 3 },
    properties: { topicAlias: 2, messageExpiryInterval: 9, correlationData: Buffer.from([1, 2]) },
  },
  { cmd: "subscribe", messageId: 7, subscriptions: [{ topic: "a/+/#", qos: 1, nl: true, rh: 1 }] },
  { cmd: "unsubscribe", messageId: 8, unsubscriptions: ["a/b", "c"] },
  { cmd: "pubrel", messageId: 9, reasonCode: 0x92 },
  { cmd: "disconnect", reasonCode: 4, properties: { sessionExpiryInterval: 9 } },
  { cmd: "auth", reasonCode: 0x18, properties: { authenticationMethod: "m" } },
  { cmd: "pingreq" },
];

export interface FuzzReport {
  seed: number;
  runs: number;
  /** Packets that were understood although they had been changed. */
  understood: number;
  refused: number;
}

/**
 * Feeds changed packets through framer and codec, in pieces as a network cuts them. Throws at the
 * first answer that is neither a packet nor a ConnectionFault, and where a framer keeps more than
 * it may; the message tells seed and run.
 */
export function fuzzCodec(seed: number, runs: number): FuzzReport {
  const random = seededRandom(seed);
  const below = (limit: number) => Math.floor(random.next() * limit);
  const samples = ([4, 5] as const).flatMap((version) =>
    SAMPLES.filter(({ cmd }) => version === 5 || cmd !== "auth").map((packet) => {
      const options = { protocolVersion: version };
      const asked = packet.cmd === "connect" ? { ...packet, ...options } : packet;
      return { version, bytes: Buffer.from(mqttPacket.generate(asked as Packet, options)) };
    }),
  );
  const report: FuzzReport = { seed, runs, understood: 0, refused: 0 };
  for (let run = 0; run < runs; run += 1) {
    const { version, bytes } = samples[below(samples.length)] as (typeof samples)[number];
    const stream = change(bytes, below);
    try {
      report.understood += feed(stream, version, below);
    } catch (error) {
      if (error instanceof ConnectionFault) report.refused += 1;
      else {
        const what = `seed ${seed}, run ${run}, bytes ${stream.toString("hex").slice(0, 400)}`;
        throw new Error(what, { cause: error });
      }
    }
  }
  return report;
}

/** Flips, cuts, doubles, or lies about the length. */
function change(original: Buffer, below: (limit: number) => number): Buffer {
  const bytes = Buffer.from(original);
  for (let time = below(4); time > 0; time -= 1) bytes[below(bytes.length)] = below(256);
  switch (below(6)) {
    case 0:
      return bytes.subarray(0, 1 + below(bytes.length));
    case 1:
      return Buffer.concat([bytes, bytes.subarray(below(bytes.length))]);
    case 2:
      return Buffer.concat([bytes.subarray(0, 1), Buffer.from([255, 255, 255, below(256)]), bytes]);
    case 3:
      return Buffer.from(Array.from({ length: 1 + below(64) }, () => below(256)));
    default:
      return bytes;
  }
}

function feed(stream: Buffer, version: 4 | 5, below: (limit: number) => number): number {
  const framer = new Framer();
  let understood = 0;
  for (let offset = 0; offset < stream.length; ) {
    const size = 1 + below(32);
    framer.push(stream.subarray(offset, offset + size));
    offset += size;
    for (let next = framer.next(MAX_PACKET_BYTES); next; next = framer.next(MAX_PACKET_BYTES)) {
      if ((next[0] as number) >> 4 === 1) readConnect(next);
      else readPacket(next, version);
      understood += 1;
    }
    if (framer.size > MAX_PACKET_BYTES) throw new Error("the framer keeps too much");
  }
  return understood;
}
