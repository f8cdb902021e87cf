import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Gateway, startGateway } from "../../src/gateway/index.ts";
import { metricsRegistry } from "../../src/kernel/metrics.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { RawClient, until } from "../support/gateway.ts";
import {
  createRealModules,
  type EnrolledDevice,
  type RealModules,
} from "../support/real-modules.ts";

const PATIENCE_MS = 60_000;
const ROOM = 512 * 1024;
const SIZE = 64 * 1024;
const DEVICES = ["d-1", "d-2", "d-3", "d-4", "d-5"] as const;

let real: RealModules;
/** Waits for its stores as long as the test may take. */
let patient: Gateway;
let devices: Record<string, EnrolledDevice>;
let owner: pg.Client;
const clients: RawClient[] = [];

beforeAll(async () => {
  real = await createRealModules();
  patient = await start("patient", 10 * PATIENCE_MS);
  const enrolled = await Promise.all(DEVICES.map((id) => real.enroll(id)));
  devices = Object.fromEntries(DEVICES.map((id, index) => [id, enrolled[index]])) as never;
  owner = new pg.Client({ connectionString: real.test.ownerUrl });
  await owner.connect();
}, 120_000);
afterEach(() => {
  process.kill(real.enginePid(), "SIGCONT");
  for (const client of clients.splice(0)) client.destroy();
});
afterAll(async () => {
  await owner?.end();
  await patient?.close();
  await real?.close();
});

function start(gatewayId: string, storePatienceMs: number): Promise<Gateway> {
  const limits = { inboundInflight: 20, inboundBytes: ROOM, lagMs: 300, storePatienceMs };
  const listen = { port: 0, bindAddress: "127.0.0.1" };
  return startGateway({ ...real.modules, ...listen, gatewayId, limits });
}

/**
 * With a gateway that sends devices away. It ends with the test: the figures of `/metrics` are the
 * process's, so that those of an idle gateway beside it would hide what the other one holds.
 */
async function withImpatient(work: (impatient: Gateway) => Promise<void>): Promise<void> {
  const impatient = await start("impatient", 500);
  await work(impatient).finally(() => impatient.close());
}

async function connect(gateway: Gateway, device: string, version: 4 | 5 = 5): Promise<RawClient> {
  const client = await RawClient.connect(gateway.port, devices[device] as EnrolledDevice, {
    protocolVersion: version,
  });
  clients.push(client);
  return client;
}

interface Sent {
  seq: number;
  qos?: 0 | 1;
  sizeBytes?: number;
  dup?: boolean;
}

/** A sample whose value is its number; spaces make it as large as it is to be. */
function sample(device: string, { seq, qos = 1, sizeBytes = 0, dup = false }: Sent) {
  const payload = JSON.stringify({ ts: START + seq, seq, values: { number: seq } });
  return {
    ...({ cmd: "publish", qos, dup, retain: false, payload: payload.padEnd(sizeBytes) } as const),
    topic: `tenants/acme/devices/${device}/telemetry`,
    ...(qos === 0 ? {} : { messageId: seq }),
  };
}
const START = Date.now() - 60_000;

function heartbeat(device: string, messageId: number, dup = false) {
  const firmware = { version: "1.0.0", hash: "0".repeat(64), slot: "a" };
  const body = { ts: Date.now(), seq: messageId, bootId: "b", uptimeSeconds: 1, firmware };
  return {
    ...({ cmd: "publish", qos: 1, dup, retain: false, messageId } as const),
    topic: `tenants/acme/devices/${device}/heartbeat`,
    payload: JSON.stringify(body),
  };
}

/** How often each number of a device is on record. */
async function stored(deviceId: string): Promise<Map<number, number>> {
  const query = { deviceId, metric: "number", from: START, to: START + 10_000, maxPoints: 10_000 };
  const buckets = await real.modules.telemetry.series("acme", query);
  return new Map(buckets.map(({ min, count }) => [min, count]));
}

async function figure(name: string, labels: Record<string, string> = {}): Promise<number> {
  const metric = await metricsRegistry.getSingleMetric(`vautn_gateway_${name}`)?.get();
  const wanted = Object.entries(labels);
  const found = metric?.values.find((value) =>
    wanted.every(([key, is]) => value.labels[key] === is),
  );
  return found?.value ?? 0;
}

