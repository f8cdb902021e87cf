import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import mqtt, {
  type IClientOptions,
  type IConnackPacket,
  type IPublishPacket,
  type MqttClient,
} from "mqtt";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Applications, createApplications } from "../../src/gateway/index.ts";
import { SYSTEM_ACTOR, type TenantRole } from "../../src/tenancy/index.ts";
import { createGatewayFixture, type GatewayFixture, until } from "../support/gateway.ts";

const ROOT = "tenants/acme/exchange/";
const KEPT = { clean: false, properties: { sessionExpiryInterval: 60 } } as const;

interface Process {
  url: string;
  applications: Applications;
  server: http.Server;
}

let fixture: GatewayFixture;
const processes: Process[] = [];
const keys = new Map<string, string>();
const clients: MqttClient[] = [];

beforeAll(async () => {
  fixture = await createGatewayFixture();
  for (const [tenantId, role] of [
    ["acme", "viewer"],
    ["acme", "operator"],
    ["globex", "operator"],
  ] as const) {
    const key = { name: `${role} of ${tenantId}`, role: role as TenantRole };
    const made = await fixture.tenancy.keys.createTenantKey(tenantId, key, SYSTEM_ACTOR);
    keys.set(`${tenantId} ${role}`, made.key);
  }
  processes.push(await start("api-1"), await start("api-2"));
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
});
afterAll(async () => {
  for (const one of processes) await stop(one);
  await fixture.close();
});

