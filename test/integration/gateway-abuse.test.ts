import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { seededRandom, systemClock } from "../../src/kernel/index.ts";
import { metricsRegistry } from "../../src/kernel/metrics.ts";
import type { Credentials } from "../support/device-pki.ts";
import { createGatewayFixture, type GatewayFixture, RawClient, until } from "../support/gateway.ts";

const OWN = "tenants/acme/devices/d-1/";
const NEIGHBOUR = "tenants/acme/devices/d-2/";
const FOREIGN = "tenants/globex/devices/d-1/";

let fixture: GatewayFixture;
let device: Credentials;
let foreigner: Credentials;

beforeAll(async () => {
  fixture = await createGatewayFixture({
    connectTimeoutMs: 1_000,
    handshakeTimeoutMs: 1_000,
    subscriptions: 5,
    inboundInflight: 10,
    outboundBytes: 64 * 1024,
  });
  device = await fixture.pki.device("acme", "d-1");
  foreigner = await fixture.pki.device("globex", "d-1");
});
afterAll(() => fixture.close());
beforeEach(() => {
  fixture.recorded.available = true;
  fixture.recorded.telemetry.length = 0;
});

const sample = JSON.stringify({ ts: 1, seq: 1, values: { a: 1 } });
const connect = (options = {}, who = device) =>
  RawClient.connect(fixture.gateway.port, who, options);
const publish = (topic: string, extra: object = {}) =>
  ({
    cmd: "publish",
    topic,
    payload: sample,
    qos: 1,
    dup: false,
    retain: false,
    messageId: 1,
    ...extra,
  }) as const;

async function count(name: string, labels: Record<string, string>): Promise<number> {
  const metric = await metricsRegistry.getSingleMetric(name)?.get();
  const isMeant = (value: { labels: Record<string, unknown> }) =>
    Object.entries(labels).every(([key, label]) => value.labels[key] === label);
  return metric?.values.filter(isMeant).reduce((sum, { value }) => sum + value, 0) ?? 0;
}

/** The gateway still serves others: every attack is followed by this. */
async function expectHealthy(): Promise<void> {
  const before = fixture.recorded.telemetry.length;
  const client = await connect({}, foreigner);
  client.send(publish(`${FOREIGN}telemetry`));
  expect(await client.next("puback")).toMatchObject({ reasonCode: 0 });
  expect(fixture.recorded.telemetry).toHaveLength(before + 1);
  client.destroy();
}

