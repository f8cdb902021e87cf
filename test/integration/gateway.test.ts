import { type EventEmitter, once } from "node:events";
import tls from "node:tls";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { subjects } from "../../src/bus/index.ts";
import type { Assignment, Envelope } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { type Credentials, createTestPki } from "../support/device-pki.ts";
import { createGatewayFixture, type GatewayFixture, RawClient, until } from "../support/gateway.ts";

const PREFIX = "tenants/acme/devices/d-1/";
const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

let fixture: GatewayFixture;
let credentials: Record<"acme" | "acmeTwo" | "globex", Credentials>;
const clients: MqttClient[] = [];

beforeAll(async () => {
  fixture = await createGatewayFixture({ storePatienceMs: 600 });
  const [acme, acmeTwo, globex] = await Promise.all([
    fixture.pki.device("acme", "d-1"),
    fixture.pki.device("acme", "d-2"),
    fixture.pki.device("globex", "d-1"),
  ]);
  credentials = { acme, acmeTwo, globex };
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.endAsync(true)));
  await fixture.close();
});
beforeEach(() => {
  fixture.recorded.available = true;
  fixture.recorded.telemetry.length = 0;
  fixture.recorded.updateStates.length = 0;
});

async function connect(
  who: Credentials = credentials.acme,
  options: IClientOptions = {},
): Promise<MqttClient> {
  const client = mqtt.connect(`mqtts://localhost:${fixture.gateway.port}`, {
    ...who,
    protocolVersion: 5,
    reconnectPeriod: 0,
    clientId: "whatever",
    ...options,
  });
  clients.push(client);
  await new Promise<void>((resolve, reject) => {
    client.once("connect", () => resolve());
    client.once("error", reject);
    client.once("close", () => reject(new Error("closed")));
  });
  return client;
}
const raw = (who = credentials.acme, options = {}) =>
  RawClient.connect(fixture.gateway.port, who, options);
const sample = (seq: number) => JSON.stringify({ ts: 1, seq, values: { a: 1 } });

