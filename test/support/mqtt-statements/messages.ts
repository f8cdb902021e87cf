import type { ISubscription } from "mqtt-packet";
import { expect } from "vitest";
import type { RawClient } from "../gateway.ts";
import { type Bench, SAMPLE, type Statement } from "../mqtt-conformance.ts";

async function subscribe(
  bench: Bench,
  client: RawClient,
  options: Partial<ISubscription> & { suffix?: string; identifier?: number } = {},
): Promise<void> {
  const { suffix = "+", identifier, ...rest } = options;
  client.send({
    cmd: "subscribe",
    messageId: 77,
    subscriptions: [{ topic: bench.topic(suffix), qos: 1, ...rest }],
    ...(identifier === undefined ? {} : { properties: { subscriptionIdentifier: identifier } }),
  });
  await client.next("suback");
}

/** What has come of PUBLISH once the server has answered a PINGREQ. */
async function settled(client: RawClient) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  client.send({ cmd: "pingreq" });
  await client.next("pingresp");
  return client.received.filter(({ cmd }) => cmd === "publish");
}

async function retain(bench: Bench, client: RawClient, extra: object = {}): Promise<number> {
  client.send(bench.publish({ retain: true, ...extra }));
  return (await client.next("puback")).reasonCode ?? 0;
}

