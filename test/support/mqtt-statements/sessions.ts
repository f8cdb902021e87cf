import type { Packet } from "mqtt-packet";
import { expect } from "vitest";
import type { RawClient } from "../gateway.ts";
import { until } from "../gateway.ts";
import type { Bench, Statement } from "../mqtt-conformance.ts";

type Connack = Extract<Packet, { cmd: "connack" }>;

/** Connects and keeps the CONNACK, which `bench.connect` would take. */
async function connackOf(bench: Bench, options: object): Promise<[RawClient, Connack]> {
  const { protocolVersion = 5 } = options as { protocolVersion?: 4 | 5 };
  const client = await bench.open(protocolVersion);
  const base = { cmd: "connect", clientId: "x", protocolId: "MQTT", keepalive: 60 } as const;
  client.send({ ...base, protocolVersion, clean: true, ...options });
  return [client, await client.next("connack")];
}

const kept = { clean: false, properties: { sessionExpiryInterval: 100 } };

async function leave(client: RawClient): Promise<void> {
  client.send({ cmd: "disconnect", reasonCode: 0 });
  await client.closed;
}

async function subscribe(bench: Bench, client: RawClient, qos: 0 | 1 | 2 = 1): Promise<void> {
  const subscriptions = [{ topic: bench.topic("commands"), qos }];
  client.send({ cmd: "subscribe", messageId: 1, subscriptions });
  await client.next("suback");
}

/** Begins the session anew, as each statement does. */
async function begin(bench: Bench, properties: object = { sessionExpiryInterval: 100 }) {
  const [client, connack] = await connackOf(bench, { clean: true, properties });
  expect(connack.sessionPresent).toBe(false);
  return client;
}