describe("connecting", () => {
  it("takes the identity from the certificate, whatever the client calls itself", async () => {
    await connect(credentials.acme, { clientId: "globex/d-1", username: "globex", password: "x" });
    await until(async () => (await fixture.devices.get("acme", "d-1")).connected);
    expect((await fixture.devices.get("globex", "d-1")).connected).toBe(false);
  });

  it("tells its limits in the CONNACK", async () => {
    const client = await RawClient.open(fixture.gateway.port, credentials.acme);
    client.send({
      cmd: "connect",
      clientId: "",
      protocolId: "MQTT",
      protocolVersion: 5,
      clean: true,
      keepalive: 0,
      properties: { sessionExpiryInterval: 0xffffffff },
    });
    expect(await client.next("connack")).toMatchObject({
      reasonCode: 0,
      sessionPresent: false,
      properties: {
        receiveMaximum: 100,
        maximumPacketSize: 262_144,
        topicAliasMaximum: 16,
        sharedSubscriptionAvailable: false,
        sessionExpiryInterval: 2_592_000,
        serverKeepAlive: 1_200,
        assignedClientIdentifier: expect.stringMatching(/./),
      },
    });
    client.destroy();
  });

  it.each([
    ["no certificate", /no device/, async () => ({ ca: fixture.pki.root })],
    ["an expired certificate", /expired/, () => fixture.pki.device("acme", "d-1", { days: -1 })],
    [
      "a certificate of a foreign authority",
      /not valid: [A-Z_]*CERT/,
      async () => ({
        ...(await (await createTestPki()).device("acme", "d-1")),
        ca: fixture.pki.root,
      }),
    ],
    ["a certificate that names no device", /no device/, async () => fixture.pki.server],
  ])("refuses %s and says why", async (_name, reasonString, make) => {
    const who = (await make()) as Credentials;
    const before = fixture.gateway.connections();
    for (const version of [4, 5] as const) {
      const client = await RawClient.open(fixture.gateway.port, who, version);
      const base = { cmd: "connect", clientId: "x", protocolId: "MQTT" } as const;
      client.send({ ...base, protocolVersion: version, clean: true, keepalive: 60 });
      expect(await client.next("connack")).toMatchObject(
        version === 4
          ? { returnCode: 5 }
          : { reasonCode: 0x87, properties: { reasonString: expect.stringMatching(reasonString) } },
      );
      await client.closed;
    }
    expect(fixture.gateway.connections()).toBeLessThanOrEqual(before);
  });

  it("refuses TLS 1.1", async () => {
    const socket = tls.connect({
      port: fixture.gateway.port,
      ...credentials.acme,
      servername: "localhost",
      minVersion: "TLSv1.1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT:@SECLEVEL=0",
    });
    await expect(once(socket, "secureConnect")).rejects.toThrow();
  });

  it.each([4, 5] as const)("tells a revoked device so (MQTT %d)", async (protocolVersion) => {
    const revoked = await fixture.pki.device("acme", "revoked");
    fixture.recorded.revoked.add("acme/revoked");
    await expect(connect(revoked, { protocolVersion })).rejects.toMatchObject({
      code: protocolVersion === 5 ? 0x87 : 5,
    });
  });

  it("closes a live connection at once when its certificate is revoked", async () => {
    const two = await fixture.pki.device("globex", "d-2");
    const client = await raw(two, {
      will: { topic: "tenants/globex/devices/d-2/telemetry", payload: Buffer.from(sample(1)) },
    });
    fixture.revoke("globex", "d-2");
    expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x87 });
    await client.closed;
    expect(fixture.recorded.telemetry).toEqual([]);
    await expect(raw(two)).resolves.toBeDefined();
  });

  it("lets a device's second connection take over the first", async () => {
    const first = await raw(credentials.acmeTwo);
    const second = await raw(credentials.acmeTwo);
    expect(await first.next("disconnect")).toMatchObject({ reasonCode: 0x8e });
    await first.closed;
    second.send({ cmd: "pingreq" });
    await second.next("pingresp");
    await fixture.devices.flush();
    expect((await fixture.devices.get("acme", "d-2")).connected).toBe(true);
    second.destroy();
    await until(async () => !(await fixture.devices.get("acme", "d-2")).connected);
  });

  it("resumes a TLS session and asks for the identity all the same", async () => {
    const options = { port: fixture.gateway.port, ...credentials.acme, servername: "localhost" };
    const first = tls.connect(options);
    const session = new Promise<Buffer>((resolve) => first.once("session", resolve));
    await once(first, "secureConnect");
    first.resume();
    const ticket = await session;
    first.destroy();
    const client = await RawClient.open(fixture.gateway.port, {
      ...credentials.acme,
      session: ticket,
    } as Credentials);
    expect(client.socket.isSessionReused()).toBe(true);
    const connectPacket = { cmd: "connect", clientId: "x", protocolVersion: 5 } as const;
    client.send({ ...connectPacket, protocolId: "MQTT", clean: true, keepalive: 60 });
    expect(await client.next("connack")).toMatchObject({ reasonCode: 0 });
    client.destroy();
  });

  it("refuses other versions of the protocol in the way of each", async () => {
    const client = await RawClient.open(fixture.gateway.port, credentials.acme, 4);
    client.write(
      Buffer.from([
        0x10,
        0x0c,
        0,
        4,
        ..."MQTT".split("").map((c) => c.charCodeAt(0)),
        9,
        2,
        0,
        60,
        0,
        0,
      ]),
    );
    expect(await client.next("connack")).toMatchObject({ returnCode: 1 });
    await client.closed;
  });

  it("refuses enhanced authentication, a zero Receive Maximum and a will that is too large", async () => {
    const attempt = (extra: object) => raw(credentials.acmeTwo, extra).catch(() => undefined);
    const refusals: [object, number][] = [
      [{ properties: { authenticationMethod: "SCRAM" } }, 0x8c],
      [{ properties: { receiveMaximum: 0 } }, 0x82],
      [{ will: { topic: `${PREFIX}events`, payload: Buffer.alloc(40_000, "x") } }, 0x97],
    ];
    for (const [extra, reasonCode] of refusals) {
      const client = await RawClient.open(fixture.gateway.port, credentials.acme);
      const base = {
        cmd: "connect",
        clientId: "x",
        protocolId: "MQTT",
        protocolVersion: 5,
      } as const;
      client.send({ ...base, clean: true, keepalive: 1, ...extra });
      expect(await client.next("connack")).toMatchObject({ reasonCode });
      await client.closed;
    }
    await attempt({});
  });
});

