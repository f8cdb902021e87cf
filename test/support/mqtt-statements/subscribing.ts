import { expect } from "vitest";
import type { RawClient } from "../gateway.ts";
import { type Bench, SAMPLE, type Statement } from "../mqtt-conformance.ts";
import { counted, NO_UTF8, packet } from "./bytes.ts";

type Asked = { suffix?: string; topic?: string; qos?: 0 | 1 | 2; rh?: number; rap?: boolean };

async function subscribe(bench: Bench, client: RawClient, ...asked: Asked[]): Promise<number[]> {
  const subscriptions = asked.map(({ suffix = "+", topic, qos = 1, ...rest }) => ({
    ...{ topic: topic ?? bench.topic(suffix), qos, ...rest },
  }));
  client.send({ cmd: "subscribe", messageId: 77, subscriptions });
  const { messageId, granted } = await client.next("suback");
  expect(messageId).toBe(77);
  return granted as number[];
}

async function unsubscribe(client: RawClient, ...unsubscriptions: string[]): Promise<number[]> {
  client.send({ cmd: "unsubscribe", messageId: 78, unsubscriptions });
  const { messageId, granted } = await client.next("unsuback");
  expect(messageId).toBe(78);
  return granted as number[];
}

/** Publishes and waits until it is durable; answers what has come of it by then. */
async function heard(bench: Bench, client: RawClient, extra: object = {}) {
  client.send(bench.publish(extra));
  await client.next("puback");
  client.send({ cmd: "pingreq" });
  await client.next("pingresp");
  const published = client.received.splice(0).filter((one) => one.cmd === "publish");
  return published.filter(({ topic }) => topic === bench.topic("telemetry"));
}