/** PUBACKs that have come, in their order. */
function acknowledged(client: RawClient): number[] {
  return client.received.flatMap((packet) => {
    if (packet.cmd !== "puback") return [];
    expect(packet.reasonCode ?? 0).toBe(0);
    return [packet.messageId as number];
  });
}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe("an engine that is stopped", () => {
  it("makes its devices wait: nothing is acknowledged, little is held, all is kept", async () => {
    const client = await connect(patient, "d-1", 4);
    const listener = await connect(patient, "d-2");
    const topic = "tenants/acme/devices/d-2/commands";
    listener.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos: 1 }] });
    await listener.next("suback");
    process.kill(real.enginePid(), "SIGSTOP");
    // MQTT 3.1.1 bounds a sender by nothing but the socket: 13 MB, more than any buffer holds.
    const all = numbers(200);
    for (const seq of all) client.send(sample("d-1", { seq, sizeBytes: SIZE }));
    await until(async () => (await figure("waiting_bytes")) > 0, PATIENCE_MS);
    // The other store's devices are served meanwhile.
    const order = { deviceIds: ["d-2"], name: "ping", args: {}, ttlSeconds: 60 };
    await real.modules.commands.send("acme", order, SYSTEM_ACTOR, null);
    await listener.next("publish");
    expect(await figure("waiting_bytes")).toBeLessThanOrEqual(ROOM + 2 * SIZE);
    expect(client.socket.writableLength).toBeGreaterThan(0);
    expect(acknowledged(client)).toEqual([]);
    process.kill(real.enginePid(), "SIGCONT");
    await until(() => acknowledged(client).length === all.length, PATIENCE_MS);
    expect(acknowledged(client)).toEqual(all);
    const kept = await stored("d-1");
    expect([...kept.keys()]).toEqual(all);
    expect(new Set(kept.values())).toEqual(new Set([1]));
  }, 120_000);

  it("costs messages of QoS 0 first, which are counted, and none of QoS 1", async () => {
    const client = await connect(patient, "d-3");
    const shed = () => figure("shed_total", { reason: "stores-lag" });
    const before = await shed();
    process.kill(real.enginePid(), "SIGSTOP");
    const all = numbers(120);
    for (const seq of all) client.send(sample("d-3", { seq, qos: 0 }));
    // Behind them, and read all the same.
    const once = [201, 202, 203];
    for (const seq of once) client.send(sample("d-3", { seq }));
    await until(async () => (await shed()) > before, PATIENCE_MS);
    client.send({ cmd: "pingreq" });
    await client.next("pingresp", PATIENCE_MS);
    const lost = (await shed()) - before;
    expect(acknowledged(client)).toEqual([]);
    process.kill(real.enginePid(), "SIGCONT");
    await until(() => acknowledged(client).length === once.length, PATIENCE_MS);
    await until(async () => (await stored("d-3")).size === all.length - lost + once.length);
    const kept = await stored("d-3");
    for (const seq of once) expect(kept.get(seq)).toBe(1);
    expect(lost).toBeGreaterThanOrEqual(30);
  }, 120_000);

  it("sends devices away that wait for too long, without an acknowledgement", async () => {
    await withImpatient(async (impatient) => {
      const client = await connect(impatient, "d-4");
      process.kill(real.enginePid(), "SIGSTOP");
      client.send(sample("d-4", { seq: 1 }));
      expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x89 });
      expect(acknowledged(client)).toEqual([]);
      process.kill(real.enginePid(), "SIGCONT");
    });
    const again = await connect(patient, "d-4");
    again.send(sample("d-4", { seq: 1, dup: true }));
    await again.next("puback", PATIENCE_MS);
    expect([...(await stored("d-4"))]).toEqual([[1, 1]]);
  }, 120_000);
});

describe("an engine that is slow", () => {
  it("slows its devices down and loses nothing", async () => {
    const client = await connect(patient, "d-5", 4);
    const all = numbers(300);
    let isDone = false;
    const stumble = (async () => {
      while (!isDone) {
        process.kill(real.enginePid(), "SIGSTOP");
        await new Promise((resolve) => setTimeout(resolve, 150));
        process.kill(real.enginePid(), "SIGCONT");
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
    })();
    for (const seq of all) client.send(sample("d-5", { seq }));
    await until(() => acknowledged(client).length === all.length, PATIENCE_MS).finally(() => {
      isDone = true;
      return stumble;
    });
    expect(acknowledged(client)).toEqual(all);
    expect([...(await stored("d-5"))]).toEqual(all.map((seq) => [seq, 1]));
  }, 120_000);
});

describe("a table that somebody has locked", () => {
  it("holds what is for it, and nothing else", async () => {
    const [client, other] = [await connect(patient, "d-1"), await connect(patient, "d-2")];
    await owner.query("begin; lock table device_states in exclusive mode");
    client.send(heartbeat("d-1", 1));
    client.send(sample("d-1", { seq: 2_001 }));
    other.send(sample("d-2", { seq: 1 }));
    await other.next("puback", PATIENCE_MS);
    await until(async () => (await stored("d-1")).has(2_001), PATIENCE_MS);
    // Acknowledgements keep their order: the sample's, though it is kept, waits for the heartbeat's.
    expect(acknowledged(client)).toEqual([]);
    await owner.query("commit");
    await until(() => acknowledged(client).length === 2, PATIENCE_MS);
    expect(acknowledged(client)).toEqual([1, 2_001]);
    const { firmware } = await real.modules.devices.get("acme", "d-1");
    expect(firmware).toMatchObject({ version: "1.0.0" });
  }, 120_000);

  it("sends devices away that wait for too long, and takes what they bring again", async () => {
    await withImpatient(async (impatient) => {
      const client = await connect(impatient, "d-3");
      await owner.query("begin; lock table device_states in exclusive mode");
      client.send(heartbeat("d-3", 1));
      expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x89 });
      expect(acknowledged(client)).toEqual([]);
      await owner.query("commit");
    });
    const again = await connect(patient, "d-3");
    again.send(heartbeat("d-3", 1, true));
    await again.next("puback", PATIENCE_MS);
  }, 120_000);
});