/** MQTT 5.0 §3.3, §3.8: what a message carries, who gets it, and what stays of it. */
export const MESSAGES: readonly Statement[] = [
  {
    tag: "MQTT-3.3.2-20",
    says: "user properties, content type, response topic and correlation data pass unchanged",
    async run(bench) {
      const client = await bench.connect();
      await subscribe(bench, client, { identifier: 3 });
      const properties = {
        payloadFormatIndicator: true,
        contentType: "application/json",
        responseTopic: bench.topic("events"),
        correlationData: Buffer.from([0, 1, 255]),
        userProperties: { a: ["1", "2"], b: "3" },
      };
      client.send(bench.publish({ properties }));
      const echo = await client.next("publish");
      expect(echo.properties).toEqual({ ...properties, subscriptionIdentifier: 3 });
      expect(String(echo.payload)).toBe(SAMPLE);
    },
  },
  {
    tag: "MQTT-3.8.3-3",
    says: "No Local keeps back what the client itself has published",
    async run(bench) {
      const client = await bench.connect();
      await subscribe(bench, client, { nl: true });
      client.send(bench.publish());
      await client.next("puback");
      expect(await settled(client)).toEqual([]);
    },
  },
  {
    tag: "MQTT-3.8.4-8",
    says: "a message goes out with the lower of its own and the granted QoS",
    async run(bench) {
      const client = await bench.connect();
      await subscribe(bench, client, { qos: 1 });
      client.send(bench.publish({ qos: 2 }));
      expect((await client.next("publish")).qos).toBe(1);
      client.send(bench.publish({ qos: 0 }));
      expect((await client.next("publish")).qos).toBe(0);
    },
  },
  {
    tag: "MQTT-3.3.1-12",
    says: "RETAIN is 0 on what is passed on, unless Retain As Published asks for it",
    async run(bench) {
      for (const rap of [false, true]) {
        const client = await bench.connect();
        await subscribe(bench, client, { rap, rh: 2 });
        await retain(bench, client);
        expect((await client.next("publish")).retain).toBe(rap);
      }
    },
  },
  {
    tag: "MQTT-3.3.1-5",
    says: "a retained message comes on each subscription, with RETAIN 1, and the last one only",
    async run(bench) {
      const client = await bench.connect();
      const last = JSON.stringify({ ts: 2, seq: 2, values: { a: 2 } });
      expect(await retain(bench, client)).toBe(0);
      const properties = { userProperties: { a: "b" }, correlationData: Buffer.from([7]) };
      expect(await retain(bench, client, { payload: last, properties })).toBe(0);
      const other = await bench.connect({ protocolVersion: 5 });
      await subscribe(bench, other, { identifier: 9 });
      const { payload, retain: flag, properties: got } = await other.next("publish");
      expect([String(payload), flag]).toEqual([last, true]);
      expect(got).toEqual({ ...properties, subscriptionIdentifier: 9 });
      expect(await settled(other)).toEqual([]);
    },
  },
  {
    tag: "MQTT-3.3.1-6",
    says: "an empty retained message removes what is kept, and is not kept itself",
    async run(bench) {
      const client = await bench.connect();
      await retain(bench, client);
      expect(await retain(bench, client, { payload: "" })).toBe(0);
      await subscribe(bench, client);
      expect(await settled(client)).toEqual([]);
    },
  },
  {
    tag: "MQTT-3.3.1-10",
    says: "Retain Handling 1 brings it to new subscriptions, 2 to none",
    async run(bench) {
      const client = await bench.connect();
      await retain(bench, client);
      await subscribe(bench, client, { rh: 2 });
      await subscribe(bench, client, { rh: 1 });
      expect(await settled(client)).toEqual([]);
      const other = await bench.connect();
      await subscribe(bench, other, { rh: 1 });
      await other.next("publish");
      await subscribe(bench, other, { rh: 0 });
      await other.next("publish");
    },
  },
  {
    tag: "MQTT-3.3.2-6",
    says: "the Message Expiry Interval is sent less the time that the message has waited",
    async run(bench) {
      const client = await bench.connect();
      await retain(bench, client, { properties: { messageExpiryInterval: 60 } });
      await new Promise((resolve) => setTimeout(resolve, 1_200));
      await subscribe(bench, client);
      const { properties } = await client.next("publish");
      // However slow the machine: less than was sent, and not nothing.
      expect(properties?.messageExpiryInterval).toBeLessThan(60);
      expect(properties?.messageExpiryInterval).toBeGreaterThan(0);
    },
  },
  {
    tag: "MQTT-3.3.2-5",
    says: "a message that has expired is not sent",
    async run(bench) {
      const client = await bench.connect();
      await retain(bench, client, { properties: { messageExpiryInterval: 1 } });
      await new Promise((resolve) => setTimeout(resolve, 1_100));
      await subscribe(bench, client);
      expect(await settled(client)).toEqual([]);
    },
  },
  {
    tag: "§3.4.2.1",
    says: "one retained topic too many, and one payload too large, exceed the quota",
    async run(bench) {
      const client = await bench.connect();
      const result = JSON.stringify({ status: "running" });
      for (let index = 0; index < 21; index += 1) {
        const id = await bench.command(`c-${index}`);
        const topic = bench.topic(`commands/${id}/result`);
        const code = await retain(bench, client, { topic, payload: result });
        expect(code).toBe(index < 20 ? 0 : 0x97);
      }
      const payload = JSON.stringify({ ts: 1, seq: 1, values: {}, note: "x".repeat(70_000) });
      expect(await retain(bench, client, { payload })).toBe(0x97);
    },
  },
  {
    tag: "MQTT-3.3.2-10",
    says: "a topic alias stands for its topic, and the ACL judges what it stands for",
    async run(bench) {
      const client = await bench.connect();
      client.send(bench.publish({ properties: { topicAlias: 1 } }));
      await client.next("puback");
      client.send(bench.publish({ topic: "", properties: { topicAlias: 1 } }));
      expect(await client.next("puback")).toMatchObject({ reasonCode: 0 });
      expect(bench.fixture.recorded.telemetry).toHaveLength(2);
      const foreign = "tenants/globex/devices/d-1/telemetry";
      for (const topic of [foreign, ""]) {
        client.send(bench.publish({ topic, properties: { topicAlias: 1 } }));
        expect(await client.next("puback")).toMatchObject({ reasonCode: 0x87 });
      }
    },
  },
  {
    tag: "MQTT-3.1.2-26",
    also: ["MQTT-3.1.2-27", "MQTT-3.3.2-11"],
    says: "the server uses no more aliases than the client permits, and none unasked",
    async run(bench) {
      const client = await bench.connect({ properties: { topicAliasMaximum: 1 } });
      await subscribe(bench, client, { qos: 0 });
      for (const suffix of ["telemetry", "telemetry", "logs"]) {
        client.send(bench.publish({ topic: bench.topic(suffix) }));
      }
      const sent = [1, 2, 3].map(() => client.next("publish"));
      const [first, second, third] = await Promise.all(sent);
      const seen = [first, second, third].map((packet) => [
        packet?.topic,
        packet?.properties?.topicAlias,
      ]);
      expect(seen).toEqual([
        [bench.topic("telemetry"), 1],
        ["", 1],
        [bench.topic("logs"), undefined],
      ]);
      const plain = await bench.connect();
      await subscribe(bench, plain);
      plain.send(bench.publish());
      expect((await plain.next("publish")).properties?.topicAlias).toBeUndefined();
    },
  },
  {
    tag: "MQTT-3.1.2-25",
    also: ["MQTT-3.1.2-24"],
    says: "a packet above the client's Maximum Packet Size is not sent",
    async run(bench) {
      const client = await bench.connect({ properties: { maximumPacketSize: 60 } });
      await subscribe(bench, client);
      client.send(bench.publish());
      await client.next("puback");
      expect(await settled(client)).toEqual([]);
    },
  },
];