describe("topics of others", () => {
  it.each([
    `${FOREIGN}telemetry`,
    `${NEIGHBOUR}telemetry`,
    `${OWN}../d-2/telemetry`,
    `${OWN}unknown`,
    `${OWN}commands`,
    `${OWN}update`,
    `$SYS/${OWN}telemetry`,
    `$share/g/${OWN}telemetry`,
    `/${OWN}telemetry`,
    `${OWN}commands/a/b/result`,
    "tenants/acme/devices/d-1",
    "tenants/acme/devices/d%2D2/telemetry",
    `${OWN}%2e%2e/d-2/telemetry`,
    `${OWN}telemetry/`,
    "tenants/acme/devices/d\u20102/telemetry",
    "tenants/acme/devices/d-1\u200b/telemetry",
    "tenants/ACME/devices/d-1/telemetry",
  ])("cannot be published to: %s", async (topic) => {
    const client = await connect();
    client.send(publish(topic));
    expect(await client.next("puback")).toMatchObject({ reasonCode: 0x87 });
    client.send(publish(`${OWN}telemetry`));
    expect(await client.next("puback")).toMatchObject({ reasonCode: 0 });
    client.destroy();
    const old = await connect({ protocolVersion: 4 });
    old.send(publish(topic));
    await old.closed;
    expect(old.received.filter((packet) => packet.cmd === "puback")).toEqual([]);
    expect(fixture.recorded.telemetry).toHaveLength(1);
  });

  it("cannot be named as response topic", async () => {
    const client = await connect();
    const responseTopic = `${FOREIGN}telemetry`;
    client.send(publish(`${OWN}telemetry`, { properties: { responseTopic } }));
    expect(await client.next("puback")).toMatchObject({ reasonCode: 0x87 });
    expect(fixture.recorded.telemetry).toEqual([]);
    client.destroy();
  });

  it.each([
    [`${OWN}+`, 0x90],
    [`${OWN}#`, 0x90],
    ["", 0x90],
  ])("are no wildcards and not empty: %j", async (topic, reasonCode) => {
    const client = await connect();
    client.send(publish(topic));
    expect(await client.next("disconnect")).toMatchObject({ reasonCode });
    await client.closed;
  });

  it.each([
    ["#", 0x87],
    ["+/+/+/+/commands", 0x87],
    [`${FOREIGN}commands`, 0x87],
    [`${NEIGHBOUR}#`, 0x87],
    ["tenants/acme/#", 0x87],
    ["tenants/acme/devices/+/commands", 0x87],
    [`$share/group/${OWN}commands`, 0x9e],
    ["$share/group/#", 0x9e],
    ["$SYS/#", 0x87],
    [`${OWN}../d-2/#`, 0],
    ["tenants/acme/devices/d-1#", 0x8f],
    [`${OWN}a#`, 0x8f],
  ])("cannot be subscribed to: %s", async (filter, code) => {
    const client = await connect();
    const subscriptions = [{ topic: filter, qos: 1 as const }];
    client.send({ cmd: "subscribe", messageId: 1, subscriptions });
    const suback = await client.next("suback");
    if (code !== 0) expect(suback.granted).toEqual([code]);
    const sent = await fixture.commands.send(
      "globex",
      { deviceIds: ["d-1"], name: "secret", args: {}, ttlSeconds: 1 },
      { kind: "system", id: "test", name: "test" },
      null,
    );
    await fixture.commands.send(
      "acme",
      { deviceIds: ["d-2"], name: "secret", args: {}, ttlSeconds: 1 },
      { kind: "system", id: "test", name: "test" },
      null,
    );
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(client.received.filter((packet) => packet.cmd === "publish")).toEqual([]);
    expect((await fixture.commands.get("globex", sent[0]?.id as string)).status).toBe("queued");
    client.destroy();
  });

  it("leave an entry in the audit log of the device's tenant, one for many tries", async () => {
    const client = await connect();
    for (let time = 1; time <= 5; time += 1) {
      client.send(publish(`${FOREIGN}telemetry`, { messageId: time }));
    }
    for (let time = 1; time <= 5; time += 1) await client.next("puback");
    client.destroy();
    await until(async () => {
      const { items } = await fixture.tenancy.audit.list("acme");
      return items.some((entry) => entry.action === "mqtt.publish");
    });
    const { items } = await fixture.tenancy.audit.list("acme");
    const refusals = items.filter((entry) => entry.action === "mqtt.publish");
    expect(refusals).toHaveLength(1);
    expect(refusals[0]).toMatchObject({ outcome: "refused", actor: { kind: "device", id: "d-1" } });
    expect(
      (await fixture.tenancy.audit.list("globex")).items.map((entry) => entry.action),
    ).not.toContain("mqtt.publish");
  });
});