describe("messages from a device", () => {
  it.each([4, 5] as const)("are acknowledged when they are durable (MQTT %d)", async (version) => {
    const client = await connect(credentials.acme, { protocolVersion: version });
    await client.publishAsync(`${PREFIX}telemetry`, sample(1), { qos: 1 });
    expect(fixture.recorded.telemetry).toEqual([
      { deviceId: "d-1", payload: JSON.parse(sample(1)) },
    ]);
    await client.publishAsync(`${PREFIX}telemetry`, sample(2), { qos: 2 });
    expect(fixture.recorded.telemetry).toHaveLength(2);
    await client.publishAsync(`${PREFIX}telemetry`, sample(3), { qos: 0 });
    await until(() => fixture.recorded.telemetry.length === 3);
  });

  it("update what is known of the device", async () => {
    const client = await connect();
    const firmware = { version: "2.0.0", hash: "c".repeat(64), slot: "b" };
    const heartbeat = { ts: Date.now(), seq: 1, bootId: "b", uptimeSeconds: 1, firmware };
    await client.publishAsync(`${PREFIX}heartbeat`, JSON.stringify(heartbeat), { qos: 1 });
    expect(await fixture.devices.get("acme", "d-1")).toMatchObject({
      presence: "online",
      firmware: { version: "2.0.0", slot: "b" },
    });
    expect(fixture.recorded.heartbeats).toContain("d-1");
    // What a device takes of the line is counted here: it need not say so itself.
    const more = { ...heartbeat, seq: 2, metrics: { padding: 1 } };
    await client.publishAsync(`${PREFIX}heartbeat`, JSON.stringify(more), { qos: 1 });
    const [first, second] = fixture.recorded.counted.slice(-2);
    const size = JSON.stringify(more).length;
    const gained = (second?.bytes_received ?? 0) - (first?.bytes_received ?? 0);
    expect(gained).toBeGreaterThan(size);
    expect(gained).toBeLessThan(size + 100);
    expect(second?.bytes_sent).toBeGreaterThan(first?.bytes_sent ?? 0);
  });

  it("report incidents, each of them once", async () => {
    const client = await connect();
    const events = [
      { ts: Date.now(), seq: 1, type: "boot", bootId: "b1", reason: "watchdog" },
      { ts: Date.now(), seq: 2, type: "self-test", bootId: "b1", passed: false },
      { ts: Date.now(), seq: 3, type: "self-test", bootId: "b1", passed: true },
      { ts: Date.now(), seq: 4, type: "crash", bootId: "b1" },
    ];
    for (let time = 0; time < 2; time += 1) {
      await client.publishAsync(`${PREFIX}events`, JSON.stringify(events), { qos: 1 });
    }
    // The boot after a crash and the device's own report of it are one.
    expect(fixture.recorded.incidents).toEqual(["self-test-failed b1:2", "crash boot:b1"]);
  });

  it("keep their order on the way to the rollouts, and are acknowledged in it", async () => {
    const client = await raw();
    const phases = ["offered", "downloading", "installing", "rebooting", "confirming"];
    phases.forEach((phase, index) => {
      client.send({
        cmd: "publish",
        topic: `${PREFIX}update/state`,
        payload: JSON.stringify({ updateId: "u", phase }),
        qos: 1,
        dup: false,
        retain: false,
        messageId: index + 1,
      });
      client.send({
        cmd: "publish",
        topic: `${PREFIX}telemetry`,
        payload: sample(index),
        qos: 1,
        dup: false,
        retain: false,
        messageId: index + 101,
      });
    });
    const acknowledged: (number | undefined)[] = [];
    for (let index = 0; index < 10; index += 1)
      acknowledged.push((await client.next("puback")).messageId);
    expect(acknowledged).toEqual([1, 101, 2, 102, 3, 103, 4, 104, 5, 105]);
    expect(fixture.recorded.updateStates.map((state) => state.phase)).toEqual(phases);
    client.destroy();
  });

  it("are not acknowledged while a store is away, and durable when they come again", async () => {
    fixture.recorded.available = false;
    const client = await raw();
    const publish = {
      cmd: "publish",
      topic: `${PREFIX}telemetry`,
      payload: sample(7),
      qos: 1,
      dup: false,
      retain: false,
      messageId: 7,
    } as const;
    client.send(publish);
    expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x89 });
    await client.closed;
    expect(client.received.filter((packet) => packet.cmd === "puback")).toEqual([]);
    expect(fixture.recorded.telemetry).toEqual([]);
    fixture.recorded.available = true;
    const again = await raw();
    again.send({ ...publish, dup: true });
    expect(await again.next("puback")).toMatchObject({ messageId: 7, reasonCode: 0 });
    expect(fixture.recorded.telemetry).toHaveLength(1);
    again.destroy();
  });

  it("wait out a short absence of a store", async () => {
    const client = await connect();
    fixture.recorded.available = false;
    setTimeout(() => {
      fixture.recorded.available = true;
    }, 150);
    await client.publishAsync(`${PREFIX}telemetry`, sample(8), { qos: 1 });
    expect(fixture.recorded.telemetry).toHaveLength(1);
  });

  it.each([
    ["text", "telemetry", "not json"],
    ["an empty payload", "telemetry", ""],
    ["deep nesting", "telemetry", `${"[".repeat(100)}${"]".repeat(100)}`],
    ["a missing field", "heartbeat", "{}"],
    ["a wrong phase", "update/state", `{"updateId":"u","phase":"done"}`],
  ])("are refused with a reason for %s", async (_what, suffix, payload) => {
    const client = await connect();
    await expect(client.publishAsync(PREFIX + suffix, payload, { qos: 1 })).rejects.toMatchObject({
      code: 0x99,
    });
    const old = await connect(credentials.acme, { protocolVersion: 4 });
    await old.publishAsync(PREFIX + suffix, payload, { qos: 1 });
    await old.publishAsync(`${PREFIX}telemetry`, sample(1), { qos: 1 });
  });

  it("of QoS 2 are stored once, though they come twice before their release", async () => {
    const client = await raw();
    const publish = {
      cmd: "publish",
      topic: `${PREFIX}telemetry`,
      payload: sample(9),
      qos: 2,
      dup: false,
      retain: false,
      messageId: 9,
    } as const;
    client.send(publish);
    await client.next("pubrec");
    client.send({ ...publish, dup: true });
    expect(await client.next("pubrec")).toMatchObject({ messageId: 9 });
    client.send({ cmd: "pubrel", messageId: 9, reasonCode: 0 });
    expect(await client.next("pubcomp")).toMatchObject({ messageId: 9, reasonCode: 0 });
    client.send({ cmd: "pubrel", messageId: 9, reasonCode: 0 });
    expect(await client.next("pubcomp")).toMatchObject({ reasonCode: 0x92 });
    expect(fixture.recorded.telemetry).toHaveLength(1);
    client.destroy();
  });
});

