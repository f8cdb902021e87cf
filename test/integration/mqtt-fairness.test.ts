import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { metricsRegistry } from "../../src/kernel/metrics.ts";
import { createGatewayFixture, type GatewayFixture, RawClient, until } from "../support/gateway.ts";

/** Takes much longer than the milliseconds for which those who come are looked up together. */
const STORM = 120;
const FLOOD = 10;
/** Messages of who is calm, one after the other: all of them within what its tenant may send at once. */
const CALM = 9;
/** Whoever waits here waits for what comes; how long is for the machine to say. */
const PATIENCE_MS = 50_000;

let fixture: GatewayFixture;

beforeAll(async () => {
  fixture = await createGatewayFixture({
    ...{ handshakes: 2, admissionPatienceMs: 60_000 },
    ...{ tenantMessageRate: 20, tenantMessageBurst: 20 },
    ...{ deviceRate: 0.001, deviceBurst: 6 },
  });
});
afterAll(() => fixture.close());

/** A device behind this address; every test has devices of its own. */
async function deviceAt(tenant: string, device: string, localAddress: string) {
  const credentials = await fixture.pki.device(tenant, device);
  return { ...credentials, localAddress };
}

async function connect(device: Awaited<ReturnType<typeof deviceAt>>): Promise<RawClient> {
  const client = await RawClient.open(fixture.gateway.port, device);
  client.send({
    ...({ cmd: "connect", clientId: "c", protocolId: "MQTT", protocolVersion: 5 } as const),
    ...{ clean: true, keepalive: 60 },
  });
  expect((await client.next("connack", PATIENCE_MS)).reasonCode).toBe(0);
  return client;
}

function publishOf(tenant: string, device: string, messageId: number, qos: 0 | 1 = 1) {
  return {
    ...({ cmd: "publish", qos, dup: false, retain: false } as const),
    ...(qos === 0 ? {} : { messageId }),
    topic: `tenants/${tenant}/devices/${device}/telemetry`,
    payload: JSON.stringify({ ts: 1, seq: messageId, values: { a: 1 } }),
  };
}

async function figure(name: string, labels: Record<string, string> = {}): Promise<number> {
  const metric = await metricsRegistry.getSingleMetric(name)?.get();
  const found = metric?.values.filter((value) =>
    Object.entries(labels).every(([key, label]) => value.labels[key] === label),
  );
  return (found ?? []).reduce((sum, { value }) => sum + value, 0);
}

describe("one tenant's storm", () => {
  it("of connections does not keep another tenant's device out", async () => {
    const storm = await Promise.all(
      Array.from({ length: STORM }, (_, index) => deviceAt("acme", `s-${index}`, "127.0.3.1")),
    );
    const other = await deviceAt("globex", "calm", "127.0.3.2");
    let stormInside = 0;
    const clients = storm.map(async (device) => {
      const client = await connect(device);
      stormInside += 1;
      return client;
    });
    const calm = await connect(other);
    // By its turn it comes after a handful, not after all those who were there before.
    expect(stormInside).toBeLessThan(STORM / 2);
    for (const client of await Promise.all(clients)) client.destroy();
    calm.destroy();
    expect(stormInside).toBe(STORM);
    await until(() => fixture.gateway.connections() === 0, PATIENCE_MS);
    expect(await figure("vautn_gateway_admission_waiting")).toBe(0);
  });

  it("of messages does not slow another tenant's device, and loses nothing of its own", async () => {
    const names = Array.from({ length: 12 }, (_, index) => `f-${index}`);
    const flood = await Promise.all(
      names.map(async (name) => connect(await deviceAt("acme", name, "127.0.3.1"))),
    );
    const calm = await connect(await deviceAt("globex", "calm", "127.0.3.2"));
    const total = flood.length * FLOOD;
    let acknowledged = 0;
    const done = flood.map(async (client, index) => {
      for (let id = 1; id <= FLOOD; id += 1) {
        client.send(publishOf("acme", names[index] as string, id));
      }
      for (let id = 1; id <= FLOOD; id += 1) {
        await client.next("puback", PATIENCE_MS);
        acknowledged += 1;
      }
    });
    for (let id = 1; id <= CALM; id += 1) {
      calm.send(publishOf("globex", "calm", id));
      await calm.next("puback", PATIENCE_MS);
    }
    // Whoever took turns with the twelve would have seen twelve of theirs for each of its own.
    expect(acknowledged).toBeLessThan(total * 0.75);
    await Promise.all(done);
    expect(acknowledged).toBe(total);
    const stored = fixture.recorded.telemetry.filter(({ deviceId }) => deviceId.startsWith("f-"));
    expect(stored).toHaveLength(total);
    expect(await figure("vautn_gateway_limits_total", { limit: "tenant-rate" })).toBeGreaterThan(0);
    for (const client of [...flood, calm]) client.destroy();
  });
});