/** What one process of the API has. */
async function start(holder: string, queued = 1_000): Promise<Process> {
  const applications = createApplications({
    ...{ ...fixture.deps, ...fixture, holder, limits: { queued } },
  });
  const server = http.createServer().on("upgrade", applications.upgrade);
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/mqtt`;
  return { url, applications, server };
}

async function stop({ applications, server }: Process): Promise<void> {
  await applications.close();
  server.closeAllConnections();
  server.close();
}

async function connect(
  clientId: string,
  options: IClientOptions = {},
  where = 0,
  who = "operator",
) {
  const client = mqtt.connect(processes[where]?.url as string, {
    ...{ protocolVersion: 5, reconnectPeriod: 0, username: "apikey", clientId },
    password: keys.get(who.includes(" ") ? who : `acme ${who}`) as string,
    ...options,
  });
  clients.push(client);
  client.on("error", () => {});
  const heard: IPublishPacket[] = [];
  client.on("message", (_topic, _payload, packet) => heard.push(packet));
  const connack = await new Promise<IConnackPacket>((resolve, reject) => {
    client.once("connect", resolve);
    client.once("close", () => reject(new Error("closed")));
  });
  return { client, heard, connack };
}

const texts = (heard: IPublishPacket[]) => heard.map(({ payload }) => payload.toString());
const pause = (ms = 200) => new Promise((resolve) => setTimeout(resolve, ms));
/** The line is cut, without a farewell. */
const cut = (client: MqttClient) => client.stream.destroy();

describe("what applications tell one another", () => {
  it("reaches the others in every process, with its properties, once", async () => {
    const [a, b] = [await connect("a"), await connect("b", {}, 1)];
    await a.client.subscribeAsync(`${ROOT}#`, { qos: 2, nl: true });
    await b.client.subscribeAsync(`${ROOT}orders/+`, { qos: 1 });
    const properties = { userProperties: { k: "v" }, correlationData: Buffer.from([1]) };
    await a.client.publishAsync(`${ROOT}orders/7`, "seven", { qos: 2, properties });
    await until(() => b.heard.length > 0);
    await pause();
    expect(texts(b.heard)).toEqual(["seven"]);
    expect(b.heard[0]).toMatchObject({ qos: 1, properties });
    expect(a.heard).toEqual([]);
  });

  it("stays within the tenant, and within the role", async () => {
    const foreigner = await connect("x", {}, 0, "globex operator");
    const refused = await foreigner.client.subscribeAsync(`${ROOT}#`).catch(() => undefined);
    expect(refused === undefined || (refused[0]?.qos ?? 0) >= 0x80).toBe(true);
    const foreign = foreigner.client.publishAsync(`${ROOT}a`, "x", { qos: 1 });
    await expect(foreign).rejects.toThrow(/Not authorized/);
    const viewer = await connect("v", {}, 0, "viewer");
    await viewer.client.subscribeAsync(`${ROOT}#`, { qos: 1 });
    const told = viewer.client.publishAsync(`${ROOT}a`, "x", { qos: 1 });
    await expect(told).rejects.toThrow(/Not authorized/);
    const { client } = await connect("a");
    const responseTopic = "tenants/globex/exchange/a";
    const answered = client.publishAsync(`${ROOT}a`, "x", {
      qos: 1,
      properties: { responseTopic },
    });
    await expect(answered).rejects.toThrow(/Not authorized/);
    await client.publishAsync(`${ROOT}a`, "for us", { qos: 1 });
    await until(() => viewer.heard.length > 0);
    expect(texts(viewer.heard)).toEqual(["for us"]);
    expect(foreigner.heard).toEqual([]);
  });

  it("waits for who has a session, over the restart of its process, in order", async () => {
    const first = await connect("keeper", { ...KEPT, clean: true }, 1);
    await first.client.subscribeAsync(`${ROOT}jobs/#`, { qos: 2 });
    await first.client.endAsync();
    const teller = await connect("teller");
    for (let number = 0; number < 10; number += 1) {
      await teller.client.publishAsync(`${ROOT}jobs/a`, String(number), { qos: 1 });
    }
    const properties = { messageExpiryInterval: 1 };
    await teller.client.publishAsync(`${ROOT}jobs/a`, "late", { qos: 1, properties });
    await teller.client.publishAsync(`${ROOT}jobs/a`, "nobody's", { qos: 0 });
    await stop(processes[1] as Process);
    processes[1] = await start("api-2");
    await pause(1_100);
    // MQTT 5: it does not repeat its Session Expiry Interval, and has its session all the same.
    const again = await connect("keeper", { clean: false }, 1);
    expect(again.connack.sessionPresent).toBe(true);
    await until(() => again.heard.length >= 10);
    await pause();
    expect(texts(again.heard)).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
  });

  it("is refused, and nobody's, where one who has a session has no room for it", async () => {
    processes.push(await start("api-3", 3));
    const full = await connect("full", { ...KEPT, clean: true }, 2);
    await full.client.subscribeAsync(`${ROOT}full/#`, { qos: 1 });
    await full.client.endAsync();
    const listener = await connect("listener", {}, 2);
    await listener.client.subscribeAsync(`${ROOT}#`, { qos: 1 });
    const { client } = await connect("teller", {}, 2);
    // Together, so that they share a batch; what is refused of one concerns no other.
    const told = Array.from({ length: 8 }, (_, number) =>
      client.publishAsync(`${ROOT}${number % 2 ? "else" : "full"}/a`, String(number), {
        ...{ qos: 1, retain: number === 6 },
      }),
    );
    const outcomes = await Promise.allSettled(told);
    const refused = outcomes.flatMap((outcome) => {
      return outcome.status === "rejected" ? [String(outcome.reason)] : [];
    });
    expect(refused).toEqual([expect.stringMatching(/Quota exceeded/)]);
    const packet: IPublishPacket[] = [];
    client.on("packetreceive", (received) => packet.push(received as never));
    await client.publishAsync(`${ROOT}full/a`, "8", { qos: 2 }).catch(() => undefined);
    expect(packet[0]).toMatchObject({
      ...{ cmd: "pubrec", reasonCode: 0x97 },
      properties: { reasonString: 'the queue of the client "full" is full' },
    });
    await until(() => listener.heard.length === 7);
    expect(texts(listener.heard)).toEqual(["0", "1", "2", "3", "4", "5", "7"]);
    const late = await connect("late", {}, 2);
    await late.client.subscribeAsync(`${ROOT}full/+`, { qos: 1 });
    const again = await connect("full", KEPT, 2);
    await until(() => again.heard.length === 3);
    expect(texts(again.heard)).toEqual(["0", "2", "4"]);
    expect(late.heard).toEqual([]);
    // There is room again.
    await until(() =>
      client.publishAsync(`${ROOT}full/a`, "9", { qos: 1 }).then(
        () => true,
        () => false,
      ),
    );
    await until(() => again.heard.length === 4);
  });

  it("is taken over by the newer connection of a client, in any process", async () => {
    const first = await connect("same", KEPT);
    const ended = new Promise<number | undefined>((resolve) => {
      first.client.once("disconnect", ({ reasonCode }) => resolve(reasonCode));
    });
    await connect("same", KEPT, 1);
    expect(await ended).toBe(0x8e);
  });

  it("is retained where that is asked for, and forgotten by an empty message", async () => {
    const { client } = await connect("a");
    await client.publishAsync(`${ROOT}state/x`, "on", { qos: 1, retain: true });
    const late = await connect("late", {}, 1);
    await late.client.subscribeAsync(`${ROOT}state/+`, { qos: 1 });
    await until(() => late.heard.length > 0);
    expect(late.heard[0]).toMatchObject({ retain: true, qos: 1 });
    await client.publishAsync(`${ROOT}state/x`, "", { qos: 1, retain: true });
    const later = await connect("later");
    await later.client.subscribeAsync(`${ROOT}state/+`, { qos: 1 });
    await pause();
    expect(later.heard).toEqual([]);
    const large = client.publishAsync(`${ROOT}state/y`, Buffer.alloc(33 * 1024), {
      ...{ qos: 1, retain: true },
    });
    await expect(large).rejects.toThrow(/Quota/);
  });

  it("has no leading wildcard for what begins with $", async () => {
    const a = await connect("a");
    await a.client.subscribeAsync(`${ROOT}#`, { qos: 1 });
    await a.client.publishAsync(`${ROOT}$own/x`, "hidden", { qos: 1 });
    await a.client.publishAsync(`${ROOT}x`, "seen", { qos: 1 });
    await until(() => a.heard.length > 0);
    await pause();
    expect(texts(a.heard)).toEqual(["seen"]);
  });
});

