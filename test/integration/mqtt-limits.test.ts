import net from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { metricsRegistry } from "../../src/kernel/metrics.ts";
import type { Credentials } from "../support/device-pki.ts";
import { createGatewayFixture, type GatewayFixture, RawClient, until } from "../support/gateway.ts";

let fixture: GatewayFixture;
let device: Credentials;
let foreigner: Credentials;

beforeAll(async () => {
  fixture = await createGatewayFixture({
    ...{ handshakes: 2, handshakeQueue: 30, admissionPatienceMs: 20_000 },
    ...{ deviceMessageRate: 50, deviceMessageBurst: 10, topicLevels: 8 },
  });
  device = await fixture.pki.device("acme", "d-1");
  foreigner = await fixture.pki.device("globex", "d-1");
});
afterAll(() => fixture.close());

const publish = (tenant: string, messageId: number) => ({
  ...({ cmd: "publish", qos: 1, dup: false, retain: false, messageId } as const),
  topic: `tenants/${tenant}/devices/d-1/telemetry`,
  payload: JSON.stringify({ ts: 1, seq: messageId, values: { a: 1 } }),
});

async function count(name: string, labels: Record<string, string>): Promise<number> {
  const metric = await metricsRegistry.getSingleMetric(name)?.get();
  const [key, label] = Object.entries(labels)[0] as [string, string];
  const found = metric?.values.find((value) => value.labels[key] === label);
  return found?.value ?? 0;
}

describe("a storm of connections", () => {
  it("gets in one after the other, and nobody is left out", async () => {
    const devices = await Promise.all(
      Array.from({ length: 25 }, (_, index) => fixture.pki.device("acme", `s-${index}`)),
    );
    const clients = await Promise.all(
      devices.map((who) => RawClient.connect(fixture.gateway.port, who)),
    );
    expect(fixture.gateway.connections()).toBe(25);
    for (const client of clients) client.destroy();
    await until(() => fixture.gateway.connections() === 0);
  });

  it("is not held up by those who never finish their handshake", async () => {
    const silent = Array.from({ length: 6 }, () =>
      net.connect({ port: fixture.gateway.port, host: "127.0.0.1" }).on("error", () => {}),
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    const client = await RawClient.connect(fixture.gateway.port, device);
    client.destroy();
    for (const socket of silent) socket.destroy();
  });

  it("beyond what may wait is closed at once, and counted", async () => {
    const before = await count("vautn_gateway_connects_total", { outcome: "queue-full" });
    const silent = Array.from({ length: 40 }, () =>
      net.connect({ port: fixture.gateway.port, host: "127.0.0.1" }).on("error", () => {}),
    );
    await until(
      async () =>
        (await count("vautn_gateway_connects_total", { outcome: "queue-full" })) >= before + 8,
    );
    for (const socket of silent) socket.destroy();
    const waiting = metricsRegistry.getSingleMetric("vautn_gateway_admission_waiting");
    await until(async () => (await waiting?.get())?.values[0]?.value === 0, 20_000);
    const client = await RawClient.connect(fixture.gateway.port, device);
    client.destroy();
  });
});

describe("a device that sends more than its rate", () => {
  it("is read more slowly and loses nothing, while another tenant's is not", async () => {
    const [busy, quiet] = await Promise.all([
      RawClient.connect(fixture.gateway.port, device),
      RawClient.connect(fixture.gateway.port, foreigner),
    ]);
    const startedAt = performance.now();
    for (let id = 1; id <= 60; id += 1) busy.send(publish("acme", id));
    quiet.send(publish("globex", 1));
    const served: string[] = [];
    const quietly = quiet.next("puback").then(() => served.push("quiet"));
    for (let id = 1; id <= 60; id += 1) expect((await busy.next("puback")).messageId).toBe(id);
    served.push("busy");
    // 60 messages at 50 a second, 10 of them at once.
    expect(performance.now() - startedAt).toBeGreaterThan(950);
    await quietly;
    expect(served).toEqual(["quiet", "busy"]);
    expect(await count("vautn_gateway_limits_total", { limit: "device-rate" })).toBeGreaterThan(0);
    busy.destroy();
    quiet.destroy();
  });
});

describe("a topic filter", () => {
  it("of too many levels is refused", async () => {
    const client = await RawClient.connect(fixture.gateway.port, device);
    const topic = `tenants/acme/devices/d-1/${"a/".repeat(5)}#`;
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos: 1 }] });
    expect((await client.next("suback")).granted).toEqual([0x8f]);
    client.destroy();
  });
});