describe("a device over its tenant's rate", () => {
  it("loses messages of QoS 0, counted, and none of QoS 1", async () => {
    const client = await connect(await deviceAt("acme", "mixed", "127.0.3.1"));
    const before = await figure("vautn_gateway_shed_total", { reason: "tenant-rate" });
    for (let id = 1; id <= 200; id += 1) client.send(publishOf("acme", "mixed", id, 0));
    for (let id = 1; id <= 5; id += 1) client.send(publishOf("acme", "mixed", id));
    for (let id = 1; id <= 5; id += 1) await client.next("puback", PATIENCE_MS);
    const shed = (await figure("vautn_gateway_shed_total", { reason: "tenant-rate" })) - before;
    expect(shed).toBeGreaterThan(0);
    await until(
      () =>
        fixture.recorded.telemetry.filter((one) => one.deviceId === "mixed").length === 205 - shed,
    );
    client.destroy();
  });
});

describe("a device that connects again and again", () => {
  it("is refused for its own rate, and nobody else is", async () => {
    const { port } = fixture.gateway;
    const restless = await deviceAt("acme", "restless", "127.0.3.1");
    for (let time = 0; time < 6; time += 1) {
      (await connect(restless)).destroy();
    }
    const refused = await RawClient.open(port, restless);
    refused.send({
      ...({ cmd: "connect", clientId: "r", protocolId: "MQTT", protocolVersion: 5 } as const),
      ...{ clean: true, keepalive: 60 },
    });
    // MQTT 5.0 §3.2.2.2: connection rate exceeded.
    expect((await refused.next("connack")).reasonCode).toBe(0x9f);
    expect(await figure("vautn_gateway_limits_total", { limit: "device-connects" })).toBe(1);
    (await connect(await deviceAt("acme", "other", "127.0.3.1"))).destroy();
  });
});

describe("the gateway's figures", () => {
  it("tell of connections, messages by QoS, bytes, subscriptions, handshakes and the event loop", async () => {
    const client = await connect(await deviceAt("acme", "counted", "127.0.3.1"));
    const topic = "tenants/acme/devices/counted/commands";
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos: 1 }] });
    await client.next("suback", PATIENCE_MS);
    await until(async () => (await figure("vautn_gateway_subscriptions")) === 1);
    await until(async () => (await figure("vautn_gateway_connections")) === 1, PATIENCE_MS);
    expect(
      await figure("vautn_gateway_publishes_total", { direction: "in", qos: "1" }),
    ).toBeGreaterThan(100);
    expect(
      await figure("vautn_gateway_publishes_total", { direction: "in", qos: "0" }),
    ).toBeGreaterThan(0);
    for (const direction of ["in", "out"]) {
      expect(await figure("vautn_gateway_bytes_total", { direction })).toBeGreaterThan(1_000);
    }
    const text = await metricsRegistry.metrics();
    expect(text).toMatch(/vautn_gateway_handshake_seconds_count\{session="full"\} \d\d/);
    expect(text).toMatch(/vautn_gateway_event_loop_delay_seconds\{quantile="0.99"\} 0\.\d+/);
    expect(text).toMatch(/vautn_gateway_admission_seconds_count \d\d/);
    expect(text).toMatch(/vautn_gateway_inflight\{direction="out"\} 0/);
    client.destroy();
  });
});
