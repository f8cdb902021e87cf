import { expect } from "vitest";
import { type Bench, SAMPLE, type Statement } from "../mqtt-conformance.ts";
import { counted, NO_UTF8, packet, properties } from "./bytes.ts";

const SUBSCRIBED = { qos: 2 as const };

/** A client that hears what it publishes itself. */
async function hearing(bench: Bench, options = {}) {
  const client = await bench.connect();
  const subscriptions = [{ topic: bench.topic("+"), ...SUBSCRIBED, ...options }];
  client.send({ cmd: "subscribe", messageId: 77, subscriptions });
  await client.next("suback");
  return client;
}

async function expectEnd(bench: Bench, bytes: Buffer, ...codes: number[]) {
  const client = await bench.connect();
  client.write(bytes);
  const { reasonCode } = await client.next("disconnect");
  expect(codes).toContain(reasonCode);
  await client.closed;
}

/** MQTT 5.0 §3.3 to §3.7 and §4.3: messages and their acknowledgements. */
export const PUBLISHES: readonly Statement[] = [
  {
    tag: "MQTT-3.3.1-2",
    also: ["MQTT-2.2.1-2", "MQTT-4.3.1-1", "MQTT-3.3.1-3"],
    says: "QoS 0 goes out without DUP and without an identifier, and does not come with DUP",
    async run(bench) {
      const client = await hearing(bench);
      client.send(bench.publish({ qos: 0 }));
      const echo = await client.next("publish");
      expect(echo).toMatchObject({ qos: 0, dup: false });
      expect(echo.messageId).toBeUndefined();
      expect(String(echo.payload)).toBe(SAMPLE);
      // A repetition of QoS 1 is passed on as the first sending that it is.
      client.send(bench.publish({ qos: 1, dup: true }));
      expect(await client.next("publish")).toMatchObject({ qos: 1, dup: false });
      const topic = counted(bench.topic("telemetry"));
      await expectEnd(bench, packet(0x38, topic, [0]), 0x81, 0x82);
    },
  },
  {
    tag: "MQTT-2.2.1-4",
    also: ["MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-4.3.2-3", "MQTT-4.3.3-1", "MQTT-4.3.3-2"],
    says: "each message under way has an identifier of its own, which is not zero, and no DUP",
    async run(bench) {
      const client = await hearing(bench);
      for (const [index, qos] of ([1, 2, 1, 2, 1, 2] as const).entries()) {
        client.send(bench.publish({ qos, messageId: 10 + index }));
      }
      const sent = [];
      for (let count = 0; count < 6; count += 1) sent.push(await client.next("publish"));
      expect(sent.map(({ dup }) => dup)).toEqual(Array(6).fill(false));
      const ids = sent.map(({ messageId }) => messageId ?? 0);
      expect(new Set(ids).size).toBe(6);
      expect(Math.min(...ids)).toBeGreaterThan(0);
      // Acknowledged ones are free again; those that are under way are not.
      const [first, second] = sent as [(typeof sent)[0], (typeof sent)[0]];
      client.send({ cmd: "puback", messageId: first.messageId as number, reasonCode: 0 });
      client.send(bench.publish({ qos: 1, messageId: 20 }));
      const next = await client.next("publish");
      expect(ids.slice(1)).not.toContain(next.messageId);
      expect(second.messageId).toBeDefined();
    },
  },
  {
    tag: "MQTT-3.3.4-1",
    also: ["MQTT-4.3.2-4", "MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-3.7.2-1", "MQTT-2.2.2-1"],
    says: "QoS 0 is not answered, QoS 1 by PUBACK, QoS 2 by PUBREC, each with its identifier",
    async run(bench) {
      const client = await bench.connect();
      client.send(bench.publish({ qos: 0 }));
      client.send(bench.publish({ qos: 1, messageId: 5 }));
      client.send(bench.publish({ qos: 2, messageId: 6 }));
      expect(await client.next("puback")).toMatchObject({ messageId: 5, reasonCode: 0 });
      expect(await client.next("pubrec")).toMatchObject({ messageId: 6, reasonCode: 0 });
      client.send({ cmd: "pubrel", messageId: 6, reasonCode: 0 });
      expect(await client.next("pubcomp")).toMatchObject({ messageId: 6, reasonCode: 0 });
      expect(client.received).toEqual([]);
      expect(bench.fixture.recorded.telemetry).toHaveLength(3);
    },
  },
  {
    tag: "MQTT-4.3.2-5",
    says: "after its PUBACK an identifier stands for a new message, whatever DUP says",
    async run(bench) {
      const client = await bench.connect();
      for (const dup of [false, true]) {
        client.send(bench.publish({ qos: 1, messageId: 5, dup }));
        await client.next("puback");
      }
      expect(bench.fixture.recorded.telemetry).toHaveLength(2);
    },
  },
  {
    tag: "MQTT-4.6.0-5",
    also: ["MQTT-4.6.0-6", "MQTT-4.5.0-1", "MQTT-3.3.2-3"],
    says: "messages come to who listens in the order in which they were published",
    async run(bench) {
      const client = await hearing(bench, { qos: 1 });
      for (let number = 1; number <= 10; number += 1) {
        const payload = JSON.stringify({ ts: 1, seq: number, values: { a: number } });
        client.send(bench.publish({ payload, messageId: number }));
      }
      const heard = [];
      for (let count = 0; count < 10; count += 1) {
        const { payload, topic, messageId = 0 } = await client.next("publish");
        expect(topic).toBe(bench.topic("telemetry"));
        heard.push(JSON.parse(String(payload)).seq);
        client.send({ cmd: "puback", messageId, reasonCode: 0 });
      }
      expect(heard).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    },
  },
  {
    tag: "MQTT-3.3.2-4",
    also: ["MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-1.5.4-3", "MQTT-4.7.3-4"],
    says: "nothing of a message is altered: not a byte order mark, no form of a letter, no order",
    async run(bench) {
      const client = await hearing(bench);
      // U+FEFF at both ends, and a letter in its two forms.
      const text = "\uFEFFe\u0301\u00E9\uFEFF";
      const properties = {
        payloadFormatIndicator: false,
        contentType: text,
        responseTopic: bench.topic(text),
        correlationData: Buffer.from([0xef, 0xbb, 0xbf, 0]),
        userProperties: { [text]: text, b: ["2", "1", "2"] },
      };
      client.send(bench.publish({ qos: 0, properties: { ...properties, contentType: "json" } }));
      const echo = await client.next("publish");
      expect(echo.properties).toEqual({ ...properties, contentType: "json" });
    },
  },
  {
    tag: "MQTT-3.3.2-14",
    also: ["MQTT-3.3.2-13", "MQTT-3.3.2-19", "MQTT-3.3.2-1", "MQTT-4.7.0-1"],
    says: "a response topic has no wildcard and is UTF-8; so are topic and content type",
    async run(bench) {
      const topic = counted(bench.topic("telemetry"));
      const response = (value: Buffer | string) =>
        packet(0x30, topic, properties([0x08], counted(value)), Buffer.from(SAMPLE));
      await expectEnd(bench, response(bench.topic("+")), 0x82, 0x90);
      await expectEnd(bench, response(bench.topic("#")), 0x82, 0x90);
      for (const bad of NO_UTF8) {
        await expectEnd(bench, response(bad), 0x81);
        await expectEnd(bench, packet(0x30, topic, properties([0x03], counted(bad))), 0x81);
        await expectEnd(bench, packet(0x30, counted(bad), [0], Buffer.from(SAMPLE)), 0x81);
      }
    },
  },
  {
    tag: "MQTT-3.3.2-7",
    also: ["MQTT-3.3.2-8", "MQTT-3.3.2-9", "MQTT-3.3.2-12"],
    says: "aliases from 1 to the server's maximum are taken, and end with their connection",
    async run(bench) {
      const first = await bench.connect();
      for (let topicAlias = 1; topicAlias <= 16; topicAlias += 1) {
        first.send(bench.publish({ messageId: topicAlias, properties: { topicAlias } }));
        expect((await first.next("puback")).reasonCode).toBe(0);
      }
      const again = await bench.connect();
      again.send(bench.publish({ topic: "", properties: { topicAlias: 1 } }));
      expect(await again.next("disconnect")).toMatchObject({ reasonCode: 0x82 });
      for (const topicAlias of [0, 17]) {
        const client = await bench.connect();
        const alias = properties([0x23, 0, topicAlias]);
        client.write(packet(0x30, counted(bench.topic("telemetry")), alias, Buffer.from(SAMPLE)));
        expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x94 });
      }
    },
  },
  {
    tag: "MQTT-3.3.4-2",
    also: ["MQTT-3.3.4-3", "MQTT-3.3.4-4"],
    says: "subscriptions that overlap bring one copy, with the highest QoS and each identifier",
    async run(bench) {
      const client = await bench.connect();
      const filters = ["+", "telemetry", "#"];
      for (const [index, suffix] of filters.entries()) {
        client.send({
          ...({ cmd: "subscribe", messageId: index + 1 } as const),
          properties: { subscriptionIdentifier: index + 1 },
          subscriptions: [{ topic: bench.topic(suffix), qos: index as 0 | 1 | 2 }],
        });
        await client.next("suback");
      }
      client.send(bench.publish({ qos: 1 }));
      // The platform may have something of its own to say to the device meanwhile.
      const isEcho = ({ topic }: { topic?: string }) => topic === bench.topic("telemetry");
      let echo = await client.next("publish");
      while (!isEcho(echo)) echo = await client.next("publish");
      expect(echo.qos).toBe(1);
      const identifiers = echo.properties?.subscriptionIdentifier as number[];
      expect(identifiers.toSorted()).toEqual([1, 2, 3]);
      await client.next("puback");
      expect(client.received.filter((one) => isEcho(one as { topic?: string }))).toEqual([]);
    },
  },
  {
    tag: "MQTT-3.3.4-6",
    says: "a subscription identifier in a client's PUBLISH is a protocol error",
    run: (bench) =>
      expectEnd(
        bench,
        packet(0x30, counted(bench.topic("telemetry")), properties([0x0b, 1]), Buffer.from(SAMPLE)),
        0x82,
      ),
  },
  {
    tag: "MQTT-4.9.0-1",
    also: ["MQTT-4.9.0-2", "MQTT-4.9.0-3", "MQTT-3.3.4-10"],
    says: "beyond the client's Receive Maximum messages wait, and everything else is answered",
    async run(bench) {
      const client = await bench.connect({ properties: { receiveMaximum: 2 } });
      const subscriptions = [{ topic: bench.topic("+"), qos: 1 as const }];
      client.send({ cmd: "subscribe", messageId: 77, subscriptions });
      await client.next("suback");
      for (let id = 1; id <= 4; id += 1) client.send(bench.publish({ messageId: id }));
      for (let id = 1; id <= 4; id += 1) await client.next("puback");
      const [first] = [await client.next("publish"), await client.next("publish")];
      client.send({ cmd: "unsubscribe", messageId: 5, unsubscriptions: ["nothing"] });
      await client.next("unsuback");
      client.send({ cmd: "pingreq" });
      await client.next("pingresp");
      expect(client.received).toEqual([]);
      client.send({ cmd: "puback", messageId: first?.messageId as number, reasonCode: 0 });
      await client.next("publish");
    },
  },
  {
    tag: "MQTT-4.4.0-2",
    also: ["MQTT-4.3.3-3"],
    says: "an acknowledgement that refuses is one: the message does not come again",
    async run(bench) {
      const client = await bench.connectKept({ clean: true });
      const subscriptions = [{ topic: bench.topic("commands"), qos: 1 as const }];
      client.send({ cmd: "subscribe", messageId: 1, subscriptions });
      await client.next("suback");
      const id = await bench.command();
      const { messageId = 0 } = await client.next("publish");
      client.send({ cmd: "puback", messageId, reasonCode: 0x80 });
      const status = async () => (await bench.fixture.commands.get("acme", id)).status;
      await expect.poll(status, { timeout: 20_000 }).toBe("rejected");
      client.destroy();
      const again = await bench.connectKept({ clean: false });
      again.send({ cmd: "pingreq" });
      await again.next("pingresp");
      expect(again.received).toEqual([]);
    },
  },
  {
    tag: "MQTT-4.7.3-1",
    also: ["MQTT-4.7.3-2"],
    says: "a topic name has a character at least, and none of them is U+0000",
    async run(bench) {
      await expectEnd(bench, packet(0x30, counted(""), [0], Buffer.from(SAMPLE)), 0x82, 0x90);
      const nul = counted(`${bench.topic("tele")}\0metry`);
      await expectEnd(bench, packet(0x30, nul, [0], Buffer.from(SAMPLE)), 0x81, 0x90);
    },
  },
];