/** MQTT 5.0 §3.1.2.4, §3.1.2.11.2, §3.2.2.1.1, §4.1 and §4.4. */
export const SESSIONS: readonly Statement[] = [
  {
    tag: "MQTT-3.1.2-5",
    also: ["MQTT-3.2.2-3", "MQTT-3.1.4-4"],
    says: "a session that was kept goes on, with its subscriptions, and Session Present says so",
    async run(bench) {
      const first = await begin(bench);
      await subscribe(bench, first);
      await leave(first);
      const id = await bench.command();
      const [second, connack] = await connackOf(bench, kept);
      expect(connack).toMatchObject({ sessionPresent: true, reasonCode: 0 });
      const publish = await second.next("publish");
      expect(JSON.parse(String(publish.payload)).id).toBe(id);
      expect(publish.dup).toBe(false);
    },
  },
  {
    tag: "MQTT-3.1.2-4",
    also: ["MQTT-3.1.4-4"],
    says: "Clean Start discards the session",
    async run(bench) {
      await subscribe(bench, await begin(bench));
      const second = await begin(bench);
      await bench.command();
      second.send({ cmd: "pingreq" });
      await second.next("pingresp");
      expect(second.received.filter(({ cmd }) => cmd === "publish")).toEqual([]);
    },
  },
  {
    tag: "MQTT-3.2.2-2",
    also: ["MQTT-3.1.2-6"],
    says: "a session that was not kept is not present, in either version",
    async run(bench) {
      await subscribe(bench, await begin(bench, {}));
      const [, connack] = await connackOf(bench, kept);
      expect(connack.sessionPresent).toBe(false);
      const old = { protocolVersion: 4, clean: true };
      await connackOf(bench, old);
      const [, later] = await connackOf(bench, { ...old, clean: false });
      expect(later.sessionPresent).toBe(false);
    },
  },
  {
    tag: "MQTT-3.1.2-6 (3.1.1)",
    says: "Clean Session 0 keeps the session of MQTT 3.1.1",
    async run(bench) {
      await connackOf(bench, { protocolVersion: 4, clean: true });
      const [first] = await connackOf(bench, { protocolVersion: 4, clean: false });
      await subscribe(bench, first);
      first.destroy();
      await first.closed;
      await bench.command();
      const [second, connack] = await connackOf(bench, { protocolVersion: 4, clean: false });
      expect(connack.sessionPresent).toBe(true);
      await second.next("publish");
    },
  },
  {
    tag: "MQTT-3.1.2-23",
    also: ["MQTT-4.1.0-2"],
    says: "a session is kept as long as its Session Expiry Interval, and no longer",
    async run(bench) {
      const first = await begin(bench, { sessionExpiryInterval: 1 });
      await leave(first);
      await new Promise((resolve) => setTimeout(resolve, 1_100));
      const [, connack] = await connackOf(bench, kept);
      expect(connack.sessionPresent).toBe(false);
    },
  },
  {
    tag: "§3.2.2.3.2",
    says: "a Session Expiry Interval above the server's is answered with the server's",
    async run(bench) {
      const properties = { sessionExpiryInterval: 0xffffffff };
      const [client, connack] = await connackOf(bench, { properties });
      expect(connack.properties?.sessionExpiryInterval).toBe(30 * 86_400);
      await leave(client);
    },
  },
  {
    tag: "§3.14.2.2.2",
    says: "a DISCONNECT may end the session, and may not begin to keep it",
    async run(bench) {
      const first = await begin(bench);
      const ending = { sessionExpiryInterval: 0 };
      first.send({ cmd: "disconnect", reasonCode: 0, properties: ending });
      await first.closed;
      const [second, connack] = await connackOf(bench, { clean: false });
      expect(connack.sessionPresent).toBe(false);
      const keeping = { sessionExpiryInterval: 10 };
      second.send({ cmd: "disconnect", reasonCode: 0, properties: keeping });
      expect(await second.next("disconnect")).toMatchObject({ reasonCode: 0x82 });
    },
  },
  {
    tag: "MQTT-4.4.0-1",
    also: ["MQTT-3.3.1-1", "MQTT-4.1.0-1"],
    says: "what was not acknowledged is sent again with its identifier and DUP, in its order",
    async run(bench) {
      for (const qos of [1, 2] as const) {
        const first = await begin(bench);
        await subscribe(bench, first, qos);
        const ids = [await bench.command("a"), await bench.command("b")];
        const sent = [await first.next("publish"), await first.next("publish")];
        first.destroy();
        await first.closed;
        const [second] = await connackOf(bench, kept);
        for (const [index, { messageId }] of sent.entries()) {
          const again = await second.next("publish");
          expect(again).toMatchObject({ messageId, dup: true, qos });
          expect(JSON.parse(String(again.payload)).id).toBe(ids[index]);
          const cmd = qos === 1 ? "puback" : "pubrec";
          second.send({ cmd, messageId: messageId as number, reasonCode: 0 });
        }
        for (const id of ids) {
          const { commands } = bench.fixture;
          await until(async () => (await commands.get("acme", id)).status === "delivered");
        }
        await leave(second);
      }
    },
  },
  {
    tag: "MQTT-4.3.3-7",
    also: ["MQTT-4.3.3-6", "MQTT-4.3.3-13"],
    says: "after the PUBREC only the PUBREL is sent again",
    async run(bench) {
      const first = await begin(bench);
      await subscribe(bench, first, 2);
      await bench.command();
      const { messageId } = await first.next("publish");
      first.send({ cmd: "pubrec", messageId: messageId as number, reasonCode: 0 });
      await first.next("pubrel");
      first.destroy();
      await first.closed;
      const [second] = await connackOf(bench, kept);
      expect(await second.next("pubrel")).toMatchObject({ messageId });
      second.send({ cmd: "pubcomp", messageId: messageId as number, reasonCode: 0 });
      second.send({ cmd: "pingreq" });
      await second.next("pingresp");
      expect(second.received.filter(({ cmd }) => cmd === "publish")).toEqual([]);
    },
  },
  {
    tag: "MQTT-4.3.3-10",
    says: "a QoS 2 message of the device is known again in the session's next connection",
    async run(bench) {
      const first = await begin(bench);
      first.send(bench.publish({ qos: 2, messageId: 9 }));
      await first.next("pubrec");
      first.destroy();
      await first.closed;
      const [second] = await connackOf(bench, kept);
      second.send(bench.publish({ qos: 2, messageId: 9, dup: true }));
      expect(await second.next("pubrec")).toMatchObject({ messageId: 9, reasonCode: 0 });
      expect(bench.fixture.recorded.telemetry).toHaveLength(1);
      second.send({ cmd: "pubrel", messageId: 9, reasonCode: 0 });
      expect(await second.next("pubcomp")).toMatchObject({ reasonCode: 0 });
      second.destroy();
      await second.closed;
      const [third] = await connackOf(bench, kept);
      third.send(bench.publish({ qos: 2, messageId: 9 }));
      await third.next("pubrec");
      expect(bench.fixture.recorded.telemetry).toHaveLength(2);
    },
  },
  {
    tag: "§3.3.2.3.3",
    says: "a command that has expired is not sent again, though its sending had begun",
    async run(bench) {
      const first = await begin(bench);
      await subscribe(bench, first);
      const order = { deviceIds: ["d-1"], name: "late", args: {}, ttlSeconds: 2 };
      const actor = { kind: "system", id: "test", name: "test" } as const;
      await bench.fixture.commands.send("acme", order, actor, null);
      await first.next("publish");
      first.destroy();
      await new Promise((resolve) => setTimeout(resolve, 2_100));
      const [second] = await connackOf(bench, kept);
      const id = await bench.command("fresh");
      expect(JSON.parse(String((await second.next("publish")).payload)).id).toBe(id);
    },
  },
];