describe("the will", () => {
  const will = { topic: `${PREFIX}telemetry`, payload: Buffer.from(sample(66)), qos: 1 as const };

  it("is stored when the connection breaks, and not after a farewell", async () => {
    const polite = await raw(credentials.acme, { will });
    polite.send({ cmd: "disconnect", reasonCode: 0 });
    await polite.closed;
    const broken = await raw(credentials.acme, {
      will: { ...will, payload: Buffer.from(sample(67)) },
    });
    broken.destroy();
    await until(() => fixture.recorded.telemetry.length > 0);
    expect(
      fixture.recorded.telemetry.map(({ payload }) => (payload as { seq: number }).seq),
    ).toEqual([67]);
  });

  it("may not go where the device may not publish", async () => {
    const topic = "tenants/globex/devices/d-1/telemetry";
    for (const protocolVersion of [4, 5] as const) {
      await expect(
        connect(credentials.acme, { protocolVersion, will: { ...will, topic } }),
      ).rejects.toMatchObject({ code: protocolVersion === 5 ? 0x87 : 5 });
    }
    expect(fixture.recorded.telemetry).toEqual([]);
  });
});

describe("commands", () => {
  const send = (name: string, ttlSeconds = 60) =>
    fixture.commands.send(
      "acme",
      { deviceIds: ["d-1"], name, args: { name }, ttlSeconds },
      SYSTEM_ACTOR,
      TRACEPARENT,
    );
  const statusOf = async (id?: string) => (await fixture.commands.get("acme", id as string)).status;

  it("reach a connected device at once, with their trace, and bring back its result", async () => {
    const client = await connect();
    await client.subscribeAsync(`${PREFIX}commands`, { qos: 1 });
    const message = once(client as unknown as EventEmitter, "message");
    const [command] = await send("reboot");
    const [topic, payload, packet] = await message;
    expect(topic).toBe(`${PREFIX}commands`);
    const body = JSON.parse(payload.toString());
    expect(body).toMatchObject({ id: command?.id, name: "reboot", args: { name: "reboot" } });
    expect(body.traceparent).toContain("0af7651916cd43dd8448eb211c80319c");
    expect(packet).toMatchObject({
      qos: 1,
      retain: false,
      properties: {
        contentType: "application/json",
        userProperties: { traceparent: body.traceparent },
      },
    });
    await until(async () => (await statusOf(command?.id)) === "delivered");
    await client.publishAsync(
      `${PREFIX}commands/${command?.id}/result`,
      JSON.stringify({ status: "succeeded", output: 1 }),
      { qos: 1, properties: { userProperties: { traceparent: body.traceparent } } },
    );
    expect(await statusOf(command?.id)).toBe("succeeded");
    await client.endAsync();
  });

  it("wait for a device that is away and come in their order; what has expired does not", async () => {
    const expired = await send("late", 1);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    for (let index = 0; index < 40; index += 1) await send(`c-${index}`);
    const client = await connect(credentials.acme, { properties: { receiveMaximum: 3 } });
    const names: string[] = [];
    client.on("message", (topic, payload) => {
      // Its twin comes by the same filter.
      if (topic === `${PREFIX}commands`) names.push(JSON.parse(payload.toString()).name);
    });
    await client.subscribeAsync(`${PREFIX}#`, { qos: 1 });
    await until(() => names.length >= 40);
    expect(names).toEqual(Array.from({ length: 40 }, (_, index) => `c-${index}`));
    await fixture.commands.expireDue("acme", Date.now());
    expect(await statusOf(expired[0]?.id)).toBe("expired");
    await until(async () => (await fixture.commands.undelivered("acme", "d-1", 10)).length === 0);
    await client.endAsync();
  });

  it("come again when the device did not acknowledge them", async () => {
    const [command] = await send("again");
    const first = await raw();
    first.send({
      cmd: "subscribe",
      messageId: 1,
      subscriptions: [{ topic: `${PREFIX}commands`, qos: 1 }],
    });
    await first.next("publish");
    expect(await statusOf(command?.id)).toBe("queued");
    first.destroy();
    await first.closed;
    const second = await raw();
    second.send({
      cmd: "subscribe",
      messageId: 1,
      subscriptions: [{ topic: `${PREFIX}commands`, qos: 1 }],
      properties: { subscriptionIdentifier: 5 },
    });
    const publish = await second.next("publish");
    expect(publish.properties).toMatchObject({ subscriptionIdentifier: 5 });
    second.send({ cmd: "puback", messageId: publish.messageId as number, reasonCode: 0 });
    await until(async () => (await statusOf(command?.id)) === "delivered");
    second.destroy();
  });

  it("that are larger than the device takes are rejected in its name", async () => {
    const [command] = await send("x".repeat(120));
    const client = await connect(credentials.acme, { properties: { maximumPacketSize: 200 } });
    await client.subscribeAsync(`${PREFIX}commands`, { qos: 1 });
    await until(async () => (await statusOf(command?.id)) === "rejected");
    await client.endAsync();
  });

  it("take no result for another device's command", async () => {
    const [command] = await send("mine");
    const client = await connect(credentials.acmeTwo);
    const topic = `tenants/acme/devices/d-2/commands/${command?.id}/result`;
    await expect(
      client.publishAsync(topic, `{"status":"succeeded"}`, { qos: 1 }),
    ).rejects.toMatchObject({ code: 0x90 });
    expect(await statusOf(command?.id)).toBe("queued");
    await client.endAsync();
  });
});

