import { expect } from "vitest";
import { MAX_STRAYS } from "../../../src/gateway/outbound.ts";
import { until } from "../gateway.ts";
import type { Bench, Statement } from "../mqtt-conformance.ts";

/** A client that has been sent a command with QoS 2 and has not answered. */
async function commanded(bench: Bench) {
  const client = await bench.connect();
  const subscriptions = [{ topic: bench.topic("commands"), qos: 2 as const }];
  client.send({ cmd: "subscribe", messageId: 1, subscriptions });
  expect((await client.next("suback")).granted).toEqual([2]);
  const id = await bench.command();
  const { messageId = 0, qos } = await client.next("publish");
  expect(qos).toBe(2);
  const statusOf = async () => (await bench.fixture.commands.get("acme", id)).status;
  return { client, messageId, statusOf };
}

/** MQTT 5.0 §4.3.3, and what §3.5 to §3.7 say of its packets. */
export const QOS_2: readonly Statement[] = [
  {
    tag: "MQTT-4.3.3-8",
    says: "a PUBLISH is answered with PUBREC, its PUBREL with PUBCOMP",
    async run(bench) {
      const client = await bench.connect();
      client.send(bench.publish({ qos: 2, messageId: 9 }));
      expect(await client.next("pubrec")).toMatchObject({ messageId: 9, reasonCode: 0 });
      client.send({ cmd: "pubrel", messageId: 9, reasonCode: 0 });
      expect(await client.next("pubcomp")).toMatchObject({ messageId: 9, reasonCode: 0 });
      expect(bench.fixture.recorded.telemetry).toHaveLength(1);
    },
  },
  {
    tag: "MQTT-4.3.3-10",
    says: "until the PUBREL a repetition is acknowledged and not taken again",
    async run(bench) {
      const client = await bench.connect({ protocolVersion: 4 });
      client.send(bench.publish({ qos: 2, messageId: 9 }));
      await client.next("pubrec");
      client.send(bench.publish({ qos: 2, messageId: 9, dup: true }));
      await client.next("pubrec");
      expect(bench.fixture.recorded.telemetry).toHaveLength(1);
    },
  },
  {
    tag: "MQTT-4.3.3-10",
    says: "a repetition that comes before the message is durable is not acknowledged early",
    async run(bench) {
      bench.fixture.recorded.available = false;
      const client = await bench.connect();
      client.send(bench.publish({ qos: 2, messageId: 9 }));
      client.send(bench.publish({ qos: 2, messageId: 9, dup: true }));
      await client.next("disconnect");
      expect(client.received.filter(({ cmd }) => cmd === "pubrec")).toEqual([]);
    },
  },
  {
    tag: "MQTT-4.3.3-12",
    says: "after the PUBCOMP the identifier stands for a new message",
    async run(bench) {
      const client = await bench.connect();
      for (let time = 1; time <= 3; time += 1) {
        client.send(bench.publish({ qos: 2, messageId: 9 }));
        await client.next("pubrec");
        client.send({ cmd: "pubrel", messageId: 9, reasonCode: 0 });
        await client.next("pubcomp");
        expect(bench.fixture.recorded.telemetry).toHaveLength(time);
      }
    },
  },
  {
    tag: "MQTT-4.3.3-9",
    says: "a PUBREC that refuses leaves nothing to release",
    async run(bench) {
      const client = await bench.connect();
      client.send(bench.publish({ qos: 2, messageId: 9, payload: "no json" }));
      expect(await client.next("pubrec")).toMatchObject({ reasonCode: 0x99 });
      client.send({ cmd: "pubrel", messageId: 9, reasonCode: 0 });
      expect(await client.next("pubcomp")).toMatchObject({ reasonCode: 0x92 });
    },
  },
  {
    tag: "MQTT-4.3.3-4",
    says: "a PUBREL before the PUBREC is a protocol error",
    async run(bench) {
      bench.fixture.recorded.available = false;
      const client = await bench.connect();
      client.send(bench.publish({ qos: 2, messageId: 9 }));
      client.send({ cmd: "pubrel", messageId: 9, reasonCode: 0 });
      expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x82 });
    },
  },
  {
    tag: "MQTT-3.3.4-8",
    also: ["MQTT-3.3.4-7"],
    says: "unreleased messages count against the Receive Maximum",
    async run(bench) {
      const client = await bench.connect();
      for (let messageId = 1; messageId <= 10; messageId += 1) {
        client.send(bench.publish({ qos: 2, messageId }));
        await client.next("pubrec");
      }
      client.send(bench.publish({ qos: 1, messageId: 11 }));
      expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x93 });
    },
  },
  {
    tag: "MQTT-4.3.3-4",
    also: ["MQTT-3.6.2-1"],
    says: "the server answers a PUBREC with PUBREL, and the PUBCOMP ends the exchange",
    async run(bench) {
      const { client, messageId, statusOf } = await commanded(bench);
      client.send({ cmd: "pubrec", messageId, reasonCode: 0 });
      expect(await client.next("pubrel")).toMatchObject({ messageId, reasonCode: 0 });
      client.send({ cmd: "pubcomp", messageId, reasonCode: 0 });
      await until(async () => (await statusOf()) === "delivered");
      client.send({ cmd: "pubrec", messageId, reasonCode: 0 });
      expect(await client.next("pubrel")).toMatchObject({ messageId, reasonCode: 0x92 });
    },
  },
  {
    tag: "MQTT-4.3.3-5",
    says: "a repeated PUBREC brings the PUBREL again",
    async run(bench) {
      const { client, messageId } = await commanded(bench);
      for (let time = 0; time < 2; time += 1) {
        client.send({ cmd: "pubrec", messageId, reasonCode: 0 });
        expect(await client.next("pubrel")).toMatchObject({ messageId, reasonCode: 0 });
      }
      expect(client.received.filter(({ cmd }) => cmd === "publish")).toEqual([]);
    },
  },
  {
    tag: "MQTT-4.3.3-11",
    says: "PUBCOMP before PUBREC, and PUBACK for QoS 2, are protocol errors",
    async run(bench) {
      for (const cmd of ["pubcomp", "puback"] as const) {
        const { client, messageId } = await commanded(bench);
        client.send({ cmd, messageId, reasonCode: 0 });
        expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x82 });
        await client.closed;
      }
    },
  },
  {
    tag: "MQTT-3.3.4-9",
    says: "the client's Receive Maximum bounds what is sent until the PUBCOMP",
    async run(bench) {
      const client = await bench.connect({ properties: { receiveMaximum: 1 } });
      for (let time = 0; time < 3; time += 1) await bench.command(`c-${time}`);
      const subscriptions = [{ topic: bench.topic("commands"), qos: 2 as const }];
      client.send({ cmd: "subscribe", messageId: 1, subscriptions });
      for (let time = 0; time < 3; time += 1) {
        const { messageId } = await client.next("publish");
        client.send({ cmd: "pubrec", messageId, reasonCode: 0 });
        await client.next("pubrel");
        await new Promise((resolve) => setTimeout(resolve, 30));
        expect(client.received.filter(({ cmd }) => cmd === "publish")).toEqual([]);
        client.send({ cmd: "pubcomp", messageId, reasonCode: 0 });
      }
    },
  },
  {
    tag: "MQTT-2.2.1-5",
    says: "a flood of acknowledgements of nothing ends the connection",
    async run(bench) {
      for (const cmd of ["puback", "pubrec", "pubrel", "pubcomp"] as const) {
        const client = await bench.connect();
        for (let messageId = 1; messageId <= MAX_STRAYS + 1; messageId += 1) {
          client.send({ cmd, messageId, reasonCode: 0 });
        }
        expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x82 });
        await client.closed;
      }
    },
  },
];
