import fs from "node:fs";
import tls from "node:tls";
import mqttPacket from "mqtt-packet";
import { seededRandom } from "../src/kernel/index.ts";
import { type DeclaredProduct, deviceTopic } from "../src/protocol/index.ts";
import { createTestPki } from "../test/support/device-pki.ts";
import { connectMany, type Device, type Target } from "./mqtt-client.ts";
import { SERVER_CORE, startOurs } from "./mqtt-peers.ts";
import { cpuMsOf, pinMyself } from "./process-figures.ts";
import { report } from "./report.ts";
import { METRICS } from "./telemetry-points.ts";

const CONNECTIONS_AT_ONCE = 20;
/** Long enough for the journal to be fed, and for the parts that came last to be merged. */
const SETTLE_MS = 4_000;
const PUBACK_BYTES = 4;
const MESSAGES_KEPT = 400;

const HUB: DeclaredProduct = {
  product: "hub",
  metrics: METRICS.map((name) => ({ name, type: "number", decimals: 2 })),
  slots: METRICS.map((name, index) => ({ slot: index + 1, name, decimals: 2, from: 0 })),
};

export interface Load {
  connections: number;
  window: number;
  seconds: number;
}

/**
 * Devices over MQTT with mutual TLS, each message with five values and a moment of its own, QoS 1: what
 * is counted is durable. CPU is that of the gateway, the journal, the engine and the rollups.
 */
export async function measureGateway(load: Load): Promise<void> {
  pinMyself(1 - SERVER_CORE);
  for (const [kind, declared] of [
    ["wide rows", HUB],
    ["narrow rows", undefined],
  ] as const) {
    await measure(kind, declared, load);
  }
}

async function measure(
  kind: string,
  declared: DeclaredProduct | undefined,
  load: Load,
): Promise<void> {
  const pki = await createTestPki();
  const certificate = await pki.device("bench", "d-1");
  const server = await startOurs(pki, true, { declared, rollsUp: true });
  const { key, cert } = certificate;
  const target: Target = {
    port: server.port,
    context: tls.createSecureContext({ key, cert }),
    topic: (number) => deviceTopic({ tenantId: "bench", deviceId: `d-${number}` }, "telemetry"),
  };
  const first = 1;
  const devices = await connectMany(target, {
    ...{ first, count: load.connections, concurrency: CONNECTIONS_AT_ONCE, tries: 5 },
  });
  try {
    await publish(target, devices, { ...load, seconds: 3 });
    await pause(SETTLE_MS);
    const [cpuBefore, ownBefore] = [cpuMsOf(server.pid), splitOf(server.pid)];
    const started = performance.now();
    const messages = await publish(target, devices, load);
    const elapsed = (performance.now() - started) / 1_000;
    await pause(SETTLE_MS);
    const cpuMs = cpuMsOf(server.pid) - cpuBefore;
    const own = splitOf(server.pid) - ownBefore;
    const points = messages * METRICS.length;
    const name = `end to end over mTLS MQTT, ${kind}`;
    const goal = 100_000;
    const perCore = points / (cpuMs / 1_000);
    report(`${name}, per busy core`, perCore, "points/s", "goal of 100,000", perCore / goal);
    report(`${name}, per busy core`, perCore, "points/s", "ThingsBoard 4,166", perCore / 4_166);
    report(`${name}, as it went`, points / elapsed, "points/s");
    report(`${name}, CPU of the gateway`, (own * 1_000) / messages, "µs/message");
    report(`${name}, CPU of the engine`, ((cpuMs - own) * 1_000) / messages, "µs/message");
  } finally {
    for (const { socket } of devices) socket.destroy();
    await server.stop();
  }
}

/** CPU of the process alone, without what it has started. */
function splitOf(pid: number): number {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
  const [user, system] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13);
  return (Number(user) + Number(system)) * 10;
}

/** Publishes for a while with a window of messages under way; how many were acknowledged. */
export async function publish(
  target: Target,
  devices: readonly Device[],
  load: Load,
): Promise<number> {
  let acknowledged = 0;
  let running = true;
  for (const [index, { socket }] of devices.entries()) {
    const next = messagesOf(target.topic(1 + index), index);
    let partial = 0;
    const send = (count: number) => {
      socket.write(Buffer.concat(Array.from({ length: count }, next)));
    };
    socket.on("data", (chunk: Buffer) => {
      partial += chunk.length;
      const count = Math.floor(partial / PUBACK_BYTES);
      partial -= count * PUBACK_BYTES;
      acknowledged += count;
      if (running && count > 0) send(count);
    });
    send(load.window);
  }
  await pause(load.seconds * 1_000);
  running = false;
  for (let before = -1; before !== acknowledged; ) {
    before = acknowledged;
    await pause(300);
  }
  for (const { socket } of devices) socket.removeAllListeners("data").resume();
  return acknowledged;
}

/**
 * Messages of one device, a tenth of a second apart; made ready, for the load's own sake. They begin where
 * they are live and not a backlog, and reach as far into the future as is believed.
 */
function messagesOf(topic: string, seed: number): () => Buffer {
  const random = seededRandom(seed + 1);
  const levels = METRICS.map(() => 20 + random.next());
  let ts = Date.now() - 9 * 60_000;
  let seq = 0;
  let messageId = 0;
  let ready: Buffer[] = [];
  return () => {
    if (ready.length === 0) {
      ready = Array.from({ length: MESSAGES_KEPT }, () => {
        ts += 100;
        seq += 1;
        messageId = (messageId % 65_000) + 1;
        const values = Object.fromEntries(
          METRICS.map((name, index) => {
            levels[index] = (levels[index] as number) + random.next() - 0.5;
            return [name, Math.round((levels[index] as number) * 100) / 100];
          }),
        );
        const payload = JSON.stringify({ ts, seq, values });
        const packet = { cmd: "publish", topic, payload, messageId } as const;
        return mqttPacket.generate({ ...packet, qos: 1, dup: false, retain: false }) as Buffer;
      }).reverse();
    }
    return ready.pop() as Buffer;
  };
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
