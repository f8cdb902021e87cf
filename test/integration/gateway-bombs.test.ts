import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Credentials } from "../support/device-pki.ts";
import { createGatewayFixture, type GatewayFixture, RawClient, until } from "../support/gateway.ts";

const OWN = "tenants/acme/devices/d-1/";
const SAMPLE = JSON.stringify({ ts: 1, seq: 1, values: { a: 1 } });

let fixture: GatewayFixture;
const credentials = new Map<string, Credentials>();
const clients: RawClient[] = [];

beforeAll(async () => {
  fixture = await createGatewayFixture();
  for (const who of ["acme/d-1", "acme/d-2", "globex/d-1"]) {
    const [tenantId, deviceId] = who.split("/") as [string, string];
    credentials.set(who, await fixture.pki.device(tenantId, deviceId));
  }
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await until(() => fixture.gateway.connections() === 0);
});
afterAll(() => fixture.close());

async function connect(who = "acme/d-1", options: object = {}): Promise<RawClient> {
  const client = await RawClient.connect(
    fixture.gateway.port,
    credentials.get(who) as Credentials,
    options,
  );
  clients.push(client);
  return client;
}

/** Another connection is served as if nothing were. */
async function isWell(): Promise<void> {
  const client = await connect("globex/d-1");
  client.send({ cmd: "pingreq" });
  await client.next("pingresp");
}

describe("a packet that says it has 256 MB", () => {
  it.each([
    ["PUBLISH", 0x32],
    ["SUBSCRIBE", 0x82],
    ["DISCONNECT", 0xe0],
  ])("is refused by its header, and costs no memory (%s)", async (_name, type) => {
    const before = process.memoryUsage().rss;
    const client = await connect();
    client.socket.write(Buffer.from([type, 0xff, 0xff, 0xff, 0x7f]));
    expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x95 });
    await client.closed;
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
    await isWell();
  });
});

describe("a bomb of subscriptions", () => {
  it("is answered filter by filter, and grants no more than the bound", async () => {
    const client = await connect();
    const subscriptions = Array.from({ length: 3_000 }, (_, number) => ({
      ...{ topic: `${OWN}x/${number}/#`, qos: 1 as const },
    }));
    client.send({ cmd: "subscribe", messageId: 1, subscriptions });
    const { granted } = await client.next("suback");
    expect(granted).toHaveLength(3_000);
    expect(granted.filter((code) => Number(code) < 0x80)).toHaveLength(20);
    expect(new Set(granted.slice(20))).toEqual(new Set([0x97]));
    await isWell();
  });

  it("of deep filters is refused level by level", async () => {
    const client = await connect();
    const topic = `${OWN}${"a/".repeat(400)}#`;
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos: 0 }] });
    expect((await client.next("suback")).granted).toEqual([0x8f]);
  });
});

describe("a topic alias", () => {
  it.each([
    ["zero", { topicAlias: 0 }, `${OWN}telemetry`, 0x94],
    ["beyond the maximum", { topicAlias: 17 }, `${OWN}telemetry`, 0x94],
    ["that stands for nothing", { topicAlias: 3 }, "", 0x82],
  ])("%s ends the connection", async (_name, properties, topic, reasonCode) => {
    const client = await connect();
    const flags = { qos: 1, dup: false, retain: false, messageId: 1 } as const;
    client.send({ cmd: "publish", topic, payload: SAMPLE, ...flags, properties });
    expect(await client.next("disconnect")).toMatchObject({ reasonCode });
  });

  it("for another's topic is refused each time that it is used, and forgotten at the end", async () => {
    const stored = fixture.recorded.telemetry.length;
    const client = await connect();
    const flags = { qos: 1, dup: false, retain: false } as const;
    const foreign = "tenants/globex/devices/d-1/telemetry";
    const properties = { topicAlias: 1 };
    client.send({
      cmd: "publish",
      topic: foreign,
      payload: SAMPLE,
      messageId: 1,
      ...flags,
      properties,
    });
    expect(await client.next("puback")).toMatchObject({ reasonCode: 0x87 });
    client.send({ cmd: "publish", topic: "", payload: SAMPLE, messageId: 2, ...flags, properties });
    expect(await client.next("puback")).toMatchObject({ reasonCode: 0x87 });
    client.destroy();
    const next = await connect();
    next.send({ cmd: "publish", topic: "", payload: SAMPLE, messageId: 1, ...flags, properties });
    expect(await next.next("disconnect")).toMatchObject({ reasonCode: 0x82 });
    expect(fixture.recorded.telemetry).toHaveLength(stored);
  });
});

