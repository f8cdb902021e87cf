import { expect } from "vitest";
import type { RawClient } from "../gateway.ts";
import type { Bench, Statement } from "../mqtt-conformance.ts";
import { connectPacket, counted, NO_UTF8, properties } from "./bytes.ts";

const CLEAN = 0x02;
const WILL = 0x04;
const EMPTY = properties();

/** Sends each on a connection of its own, as its first packet, and expects that none is accepted. */
async function expectRefusals(bench: Bench, connects: readonly Buffer[]) {
  await Promise.all(
    connects.map(async (bytes) => {
      const client = await bench.open();
      client.write(bytes);
      await client.closed;
      const codes = client.received.map((one) => one.cmd === "connack" && one.reasonCode);
      expect(codes.filter((code) => code === 0)).toEqual([]);
    }),
  );
}

async function accepted(bench: Bench, bytes: Buffer) {
  const client = await bench.open();
  client.write(bytes);
  const connack = await client.next("connack");
  expect(connack.reasonCode).toBe(0);
  return { client, connack };
}

/** What comes on a connection, byte by byte. */
function recorded(client: RawClient): () => Buffer {
  const chunks: Buffer[] = [];
  client.socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks);
}

/** MQTT 5.0 §3.1, §3.2: what a CONNECT holds, and how it is answered. */
export const CONNECTS: readonly Statement[] = [
  {
    tag: "MQTT-3.1.2-9",
    also: ["MQTT-3.1.2-16", "MQTT-3.1.2-17", "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.3-3"],
    says: "what the flags announce is there, and nothing more",
    run: (bench) =>
      expectRefusals(bench, [
        connectPacket(CLEAN, { id: null }),
        connectPacket(CLEAN | WILL),
        connectPacket(CLEAN | WILL, { fields: [EMPTY, counted(bench.topic("events"))] }),
        connectPacket(CLEAN | 0x80),
        connectPacket(CLEAN | 0x40),
        connectPacket(CLEAN | 0xc0, { fields: [counted("user")] }),
        connectPacket(CLEAN, { fields: [counted("user")] }),
        connectPacket(CLEAN | 0x80, { fields: [counted("user"), counted("password")] }),
      ]),
  },
  {
    tag: "MQTT-3.1.2-11",
    also: ["MQTT-3.1.2-13"],
    says: "without a will there is no Will QoS and no Will Retain",
    run: (bench) =>
      expectRefusals(
        bench,
        [0x08, 0x10, 0x20].map((bit) => connectPacket(2 | bit)),
      ),
  },
  {
    tag: "MQTT-3.1.3-1",
    also: ["MQTT-3.1.4-5", "MQTT-3.2.0-2"],
    says: "client identifier, will, user name and password come in this order, and are accepted once",
    async run(bench) {
      const will = [EMPTY, counted(bench.topic("events")), counted("{}")];
      const fields = [...will, counted("user"), counted("password")];
      const { client } = await accepted(bench, connectPacket(CLEAN | WILL | 0xc0, { fields }));
      client.send({ cmd: "pingreq" });
      await client.next("pingresp");
      expect(client.received).toEqual([]);
      client.send({ cmd: "disconnect", reasonCode: 0 });
    },
  },
  {
    tag: "MQTT-3.1.3-4",
    also: ["MQTT-3.1.3-11", "MQTT-3.1.3-12", "MQTT-1.5.7-1", "MQTT-3.1.4-1"],
    says: "client identifier, will topic, user name and both strings of a pair are UTF-8",
    run: (bench) =>
      expectRefusals(
        bench,
        NO_UTF8.flatMap((bad) => [
          connectPacket(CLEAN, { id: bad }),
          connectPacket(CLEAN | WILL, { fields: [EMPTY, counted(bad), counted("{}")] }),
          connectPacket(CLEAN | 0x80, { fields: [counted(bad)] }),
          connectPacket(CLEAN, { before: properties([0x26], counted(bad), counted("b")) }),
          connectPacket(CLEAN, { before: properties([0x26], counted("a"), counted(bad)) }),
        ]),
      ),
  },
  {
    tag: "MQTT-3.1.3-5",
    says: "a client identifier of 1 to 23 letters and digits is accepted, and a longer one",
    async run(bench) {
      for (const id of ["a", "0123456789abcdefghijABC", "ä/-".repeat(100)]) {
        (await accepted(bench, connectPacket(CLEAN, { id }))).client.destroy();
      }
    },
  },
  {
    tag: "MQTT-3.1.3-6",
    also: ["MQTT-3.1.3-7", "MQTT-3.2.2-16"],
    says: "who has no client identifier is assigned one, another each time",
    async run(bench) {
      const seen = new Set<string>();
      for (let count = 0; count < 3; count += 1) {
        const { connack, client } = await accepted(bench, connectPacket(CLEAN, { id: "" }));
        seen.add(String(connack.properties?.assignedClientIdentifier));
        client.destroy();
      }
      expect(seen.size).toBe(3);
      expect([...seen].every((id) => /^[\w-]+$/.test(id))).toBe(true);
      const { connack } = await accepted(bench, connectPacket(CLEAN, { id: "own" }));
      expect(connack.properties?.assignedClientIdentifier).toBeUndefined();
    },
  },
  {
    tag: "MQTT-3.1.2-2",
    says: "another version of the protocol is refused, and the connection ends",
    async run(bench) {
      for (const version of [0, 3, 6, 255]) {
        const client = await bench.open(4);
        const bytes = connectPacket(CLEAN);
        bytes[8] = version;
        client.write(bytes);
        expect(await client.next("connack")).toMatchObject({ returnCode: 1 });
        await client.closed;
      }
    },
  },
  {
    tag: "MQTT-3.1.2-28",
    also: ["MQTT-3.2.2-9", "MQTT-3.2.2-22", "MQTT-3.2.2-1"],
    says: "a CONNACK sets no reserved flag and claims nothing that was not asked for",
    async run(bench) {
      const client = await bench.open();
      const bytes = recorded(client);
      client.write(connectPacket(CLEAN, { before: properties([0x19, 0]) }));
      const { properties: named = {} } = await client.next("connack");
      expect((bytes()[2] as number) & 0xfe).toBe(0);
      expect(named).not.toHaveProperty("responseInformation");
      expect(named).not.toHaveProperty("serverKeepAlive");
      expect(named).not.toHaveProperty("maximumQoS");
      expect(named).not.toHaveProperty("retainAvailable");
    },
  },
  {
    tag: "MQTT-3.2.0-1",
    also: ["MQTT-3.14.0-1"],
    says: "the CONNACK comes before everything else, whatever has followed the CONNECT at once",
    async run(bench) {
      const client = await bench.open();
      const subscribe = [0x82, 7, 0, 9, 0, 0, 1, 0x61, 0];
      client.write(Buffer.concat([connectPacket(CLEAN), Buffer.from([0xc0, 0, ...subscribe])]));
      await client.next("suback");
      expect(client.received.map(({ cmd }) => cmd)).toEqual(["connack", "pingresp"]);
    },
  },
  {
    tag: "MQTT-3.1.4-6",
    also: ["MQTT-3.2.2-6", "MQTT-3.2.2-7", "MQTT-3.2.2-8", "MQTT-4.12.0-1", "MQTT-4.13.2-1"],
    says: "after a refusal nothing is done that has followed, and the connection ends",
    async run(bench) {
      const client = await bench.open();
      const method = properties([0x15], counted("SCRAM"));
      client.write(connectPacket(CLEAN, { before: method }));
      client.send(bench.publish());
      const { reasonCode, sessionPresent } = await client.next("connack");
      expect({ reasonCode, sessionPresent }).toEqual({ reasonCode: 0x8c, sessionPresent: false });
      await client.closed;
      expect(client.received).toEqual([]);
      expect(bench.fixture.recorded.telemetry).toEqual([]);
    },
  },
  {
    tag: "MQTT-3.2.2-19",
    also: ["MQTT-3.2.2-20", "MQTT-3.14.2-3", "MQTT-3.14.2-4"],
    says: "a reason is not told in words where that is more than the client takes",
    async run(bench) {
      const small = properties([0x27, 0, 0, 0, 64]);
      const { client } = await accepted(bench, connectPacket(CLEAN, { before: small }));
      const bytes = recorded(client);
      client.write(connectPacket(CLEAN));
      expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x82 });
      await client.closed;
      expect(bytes().length).toBeLessThanOrEqual(64);
      const refused = await bench.open();
      const method = properties([0x27, 0, 0, 0, 16, 0x15], counted("SCRAM"));
      refused.write(connectPacket(CLEAN, { before: method }));
      const connack = await refused.next("connack");
      expect(connack).toMatchObject({ reasonCode: 0x8c });
      expect(connack.properties?.reasonString).toBeUndefined();
    },
  },
  {
    tag: "MQTT-3.1.2-29",
    says: "who wants no reasons gets none but in a CONNACK, a PUBLISH or a DISCONNECT",
    async run(bench) {
      const quiet = properties([0x17, 0]);
      const { client } = await accepted(bench, connectPacket(CLEAN, { before: quiet }));
      client.send(bench.publish({ payload: "broken" }));
      client.send({ cmd: "pubrel", messageId: 9, reasonCode: 0 });
      client.send({ cmd: "unsubscribe", messageId: 3, unsubscriptions: ["a"] });
      for (const cmd of ["puback", "pubcomp", "unsuback"] as const) {
        const { properties: named = {} } = await client.next(cmd);
        expect(named).not.toHaveProperty("reasonString");
        expect(named).not.toHaveProperty("userProperties");
      }
    },
  },
  {
    tag: "MQTT-3.14.1-1",
    also: ["MQTT-3.15.1-1", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1", "MQTT-4.13.1-1"],
    says: "reserved bits of a fixed header that are not as they must be are malformed",
    async run(bench) {
      const bodies: [first: number, body: number[]][] = [
        [0xe1, [0]],
        [0xf1, []],
        [0x60, [0, 1]],
        [0x80, [0, 1, 0, 0, 1, 0x61, 0]],
        [0xa0, [0, 1, 0, 0, 1, 0x61]],
        [0xc1, []],
        [0x41, [0, 1]],
      ];
      for (const [first, body] of bodies) {
        const client = await bench.connect();
        client.write(Buffer.from([first, body.length, ...body]));
        expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x81 });
        await client.closed;
      }
    },
  },
  {
    tag: "MQTT-3.14.4-1",
    also: ["MQTT-3.14.4-2", "MQTT-3.14.2-1", "MQTT-3.14.2-2"],
    says: "after its DISCONNECT the server sends nothing more, and closes",
    async run(bench) {
      const client = await bench.connect();
      client.write(Buffer.concat([connectPacket(CLEAN), Buffer.from([0xc0, 0, 0xc0, 0])]));
      await client.closed;
      expect(client.received).toHaveLength(1);
      const [last] = client.received;
      expect(last).toMatchObject({ cmd: "disconnect", reasonCode: 0x82 });
      expect(last).not.toHaveProperty("properties.sessionExpiryInterval");
    },
  },
];