describe("the will of an application", () => {
  const will = (delay = 0) => ({
    ...{ topic: `${ROOT}wills`, payload: Buffer.from("gone"), qos: 1 as const, retain: false },
    ...(delay ? { properties: { willDelayInterval: delay } } : {}),
  });

  it("is published when its line is cut, and not after its farewell", async () => {
    const listener = await connect("listener");
    await listener.client.subscribeAsync(`${ROOT}wills`, { qos: 1 });
    const polite = await connect("polite", { will: will() });
    await polite.client.endAsync();
    await pause(1_300);
    expect(listener.heard).toEqual([]);
    const { client } = await connect("cut", { will: will() }, 1);
    cut(client);
    await until(() => listener.heard.length > 0);
    expect(texts(listener.heard)).toEqual(["gone"]);
  });

  it("waits along where the client comes back in time", async () => {
    const listener = await connect("listener");
    await listener.client.subscribeAsync(`${ROOT}wills`, { qos: 1 });
    const { client } = await connect("back", { ...KEPT, clean: true, will: will(30) });
    cut(client);
    await pause();
    const { connack } = await connect("back", KEPT);
    expect(connack.sessionPresent).toBe(true);
    await pause(1_300);
    expect(listener.heard).toEqual([]);
  });

  it("may go to no device, no other tenant and nowhere else", async () => {
    for (const topic of [
      "tenants/globex/exchange/a",
      "tenants/acme/devices/d-1/commands",
      "tenants/acme/exchange",
      "$SYS/x",
    ]) {
      await expect(connect("bad", { will: { ...will(), topic } })).rejects.toThrow();
    }
  });
});