/** MQTT 5.0 §3.8 to §3.11, §4.7: subscriptions. */
export const SUBSCRIBING: readonly Statement[] = [
  {
    tag: "MQTT-3.8.4-1",
    also: ["MQTT-3.8.4-2", "MQTT-2.2.1-6", "MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.8.4-7"],
    says: "a SUBSCRIBE is answered by a SUBACK with its identifier and a code for each filter",
    async run(bench) {
      const client = await bench.connect();
      const granted = await subscribe(
        ...([bench, client, { qos: 0 }, { suffix: "events", qos: 2 }] as const),
        ...([{ topic: "another/+" }, { suffix: "a+" }, { suffix: "logs" }] as const),
      );
      expect(granted).toEqual([0, 2, 0x87, 0x8f, 1]);
    },
  },
  {
    tag: "MQTT-3.9.3-1",
    also: ["MQTT-3.9.3-2", "MQTT-3.11.3-1", "MQTT-3.11.3-2", "MQTT-3.10.4-6"],
    says: "codes stand in the order of the filters, in the SUBACK and in the UNSUBACK",
    async run(bench) {
      const client = await bench.connect();
      expect(await subscribe(bench, client, { suffix: "a" }, { topic: "b" })).toEqual([1, 0x87]);
      const [a, b] = [bench.topic("a"), bench.topic("b")];
      expect(await unsubscribe(client, b, a, a)).toEqual([0x11, 0, 0x11]);
    },
  },
  {
    tag: "MQTT-3.8.3-2",
    also: ["MQTT-3.8.3-1", "MQTT-3.10.3-1"],
    says: "a SUBSCRIBE holds a filter, and filters are UTF-8",
    async run(bench) {
      const packets: [Buffer, number][] = [[packet(0x82, [0, 1, 0]), 0x82]];
      for (const bad of NO_UTF8) {
        packets.push([packet(0x82, [0, 1, 0], counted(bad), [0]), 0x81]);
        packets.push([packet(0xa2, [0, 1, 0], counted(bad)), 0x81]);
      }
      for (const [bytes, reasonCode] of packets) {
        const client = await bench.connect();
        client.write(bytes);
        expect(await client.next("disconnect")).toMatchObject({ reasonCode });
        await client.closed;
      }
    },
  },
  {
    tag: "MQTT-3.8.4-3",
    also: ["MQTT-3.8.4-4", "MQTT-3.3.1-9", "MQTT-3.3.1-11"],
    says: "the same filter again replaces the subscription, and loses no message on the way",
    async run(bench) {
      const client = await bench.connect();
      client.send(bench.publish({ retain: true }));
      await client.next("puback");
      await subscribe(bench, client, { qos: 0 });
      expect(await client.next("publish")).toMatchObject({ retain: true, qos: 0 });
      // With Retain Handling 2 nothing comes again, with 0 it does.
      await subscribe(bench, client, { qos: 1, rh: 2 });
      expect(await heard(bench, client)).toMatchObject([{ qos: 1, retain: false }]);
      await subscribe(bench, client, { qos: 1, rh: 0 });
      expect(await client.next("publish")).toMatchObject({ retain: true, qos: 1 });
      expect(client.received).toEqual([]);
    },
  },
  {
    tag: "MQTT-3.3.1-8",
    also: ["MQTT-3.3.1-7", "MQTT-3.3.1-13"],
    says: "without RETAIN nothing is kept and nothing replaced; Retain As Published tells of it",
    async run(bench) {
      const client = await bench.connect();
      client.send(bench.publish({ retain: true }));
      await client.next("puback");
      await subscribe(bench, client, { rh: 2, rap: true });
      const payload = JSON.stringify({ ts: 2, seq: 2, values: { a: 2 } });
      expect(await heard(bench, client, { payload })).toMatchObject([{ retain: false }]);
      expect(await heard(bench, client, { payload: "", retain: true })).toMatchObject([
        { retain: true },
      ]);
      client.send(bench.publish({ payload: "", retain: true, messageId: 9 }));
      await client.next("puback");
      await subscribe(bench, client, { suffix: "telemetry" });
      client.send({ cmd: "pingreq" });
      await client.next("pingresp");
      const kept = client.received.filter(
        (one) => one.cmd === "publish" && String(one.payload) === SAMPLE,
      );
      expect(kept).toEqual([]);
    },
  },
  {
    tag: "MQTT-3.10.4-1",
    also: ["MQTT-3.10.4-2", "MQTT-3.10.4-4", "MQTT-3.10.4-5"],
    says: "an UNSUBSCRIBE ends what it names to the letter, and is answered where that is nothing",
    async run(bench) {
      const client = await bench.connect();
      await subscribe(bench, client, { suffix: "#" });
      expect(await unsubscribe(client, bench.topic("+"), `${bench.topic("#")} `)).toEqual([
        0x11, 0x11,
      ]);
      expect(await heard(bench, client)).toHaveLength(1);
      expect(await unsubscribe(client, bench.topic("#"))).toEqual([0]);
      expect(await heard(bench, client)).toEqual([]);
    },
  },
  {
    tag: "MQTT-3.10.4-3",
    says: "what was under way when its subscription ended is brought to its end",
    async run(bench) {
      const client = await bench.connect();
      await subscribe(bench, client, { suffix: "telemetry", qos: 2 });
      client.send(bench.publish({ qos: 2, messageId: 4 }));
      const { messageId = 0 } = await client.next("publish");
      await unsubscribe(client, bench.topic("telemetry"));
      client.send({ cmd: "pubrec", messageId, reasonCode: 0 });
      expect(await client.next("pubrel")).toMatchObject({ messageId, reasonCode: 0 });
      client.send({ cmd: "pubcomp", messageId, reasonCode: 0 });
    },
  },
  {
    tag: "MQTT-4.7.1-1",
    also: ["MQTT-4.7.1-2"],
    says: "wildcards stand for whole levels, and # for the last ones",
    async run(bench) {
      const client = await bench.connect();
      const bad = ["a#", "#/a", "a/#/b", "+a", "a+", "##", "a/b+/c"];
      const codes = await subscribe(bench, client, ...bad.map((suffix) => ({ suffix })));
      expect(codes).toEqual(bad.map(() => 0x8f));
      const good = ["#", "+", "+/a/+", "a/+/b/#", "/", "+/#"];
      const granted = await subscribe(bench, client, ...good.map((suffix) => ({ suffix })));
      expect(granted).toEqual(good.map(() => 1));
    },
  },
  {
    tag: "MQTT-4.7.2-1",
    says: "what begins with a wildcard reaches nothing that begins with $, nor anything of others",
    async run(bench) {
      const client = await bench.connect();
      const filters = ["#", "+/monitor/Clients", "$SYS/#", "$share/g/#", "/#"];
      const codes = await subscribe(bench, client, ...filters.map((topic) => ({ topic })));
      expect(codes.every((code) => code >= 0x80)).toBe(true);
    },
  },
];
