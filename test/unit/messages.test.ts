import { encode } from "cborg";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AppError, LIMITS } from "../../src/kernel/index.ts";
import { canonicalJson, checkMessage, decodePayload, Heartbeat } from "../../src/protocol/index.ts";

const json = (value: unknown) => Buffer.from(JSON.stringify(value));

describe("payloads", () => {
  it("are read as JSON or CBOR, told by the first byte or the content type", () => {
    const value = { ts: 1, values: { temperature: 21.5 } };
    expect(decodePayload(json(value))).toEqual(value);
    expect(decodePayload(encode(value))).toEqual(value);
    expect(decodePayload(encode([1, 2]))).toEqual([1, 2]);
    expect(decodePayload(encode(value), "application/cbor")).toEqual(value);
  });

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["half a JSON text", Buffer.from('{"ts":')],
    ["NaN", Buffer.from('{"ts": NaN}')],
    ["invalid UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
    ["truncated CBOR", encode({ a: [1, 2, 3] }).subarray(0, 4)],
    ["deep nesting", Buffer.from(`${"[".repeat(100)}${"]".repeat(100)}`)],
  ])("are refused when they hold %s", (_, payload) => {
    expect(() => decodePayload(payload)).toThrow(AppError);
  });

  it.each(["[", '{"a":'])(
    "are refused before anybody reads %s nested for a quarter of a second",
    (part) => {
      const deep = Buffer.from(part.repeat(40_000));
      const flat = Buffer.from(JSON.stringify({ text: `\\"${part.repeat(10_000)}` }));
      const started = performance.now();
      for (let round = 0; round < 30; round += 1) {
        expect(() => decodePayload(deep)).toThrow("nested too deeply");
      }
      // A parser would have taken 200 ms and more; a scan takes 1.
      expect(performance.now() - started).toBeLessThan(100);
      expect(decodePayload(flat)).toEqual(JSON.parse(flat.toString()));
      const bounded = (depth: number) =>
        Buffer.from(`${"[".repeat(depth)}"${"x".repeat(600)}"${"]".repeat(depth)}`);
      expect(decodePayload(bounded(LIMITS.jsonDepth))).toBeInstanceOf(Array);
      expect(() => decodePayload(bounded(LIMITS.jsonDepth + 1))).toThrow("nested too deeply");
    },
  );

  it("are decoded or refused, and never fail in another way", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodePayload(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("message schemas", () => {
  it("name the field that is wrong", () => {
    const heartbeat = {
      ts: 1,
      seq: 1,
      bootId: "b",
      uptimeSeconds: 1,
      firmware: { version: "1.0.0", hash: "nonsense", slot: "a" },
    };
    expect(() => checkMessage(Heartbeat, heartbeat)).toThrow(/\/firmware\/hash/);
  });
});

describe("canonical JSON", () => {
  it("does not depend on the order of keys", () => {
    expect(canonicalJson({ b: [1, { d: null, c: "x" }], a: true })).toBe(
      '{"a":true,"b":[1,{"c":"x","d":null}]}',
    );
  });

  it("parses back to the same value", () => {
    const value = fc.jsonValue().filter((each) => !/\d[.e]/i.test(JSON.stringify(each)));
    fc.assert(
      fc.property(value, (each) => {
        let text: string;
        try {
          text = canonicalJson(each);
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError);
          return;
        }
        expect(canonicalJson(JSON.parse(text))).toBe(text);
      }),
    );
  });

  it("refuses numbers that need formatting", () => {
    expect(() => canonicalJson({ a: 1.5 })).toThrow(TypeError);
    expect(() => canonicalJson({ a: 2 ** 60 })).toThrow(TypeError);
  });
});