describe("what the protocol forbids", () => {
  const header = (type: number, ...rest: number[]) => Buffer.from([type, ...rest]);

  it.each([
    ["a packet that says it is too large", header(0x32, 0xff, 0xff, 0x7f), 0x95],
    ["a length that never ends", header(0x32, 0x80, 0x80, 0x80, 0x80), 0x81],
    ["a reserved packet type", header(0x00, 0x00), 0x81],
    ["QoS 3", header(0x36, 0x05, 0, 1, 0x61, 0, 1), 0x81],
    ["a topic longer than its packet", header(0x32, 0x04, 0xff, 0xff, 0x61, 0x61), 0x81],
    ["SUBSCRIBE with wrong flags", header(0x80, 0x05, 0, 1, 0, 0, 0), 0x81],
    ["SUBSCRIBE without a filter", header(0x82, 0x03, 0, 1, 0), 0x82],
    ["an unknown property", header(0x32, 0x08, 0, 1, 0x61, 0, 1, 2, 0x7f, 0), 0x81],
    [
      "a second CONNECT",
      header(0x10, 0x0d, 0, 4, 0x4d, 0x51, 0x54, 0x54, 5, 2, 0, 60, 0, 0, 0),
      0x82,
    ],
    ["a CONNACK", header(0x20, 0x03, 0, 0, 0), 0x82],
    ["AUTH", header(0xf0, 0x02, 0x18, 0), 0x82],
  ])("ends the connection with a reason: %s", async (_what, bytes, reasonCode) => {
    const client = await connect();
    client.write(bytes);
    expect(await client.next("disconnect")).toMatchObject({ reasonCode });
    await client.closed;
    await expectHealthy();
  });

  it.each<[string, object, number]>([
    ["a topic alias of zero", { properties: { topicAlias: 0 } }, 0x94],
    ["a topic alias above the maximum", { properties: { topicAlias: 17 } }, 0x94],
    ["a topic alias that stands for nothing", { topic: "", properties: { topicAlias: 1 } }, 0x82],
  ])("is told when it is not served here: %s", async (_what, extra, reasonCode) => {
    const client = await connect();
    client.send(publish(`${OWN}telemetry`, extra));
    expect(await client.next("disconnect")).toMatchObject({ reasonCode });
    await client.closed;
    expect(fixture.recorded.telemetry).toEqual([]);
  });

  it("is a first packet that is no CONNECT", async () => {
    const client = await RawClient.open(fixture.gateway.port, device);
    client.send(publish(`${OWN}telemetry`));
    await client.closed;
    expect(fixture.recorded.telemetry).toEqual([]);
  });

  it("is what thousands of broken packets hold, and none of them brings the gateway down", async () => {
    const seed = 4_711;
    const random = seededRandom(seed);
    for (let run = 0; run < 60; run += 1) {
      const client = await connect();
      const size = 1 + Math.floor(random.next() * 200);
      const noise = Buffer.from(
        Array.from({ length: size }, () => Math.floor(random.next() * 256)),
      );
      client.write(noise);
      client.write(noise);
      client.destroy();
    }
    await expectHealthy();
    await until(() => fixture.gateway.connections() === 0);
  });
});

describe("more than a device may have", () => {
  it("of subscriptions is refused one by one", async () => {
    const client = await connect();
    const subscriptions = Array.from({ length: 2_000 }, (_, index) => ({
      topic: `${OWN}x/${index}`,
      qos: 1 as const,
    }));
    client.send({ cmd: "subscribe", messageId: 1, subscriptions });
    const { granted } = await client.next("suback");
    expect(granted.slice(0, 6)).toEqual([1, 1, 1, 1, 1, 0x97]);
    expect(granted).toHaveLength(2_000);
    client.destroy();
  });

  it("of unacknowledged messages ends it in MQTT 5", async () => {
    fixture.recorded.available = false;
    const client = await connect();
    for (let id = 1; id <= 11; id += 1) {
      client.send(
        publish(`${OWN}update/state`, {
          messageId: id,
          payload: `{"updateId":"u","phase":"offered"}`,
        }),
      );
    }
    expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x93 });
    await client.closed;
  });

  it("of unreleased QoS 2 messages ends it", async () => {
    const client = await connect({ protocolVersion: 4 });
    for (let id = 1; id <= 11; id += 1) {
      client.send(publish(`${OWN}telemetry`, { messageId: id, qos: 2 }));
    }
    await client.closed;
    await until(() => fixture.recorded.telemetry.length === 10);
  });

  it("of messages in MQTT 3.1.1 is not read until the stores have caught up", async () => {
    const client = await connect({ protocolVersion: 4 });
    for (let id = 1; id <= 500; id += 1) client.send(publish(`${OWN}telemetry`, { messageId: id }));
    for (let id = 1; id <= 500; id += 1) {
      expect((await client.next("puback")).messageId).toBe(id);
    }
    expect(fixture.recorded.telemetry).toHaveLength(500);
    expect(await count("vautn_gateway_pauses_total", {})).toBeGreaterThan(0);
    client.destroy();
  });
});

