import fc from "fast-check";
import mqttPacket from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { readFilter } from "../../src/gateway/applications/access.ts";
import { writeWithin } from "../../src/gateway/codec.ts";
import { hasConnectShape } from "../../src/gateway/connect-shape.ts";
import { plainPuback, readPlainPublish } from "../../src/gateway/publish-codec.ts";

describe("the shape of a CONNECT", () => {
  const will = { topic: "t", payload: Buffer.from("x"), qos: 1, retain: false };
  it.each([4, 5] as const)("is what its flags say, to the byte (MQTT %d)", (protocolVersion) => {
    const delayed = protocolVersion === 5 ? { properties: { willDelayInterval: 3 } } : {};
    for (const extra of [
      ...[{}, { username: "u" }, { username: "u", password: Buffer.from("p") }],
      { will: { ...will, ...delayed }, username: "u" },
    ]) {
      const connect = {
        ...{ cmd: "connect", clientId: "c", protocolId: "MQTT", protocolVersion, keepalive: 3 },
        ...(protocolVersion === 5 ? { properties: { receiveMaximum: 3 } } : {}),
        ...{ clean: true, ...extra },
      };
      const bytes = mqttPacket.generate(connect as never, { protocolVersion }) as Buffer;
      expect(hasConnectShape(bytes)).toBe(true);
      expect(hasConnectShape(Buffer.concat([bytes, Buffer.from([0])]))).toBe(false);
      for (let size = 1; size < bytes.length; size += 1) {
        expect(hasConnectShape(bytes.subarray(0, size))).toBe(false);
      }
    }
  });
});

describe("the short way to read a PUBLISH", () => {
  it("gives what the long one gives, or leaves the packet to it", () => {
    const topics = fc.oneof(
      fc.string({ minLength: 1, maxLength: 40 }),
      fc.constantFrom("a", "tenants/acme/devices/d-1/telemetry", "a\0b", "\u00e4/\ufffd"),
    );
    const packet = fc.record({
      topic: topics,
      payload: fc.uint8Array({ maxLength: 150 }).map((bytes) => Buffer.from(bytes)),
      qos: fc.constantFrom(0, 1, 2),
      retain: fc.boolean(),
      dup: fc.boolean(),
      messageId: fc.integer({ min: 1, max: 65_535 }),
      properties: fc.constantFrom({}, { topicAlias: 3 }, { contentType: "a" }),
    });
    let short = 0;
    const property = fc.property(packet, fc.constantFrom(4, 5), (given, protocolVersion) => {
      const { qos, dup, messageId, properties, ...rest } = given;
      const whole = {
        ...({ cmd: "publish", ...rest, qos, dup: dup && qos > 0 } as const),
        ...(qos > 0 ? { messageId } : {}),
        ...(protocolVersion === 5 ? { properties } : {}),
      };
      const bytes = mqttPacket.generate(whole as never, { protocolVersion }) as Buffer;
      const plain = readPlainPublish(bytes, protocolVersion as 4 | 5);
      if (!plain) return;
      short += 1;
      const parser = mqttPacket.parser({ protocolVersion });
      let long: mqttPacket.Packet | undefined;
      parser.on("packet", (parsed) => {
        long = parsed;
      });
      parser.parse(bytes);
      const {
        length: _,
        properties: named = {},
        ...fields
      } = long as never as typeof whole & {
        length: number;
      };
      expect(named).toEqual({});
      expect(plain.payload.toString("hex" as never)).toBe(fields.payload.toString("hex"));
      expect({ ...plain, payload: "" }).toEqual({ ...fields, payload: "" });
    });
    fc.assert(property, { numRuns: 200 });
    expect(short).toBeGreaterThan(20);
  });

  it("takes none that is cut short or has flags that are not permitted", () => {
    const bytes = Buffer.concat([Buffer.from([0x32, 7, 0, 1, 97, 0, 5]), Buffer.from("{}")]);
    expect(readPlainPublish(bytes, 4)).toMatchObject({ qos: 1, messageId: 5, topic: "a" });
    for (let size = 2; size < 7; size += 1) {
      const cut = Buffer.from(bytes.subarray(0, size));
      expect(readPlainPublish(cut, 4)).toBeUndefined();
    }
    for (const first of [0x36, 0x38, 0x3e, 0x20, 0x40]) {
      expect(readPlainPublish(Buffer.from([first, ...bytes.subarray(1)]), 4)).toBeUndefined();
    }
    expect(plainPuback(0xabcd)).toEqual(
      mqttPacket.generate({ cmd: "puback", messageId: 0xabcd }, { protocolVersion: 4 }),
    );
  });
});

describe("an acknowledgement", () => {
  it("leaves out its words where the client takes no more, and then stays away", () => {
    const properties = { reasonString: "why it was refused" };
    for (const cmd of ["puback", "pubrec"] as const) {
      const packet = { cmd, messageId: 1, reasonCode: 0x87, properties };
      expect(writeWithin(packet, 5, 100)?.length).toBeGreaterThan(20);
      expect(writeWithin(packet, 5, 20)?.length).toBeLessThanOrEqual(7);
      expect(writeWithin(packet, 5, 3)).toBeUndefined();
    }
  });
});

describe("a shared subscription", () => {
  it("names a group and a filter, and nothing else is one", () => {
    const actor = { kind: "api-key", id: "k", name: "k" } as const;
    const principal = { actor, platformRole: null, rolesByTenant: { acme: "viewer" } } as const;
    const filter = "tenants/acme/devices/+/telemetry";
    expect(readFilter(principal, `$share/g/${filter}`)).toMatchObject({ group: "g", filter });
    for (const asked of [
      ...["$share", "$share/", "$share/g", "$share/g/", `$share//${filter}`, `$share/+/${filter}`],
      ...[`$share/a+/${filter}`, `$share/#/${filter}`, `$shared/g/${filter}`],
    ]) {
      expect(readFilter(principal, asked)).toMatch(/invalid|not-authorized/);
    }
  });
});
