import { expect } from "vitest";
import type { Bench, Statement } from "../mqtt-conformance.ts";

/** CONNECT of MQTT 5 with Clean Start and nothing more. */
const CONNECT = [0x10, 0x0d, 0, 4, 0x4d, 0x51, 0x54, 0x54, 5, 2, 0, 60, 0, 0, 0];

/** Sends bytes on an accepted connection and expects to be told why it ends. */
async function expectEnd(bench: Bench, bytes: readonly number[], reasonCode: number) {
  const client = await bench.connect();
  client.write(Buffer.from(bytes));
  expect(await client.next("disconnect")).toMatchObject({ reasonCode });
  await client.closed;
}

/** Sends bytes as the first of a connection and expects that it ends without an acceptance. */
async function expectRefusal(bench: Bench, bytes: readonly number[]) {
  const client = await bench.open();
  client.write(Buffer.from(bytes));
  await client.closed;
  const accepted = client.received.filter(
    (packet) => packet.cmd === "connack" && (packet.reasonCode ?? packet.returnCode) === 0,
  );
  expect(accepted).toEqual([]);
}

function changed(index: number, value: number): number[] {
  return CONNECT.with(index, value);
}

/** MQTT 5.0 §1.5, §2 and §3: what a packet may look like, byte by byte. */
export const PACKETS: readonly Statement[] = [
  {
    tag: "MQTT-1.5.4-1",
    says: "a string that is no UTF-8, or encodes a surrogate, is malformed",
    run: async (bench) => {
      await expectEnd(bench, [0x30, 5, 0, 2, 0xc3, 0x28, 0], 0x81);
      await expectEnd(bench, [0x30, 6, 0, 3, 0xed, 0xa0, 0x80, 0], 0x81);
    },
  },
  {
    tag: "MQTT-1.5.4-2",
    says: "a string that holds U+0000 is malformed",
    run: (bench) => expectEnd(bench, [0x30, 5, 0, 2, 0x61, 0x00, 0], 0x81),
  },
  {
    tag: "MQTT-1.5.5-1",
    says: "a Variable Byte Integer has four bytes at most",
    run: (bench) => expectEnd(bench, [0x30, 0x80, 0x80, 0x80, 0x80, 0x01], 0x81),
  },
  {
    tag: "MQTT-2.1.3-1",
    says: "reserved flags of a fixed header are what the standard says",
    run: async (bench) => {
      for (const header of [0x80, 0xa0, 0x60]) await expectEnd(bench, [header, 2, 0, 1], 0x81);
    },
  },
  {
    tag: "MQTT-2.2.1-3",
    says: "a packet identifier is not zero",
    run: async (bench) => {
      await expectEnd(bench, [0x32, 6, 0, 1, 0x61, 0, 0, 0], 0x82);
      await expectEnd(bench, [0x82, 7, 0, 0, 0, 0, 1, 0x61, 0], 0x82);
    },
  },
  {
    tag: "MQTT-3.1.0-1",
    says: "the first packet is a CONNECT",
    run: async (bench) => {
      await expectRefusal(bench, [0xc0, 0]);
      await expectRefusal(bench, [0xe0, 0]);
    },
  },
  {
    tag: "MQTT-3.1.0-2",
    says: "a second CONNECT is a protocol error",
    run: (bench) => expectEnd(bench, CONNECT, 0x82),
  },
  {
    tag: "MQTT-3.1.2-1",
    says: "another protocol name is refused",
    run: (bench) => expectRefusal(bench, changed(4, 0x58)),
  },
  {
    tag: "MQTT-3.1.2-3",
    says: "the reserved flag of a CONNECT is zero",
    run: (bench) => expectRefusal(bench, changed(9, 3)),
  },
  {
    tag: "MQTT-3.1.2-12",
    says: "a Will QoS of 3, or a Will QoS without a will, is refused",
    run: async (bench) => {
      await expectRefusal(bench, changed(9, 0b0001_1110));
      await expectRefusal(bench, changed(9, 0b0000_1010));
    },
  },
  {
    tag: "MQTT-3.3.1-4",
    says: "a PUBLISH with QoS 3 is malformed",
    run: (bench) => expectEnd(bench, [0x36, 6, 0, 1, 0x61, 0, 1, 0], 0x81),
  },
  {
    tag: "MQTT-3.3.2-2",
    says: "a topic name holds no wildcard",
    run: async (bench) => {
      for (const wildcard of [0x23, 0x2b]) {
        await expectEnd(bench, [0x30, 4, 0, 1, wildcard, 0], 0x90);
      }
    },
  },
  {
    tag: "MQTT-3.8.3-5",
    says: "the reserved bits of subscription options are zero, and Retain Handling is not 3",
    run: async (bench) => {
      await expectEnd(bench, [0x82, 7, 0, 1, 0, 0, 1, 0x61, 0xc0], 0x81);
      await expectEnd(bench, [0x82, 7, 0, 1, 0, 0, 1, 0x61, 0x30], 0x81);
    },
  },
  {
    tag: "MQTT-3.10.3-2",
    says: "an UNSUBSCRIBE without a filter is a protocol error",
    run: (bench) => expectEnd(bench, [0xa2, 3, 0, 1, 0], 0x82),
  },
  {
    tag: "MQTT-3.12.4-1",
    says: "a PINGREQ is answered",
    async run(bench) {
      const client = await bench.connect();
      client.send({ cmd: "pingreq" });
      await client.next("pingresp");
    },
  },
  {
    tag: "MQTT-4.12.0-6",
    says: "AUTH without a method in the CONNECT is a protocol error",
    run: (bench) => expectEnd(bench, [0xf0, 2, 0x18, 0], 0x82),
  },
  {
    tag: "MQTT-3.2.2-14",
    says: "a CONNACK names the limits that are not the standard's defaults",
    async run(bench) {
      const client = await bench.open();
      client.write(Buffer.from(CONNECT));
      const { properties } = await client.next("connack");
      expect(properties).toMatchObject({
        receiveMaximum: 10,
        maximumPacketSize: 262_144,
        topicAliasMaximum: 16,
        sharedSubscriptionAvailable: false,
      });
    },
  },
];