describe("slow clients", () => {
  it("that never finish their TLS handshake or say CONNECT are sent away", async () => {
    const silent = net.connect({ port: fixture.gateway.port, host: "127.0.0.1" });
    silent.on("error", () => {}).resume();
    const halfOpen = await RawClient.open(fixture.gateway.port, device);
    halfOpen.write(Buffer.from([0x10]));
    await Promise.all([once(silent, "close"), halfOpen.closed]);
    await expectHealthy();
  });

  it("that do not read what they ask for are dropped, with what waits for them", async () => {
    const socket = tls.connect({
      port: fixture.gateway.port,
      host: "127.0.0.1",
      servername: "localhost",
      ...device,
    });
    socket.on("error", () => {});
    await once(socket, "secureConnect");
    socket.pause();
    const before = await count("vautn_gateway_disconnects_total", { reason: "slow reader" });
    socket.write(Buffer.from([0x10, 0x0d, 0, 4, 0x4d, 0x51, 0x54, 0x54, 5, 2, 0, 60, 0, 0, 0]));
    const pings = Buffer.concat(Array.from({ length: 20_000 }, () => Buffer.from([0xc0, 0])));
    // A reset is an end like any other: `once` would reject on it.
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    const flood = setInterval(() => socket.writable && socket.write(pings), 5);
    await until(
      async () =>
        (await count("vautn_gateway_disconnects_total", { reason: "slow reader" })) > before,
      30_000,
    );
    clearInterval(flood);
    socket.destroy();
    await closed;
    await expectHealthy();
  }, 60_000);

  it("whose keep-alive passes without a word are told so", async () => {
    const client = await connect({ keepalive: 1 });
    expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x8d });
    await client.closed;
  });
});

describe("the rate of connections", () => {
  it("is bounded for an address before the handshake, and for a tenant after it", async () => {
    const own = await createGatewayFixture({
      addressRate: 0.001,
      addressBurst: 4,
      tenantRate: 0.001,
      tenantBurst: 2,
    });
    const who = await own.pki.device("acme", "d-1");
    const attempt = async () => {
      const client = await RawClient.open(own.gateway.port, who);
      const base = {
        cmd: "connect",
        clientId: "x",
        protocolId: "MQTT",
        protocolVersion: 5,
      } as const;
      client.send({ ...base, clean: true, keepalive: 60 });
      return (await client.next("connack")).reasonCode;
    };
    expect([await attempt(), await attempt(), await attempt(), await attempt()]).toEqual([
      0, 0, 0x9f, 0x9f,
    ]);
    await expect(attempt()).rejects.toThrow();
    await own.close();
  });
});

describe("a revocation that comes while a device connects", () => {
  it("is not overlooked", async () => {
    const own = await createGatewayFixture();
    const who = await own.pki.device("acme", "d-1");
    const authenticate = own.deps.identity.authenticatePeer;
    let calls = 0;
    own.deps.identity.authenticatePeer = async (socket) => {
      calls += 1;
      const peer = await authenticate(socket);
      await new Promise<void>((resolve) => systemClock.after(50, resolve));
      return peer;
    };
    setTimeout(() => own.revoke("acme", "d-1"), 25);
    const client = await RawClient.open(own.gateway.port, who);
    const base = { cmd: "connect", clientId: "x", protocolId: "MQTT", protocolVersion: 5 } as const;
    client.send({ ...base, clean: true, keepalive: 60 });
    await until(() => calls > 0);
    expect(await client.next("connack")).toMatchObject({ reasonCode: 0x87 });
    await own.close();
  });
});