describe("update assignments", () => {
  it("are sent on subscribing and when they change, each once", async () => {
    const envelope = (sequence: number) =>
      ({
        signed: { sequence, updateId: "u", traceparent: null, device: "d-2" },
        signatures: [],
      }) as unknown as Envelope<Assignment>;
    fixture.recorded.assignments.set("acme/d-2", envelope(1));
    const client = await connect(credentials.acmeTwo);
    const received: number[] = [];
    client.on("message", (_topic, payload) =>
      received.push(JSON.parse(payload.toString()).signed.sequence),
    );
    await client.subscribeAsync("tenants/acme/devices/d-2/update", { qos: 1 });
    await until(() => received.length === 1);
    const subject = subjects.device("acme", "d-2");
    fixture.bus.publish(subject, { kind: "update" });
    fixture.recorded.assignments.set("acme/d-2", envelope(2));
    fixture.bus.publish(subject, { kind: "update" });
    fixture.bus.publish(subject, { kind: "update" });
    await until(() => received.length === 2);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(received).toEqual([1, 2]);
    await client.endAsync();
  });
});

describe("when it stops", () => {
  it("says so to every device, publishes no will and leaves nobody connected", async () => {
    const own = await createGatewayFixture();
    const who = await own.pki.device("acme", "d-1");
    const will = { topic: `${PREFIX}telemetry`, payload: Buffer.from(sample(1)) };
    const client = await RawClient.connect(own.gateway.port, who, { will });
    await until(async () => (await own.devices.get("acme", "d-1")).connected);
    await own.gateway.close();
    expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x8b });
    expect((await own.devices.get("acme", "d-1")).connected).toBe(false);
    expect(own.recorded.telemetry).toEqual([]);
    await own.test.close();
  });
});