describe("what reaches a device", () => {
  it("is nothing of another's, whatever it has asked for", async () => {
    const listener = await connect("acme/d-2");
    const filters = [
      "#",
      "+/+/+/+/telemetry",
      "tenants/acme/devices/+/telemetry",
      "tenants/acme/devices/d-2/../d-1/telemetry",
      "tenants/acme/devices/d-2/%2e%2e/d-1/telemetry",
      "tenants/acme/devices/ｄ-1/telemetry",
      "tenants/acme/devices/d-1\u200b/telemetry",
      "$share/g/tenants/acme/devices/d-1/telemetry",
      "$share/g/tenants/acme/devices/d-2/#",
      "$SYS/#",
      "tenants/acme/devices/d-2/#",
    ];
    const subscriptions = filters.map((topic) => ({ topic, qos: 1 as const }));
    listener.send({ cmd: "subscribe", messageId: 1, subscriptions });
    const { granted } = await listener.next("suback");
    for (const [index, code] of granted.entries()) {
      if (Number(code) < 0x80) expect(filters[index]).toMatch(/^tenants\/acme\/devices\/d-2\//);
    }
    const flags = { qos: 1, dup: false, retain: false, messageId: 1 } as const;
    for (const who of ["acme/d-1", "globex/d-1"]) {
      const [tenantId, deviceId] = who.split("/");
      const teller = await connect(who);
      const topic = `tenants/${tenantId}/devices/${deviceId}/telemetry`;
      teller.send({ cmd: "publish", topic, payload: SAMPLE, ...flags });
      await teller.next("puback");
    }
    // Its own comes back: so the others' would have come by now.
    const topic = "tenants/acme/devices/d-2/telemetry";
    listener.send({ cmd: "publish", topic, payload: SAMPLE, ...flags });
    const heard = () =>
      listener.received.flatMap((packet) => (packet.cmd === "publish" ? [packet.topic] : []));
    await until(() => heard().includes(topic));
    for (const one of heard()) expect(one).toMatch(/^tenants\/acme\/devices\/d-2\//);
  });

  it("after a session was taken over is its own still, and so is its will", async () => {
    const kept = { clean: false, properties: { sessionExpiryInterval: 60 } };
    await connect("acme/d-1", kept);
    const will = {
      ...{ topic: "tenants/acme/devices/d-2/telemetry", payload: Buffer.from(SAMPLE) },
      ...{ qos: 1 as const, retain: false },
    };
    for (const who of ["acme/d-1", "globex/d-1"]) {
      const refused = await RawClient.open(
        fixture.gateway.port,
        credentials.get(who) as Credentials,
      );
      clients.push(refused);
      refused.send({
        ...{ cmd: "connect", clientId: "x", protocolId: "MQTT", protocolVersion: 5, keepalive: 60 },
        ...kept,
        will,
      });
      expect(await refused.next("connack")).toMatchObject({ reasonCode: 0x87 });
    }
    const stored = fixture.recorded.telemetry.length;
    for (const client of clients.splice(0)) client.destroy();
    await until(() => fixture.gateway.connections() === 0);
    expect(fixture.recorded.telemetry).toHaveLength(stored);
  });
});
