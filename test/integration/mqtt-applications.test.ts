import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from "mqtt";
import mqttPacket, { type Packet } from "mqtt-packet";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { type Applications, createApplications } from "../../src/gateway/index.ts";
import { SYSTEM_ACTOR, type TenantRole } from "../../src/tenancy/index.ts";
import type { Credentials } from "../support/device-pki.ts";
import { createGatewayFixture, type GatewayFixture, RawClient, until } from "../support/gateway.ts";

const ACME = "tenants/acme/devices/d-1/";

let fixture: GatewayFixture;
let applications: Applications;
let server: http.Server;
let url: string;
const keys = new Map<string, { id: string; key: string }>();
let device: Credentials;
let foreigner: Credentials;
const clients: MqttClient[] = [];
const raws: RawClient[] = [];

beforeAll(async () => {
  fixture = await createGatewayFixture();
  const limits = {
    recheckMs: 100,
    waiting: 20,
    subscriptions: 5,
    commandRate: 0.1,
    commandBurst: 50,
  };
  applications = createApplications({ ...fixture.deps, ...fixture, limits });
  server = http.createServer().on("upgrade", applications.upgrade);
  await once(server.listen(0, "127.0.0.1"), "listening");
  url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/mqtt`;
  for (const [tenantId, role] of [
    ["acme", "viewer"],
    ["acme", "operator"],
    ["globex", "viewer"],
  ]) {
    const key = { name: `${role} of ${tenantId}`, role: role as TenantRole };
    const made = await fixture.tenancy.keys.createTenantKey(tenantId as string, key, SYSTEM_ACTOR);
    keys.set(`${tenantId} ${role}`, made);
  }
  device = await fixture.pki.device("acme", "d-1");
  foreigner = await fixture.pki.device("globex", "d-1");
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
  for (const client of raws.splice(0)) client.destroy();
});
afterAll(async () => {
  await applications.close();
  server.closeAllConnections();
  server.close();
  await fixture.close();
});

async function connect(who = "acme viewer", options: IClientOptions = {}): Promise<MqttClient> {
  const client = mqtt.connect(url, {
    ...{ protocolVersion: 5, reconnectPeriod: 0, username: "apikey" },
    password: keys.get(who)?.key ?? who,
    ...options,
  });
  clients.push(client);
  client.on("error", () => {});
  await new Promise<void>((resolve, reject) => {
    client.once("connect", () => resolve());
    client.once("error", reject);
    client.once("close", () => reject(new Error("closed")));
  });
  return client;
}

function listen(client: MqttClient): IPublishPacket[] {
  const heard: IPublishPacket[] = [];
  client.on("message", (_topic, _payload, packet) => heard.push(packet));
  return heard;
}

async function publishAs(who: Credentials, topic: string, extra: object = {}): Promise<void> {
  const client = await RawClient.connect(fixture.gateway.port, who);
  raws.push(client);
  const payload = JSON.stringify({ ts: 1, seq: 1, values: { a: 1 } });
  const flags = { qos: 1, dup: false, retain: false, messageId: 1 } as const;
  client.send({ cmd: "publish", topic, payload, ...flags, ...extra });
  await client.next("puback");
}

/** An application that listens and acknowledges nothing: the reason why it is sent away. */
function silentListener(): { isReady: Promise<void>; reason: Promise<number> } {
  const socket = new WebSocket(url, ["mqtt"]);
  const parser = mqttPacket.parser({ protocolVersion: 5 });
  const send = (packet: Packet) => socket.send(mqttPacket.generate(packet, { protocolVersion: 5 }));
  socket.on("message", (bytes: Buffer) => parser.parse(bytes));
  socket.once("open", () =>
    send({
      ...{ cmd: "connect", protocolId: "MQTT", protocolVersion: 5, clean: true, keepalive: 60 },
      ...{ clientId: "", username: "apikey", properties: { receiveMaximum: 1 } },
      password: Buffer.from(keys.get("acme viewer")?.key as string),
    }),
  );
  const next = <Cmd extends Packet["cmd"]>(cmd: Cmd) =>
    new Promise<Extract<Packet, { cmd: Cmd }>>((resolve) => {
      parser.on("packet", (packet) => {
        if (packet.cmd === cmd) resolve(packet as Extract<Packet, { cmd: Cmd }>);
      });
    });
  const isReady = next("suback").then(() => {});
  void next("connack").then(() => {
    const subscriptions = [{ topic: "tenants/acme/devices/+/telemetry", qos: 1 as const }];
    send({ cmd: "subscribe", messageId: 1, subscriptions });
  });
  return { isReady, reason: next("disconnect").then(({ reasonCode }) => reasonCode ?? 0) };
}

const pause = (ms = 100) => new Promise((resolve) => setTimeout(resolve, ms));

describe("an application", () => {
  it.each([4, 5] as const)(
    "hears its tenant's devices and no others (MQTT %d)",
    async (version) => {
      const client = await connect("acme viewer", { protocolVersion: version });
      const heard = listen(client);
      const properties = { subscriptionIdentifier: 5 };
      const options = version === 5 ? { qos: 1 as const, properties } : { qos: 1 as const };
      await client.subscribeAsync("tenants/acme/devices/+/telemetry", options);
      await pause();
      await publishAs(foreigner, "tenants/globex/devices/d-1/telemetry");
      await publishAs(device, `${ACME}telemetry`, {
        properties: { userProperties: { a: "b" }, correlationData: Buffer.from([1]) },
      });
      await until(() => heard.length > 0);
      await pause();
      expect(heard.map(({ topic, qos, retain }) => [topic, qos, retain])).toEqual([
        [`${ACME}telemetry`, 1, false],
      ]);
      if (version === 4) return;
      expect(heard[0]?.properties).toMatchObject({
        subscriptionIdentifier: 5,
        userProperties: { a: "b" },
        correlationData: Buffer.from([1]),
      });
    },
  );

  it("is told with a wildcard nothing that is not for it: certificates, orders, others", async () => {
    const client = await connect();
    const heard = listen(client);
    await client.subscribeAsync("tenants/acme/#", { qos: 1 });
    await pause();
    const request = JSON.stringify({ requestId: "r", csr: "x" });
    await publishAs(device, `${ACME}certificate/request`, { payload: request });
    await publishAs(foreigner, "tenants/globex/devices/d-1/telemetry");
    await pause();
    expect(heard).toEqual([]);
  });

  it.each([
    ["#", 0x87],
    ["+/acme/#", 0x87],
    ["tenants/+/devices/+/telemetry", 0x87],
    ["tenants/#", 0x87],
    ["tenants/globex/devices/d-1/telemetry", 0x87],
    ["tenants/acme/../globex/#", 0],
    ["tenants/acme%2F..%2Fglobex/#", 0x87],
    ["tenants/ACME/#", 0x87],
    ["tenants/__proto__/#", 0x87],
    ["tenants/acme/devices/d-1/certificate/response", 0x87],
    ["tenants/acme/devices/d-1/commands", 0x87],
    ["$SYS/#", 0x87],
    ["$share/g/tenants/globex/#", 0x87],
    ["$share/g/#", 0x87],
    ["$share//tenants/acme/#", 0x8f],
    ["$share/g", 0x8f],
  ])("is granted no filter that reaches further: %s", async (filter, code) => {
    const client = await connect();
    const heard = listen(client);
    const suback = new Promise<number>((resolve) => {
      client.on("packetreceive", (packet) => {
        if (packet.cmd === "suback") resolve(packet.granted[0] as number);
      });
    });
    client.subscribe(filter, { qos: 1 }, () => {});
    const granted = await suback;
    expect(granted === 1 ? 0 : granted).toBe(code);
    await publishAs(foreigner, "tenants/globex/devices/d-1/telemetry");
    await pause(30);
    expect(heard).toEqual([]);
  });

  it("shares a subscription: each message comes to one of the group, and to one who is left", async () => {
    const members = await Promise.all([connect(), connect(), connect()]);
    const heard = members.map(listen);
    for (const member of members) {
      await member.subscribeAsync("$share/g/tenants/acme/devices/+/telemetry", { qos: 1 });
    }
    await pause();
    for (let time = 0; time < 6; time += 1) await publishAs(device, `${ACME}telemetry`);
    await until(() => heard.flat().length >= 6);
    expect(heard.map((messages) => messages.length)).toEqual([2, 2, 2]);
    await members[0]?.endAsync();
    for (let time = 0; time < 4; time += 1) await publishAs(device, `${ACME}telemetry`);
    await until(() => heard.flat().length >= 10);
    expect(heard[0]).toHaveLength(2);
  });

  it("has no No Local on a shared subscription", async () => {
    const client = await connect();
    const told = once(client as never, "disconnect") as Promise<[{ reasonCode: number }]>;
    client.subscribe("$share/g/tenants/acme/devices/+/telemetry", { qos: 1, nl: true });
    expect((await told)[0].reasonCode).toBe(0x82);
  });

  it("that does not keep up is sent away with a reason, and holds up nobody else", async () => {
    const { isReady, reason: slow } = silentListener();
    await isReady;
    const quick = await connect();
    const heard = listen(quick);
    await quick.subscribeAsync("tenants/acme/devices/+/telemetry", { qos: 1 });
    await pause();
    const client = await RawClient.connect(fixture.gateway.port, device);
    raws.push(client);
    const payload = JSON.stringify({ ts: 1, seq: 1, values: { a: 1 } });
    for (let messageId = 1; messageId <= 30; messageId += 1) {
      const flags = { qos: 1, dup: false, retain: false, messageId } as const;
      client.send({ cmd: "publish", topic: `${ACME}telemetry`, payload, ...flags });
      await client.next("puback");
    }
    expect(await slow).toBe(0x97);
    await until(() => heard.length === 30);
  });
});

describe("an order of an application", () => {
  const order = (client: MqttClient, topic: string, body: unknown, options: object = {}) =>
    client.publishAsync(topic, typeof body === "string" ? body : JSON.stringify(body), {
      qos: 1,
      ...options,
    });

  it.each([1, 2] as const)("becomes a command in the device's queue (QoS %d)", async (qos) => {
    const client = await connect("acme operator");
    await order(
      client,
      `${ACME}commands`,
      { name: "blink", args: { times: 3 } },
      {
        qos,
        properties: { messageExpiryInterval: 60 },
      },
    );
    const [command] = await fixture.commands.undelivered("acme", "d-1", 1);
    expect(command).toMatchObject({ name: "blink", args: { times: 3 } });
    expect((command?.expiresAt ?? 0) - Date.now()).toBeLessThan(61_000);
    const view = await fixture.commands.get("acme", command?.id as string);
    expect(view.createdBy).toBe("operator of acme");
    await fixture.commands.cancel("acme", command?.id as string, SYSTEM_ACTOR);
  });

  it.each([
    ["by who may only look", "acme viewer", `${ACME}commands`, { name: "x" }, 0x87],
    [
      "to another tenant",
      "acme operator",
      "tenants/globex/devices/d-1/commands",
      { name: "x" },
      0x87,
    ],
    ["to a topic that takes none", "acme operator", `${ACME}telemetry`, { name: "x" }, 0x87],
    ["in a device's name", "acme operator", `${ACME}commands/1/result`, { name: "x" }, 0x87],
    ["to no device", "acme operator", "tenants/acme/devices/none/commands", { name: "x" }, 0x90],
    ["without a name", "acme operator", `${ACME}commands`, {}, 0x99],
    ["that is no JSON", "acme operator", `${ACME}commands`, "{", 0x99],
  ])("is refused %s", async (_what, who, topic, body, code) => {
    const client = await connect(who);
    await expect(order(client, topic, body)).rejects.toMatchObject({ code });
    expect(await fixture.commands.undelivered("acme", "d-1", 10)).toEqual([]);
  });

  it("beyond its key's allowance exceeds the quota", async () => {
    const client = await connect("acme operator");
    const orders = Array.from({ length: 60 }, () => order(client, `${ACME}telemetry/x`, {}));
    await Promise.allSettled(orders);
    const topic = "tenants/acme/devices/none/commands";
    const codes = await Promise.all(
      Array.from({ length: 60 }, () =>
        order(client, topic, { name: "x" }).then(
          () => 0,
          (error) => error.code,
        ),
      ),
    );
    expect(codes).toContain(0x97);
  });
});

describe("the door for applications", () => {
  it.each([
    ["a wrong key", { password: `vk_${"A".repeat(43)}` }],
    ["no key", { password: "" }],
    ["another key's id", { username: "00000000-0000-7000-8000-000000000000" }],
    ["a device's name", { username: "acme/d-1" }],
  ])("is closed to %s", async (_what, options) => {
    const base = { password: keys.get("acme viewer")?.key as string, ...options };
    await expect(connect("acme viewer", base)).rejects.toMatchObject({ code: 0x86 });
    await expect(connect("acme viewer", { ...base, protocolVersion: 4 })).rejects.toMatchObject({
      code: 4,
    });
  });

  it("opens to a key by its id, and refuses wills and enhanced authentication", async () => {
    const username = keys.get("acme viewer")?.id as string;
    await connect("acme viewer", { username });
    const will = { topic: `${ACME}commands`, payload: Buffer.from("{}"), qos: 1 as const };
    await expect(connect("acme viewer", { will })).rejects.toMatchObject({ code: 0x87 });
    const properties = { authenticationMethod: "SCRAM-SHA-256" };
    await expect(connect("acme viewer", { properties })).rejects.toMatchObject({ code: 0x8c });
  });

  it("closes behind a key that is revoked", async () => {
    const key = { name: "short-lived", role: "viewer" as const };
    const made = await fixture.tenancy.keys.createTenantKey("acme", key, SYSTEM_ACTOR);
    const client = await connect(made.key);
    const told = once(client as never, "disconnect") as Promise<[{ reasonCode: number }]>;
    await fixture.tenancy.keys.revoke({ tenantId: "acme" }, made.id, SYSTEM_ACTOR);
    expect((await told)[0].reasonCode).toBe(0x87);
  });

  it("lets the newer of two connections of one client id stay", async () => {
    const first = await connect("acme viewer", { clientId: "same" });
    const told = once(first as never, "disconnect") as Promise<[{ reasonCode: number }]>;
    await connect("acme operator", { clientId: "same" });
    const second = await connect("acme viewer", { clientId: "same" });
    expect((await told)[0].reasonCode).toBe(0x8e);
    expect(second.connected).toBe(true);
  });

  it.each([
    ["another path", "/other", ["mqtt"]],
    ["another subprotocol", "/mqtt", ["chat"]],
    ["no subprotocol", "/mqtt", []],
  ])("is not where a WebSocket asks for %s", async (_what, path, protocols) => {
    const socket = new WebSocket(url.replace("/mqtt", path), protocols);
    await expect(once(socket, "open")).rejects.toThrow(/Unexpected server response/);
  });

  it("ends a connection that speaks in text, says too much, or says nothing", async () => {
    for (const send of ["text", Buffer.alloc(300 * 1024), Buffer.from([0x30, 0xff, 0xff, 0x7f])]) {
      const socket = new WebSocket(url, ["mqtt"]);
      await once(socket, "open");
      socket.send(send);
      await once(socket, "close");
    }
    await until(() => applications.connections() === 0);
  });
});
