import { encode } from "cborg";
import { describe, expect, it } from "vitest";
import { isAppError, LIMITS } from "../../src/kernel/index.ts";
import { decodePayload } from "../../src/protocol/index.ts";
import { checkTelemetry } from "../../src/telemetry/telemetry-validation.ts";

const NOW = Date.UTC(2026, 10, 30);
const sampleOf = (values: object, ts: number = NOW) => ({ ts, seq: 1, values });

interface Outcome {
  stored: [string, number | string][];
  reasons: Record<string, number>;
  refusal?: string;
}

/** What becomes of a payload: what is stored, why how many values are not, or why none is. */
function outcomeOf(payload: Uint8Array): Outcome {
  const stored: Outcome["stored"] = [];
  const sink = {
    number: (metric: string, _ts: number, _seq: number, value: number) => {
      stored.push([metric, value]);
    },
    text: (metric: string, _ts: number, _seq: number, text: string) => {
      stored.push([metric, text]);
    },
  };
  const counted = (rejected: readonly { reason: string }[]) =>
    Object.fromEntries(
      [...Map.groupBy(rejected, ({ reason }) => reason)].map(([reason, of]) => [reason, of.length]),
    );
  try {
    const { rejected } = checkTelemetry(decodePayload(payload), NOW, sink);
    return { stored, reasons: counted(rejected) };
  } catch (error) {
    if (!isAppError(error) || error.code !== "message-invalid") throw error;
    const { rejected = [] } = error.details as { rejected?: { reason: string }[] };
    return { stored, reasons: counted(rejected), refusal: error.message };
  }
}

const json = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const cbor = (value: unknown) => Buffer.from(encode(value));
const nested = (depth: number) =>
  `{"ts":${NOW},"seq":1,"values":{"a":${"[".repeat(depth)}${"]".repeat(depth)}}}`;
const many = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`m${index}`, index]));

describe("a telemetry message that is meant to do harm", () => {
  it.each<[string, Uint8Array, string]>([
    ["cut off", json('{"ts":'), "not valid JSON"],
    ["empty", Buffer.alloc(0), "empty"],
    ["with a literal NaN", json(`{"ts":${NOW},"seq":1,"values":{"a":NaN}}`), "not valid JSON"],
    ["nested a hundred thousand times", json(nested(100_000)), "nested too deeply"],
    ["no UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), "not valid JSON"],
    ["of 1970", json(sampleOf({ a: 1 }, 1)), "timestamp-too-old"],
    ["of 2100", json(sampleOf({ a: 1 }, Date.UTC(2100, 0))), "timestamp-in-future"],
    ["with a time beyond every calendar", json(`{"ts":1e300,"seq":1,"values":{"a":1}}`), "invalid"],
    [
      "with a sequence beyond 2^53",
      json(`{"ts":${NOW},"seq":9007199254740993,"values":{"a":1}}`),
      "sequence",
    ],
    ["whose values are a list", json({ ts: NOW, seq: 1, values: [1] }), "sample-malformed"],
    [
      "whose values are inherited",
      json(`{"ts":${NOW},"seq":1,"__proto__":{"values":{"a":1}}}`),
      "malformed",
    ],
    ["in CBOR, cut off", cbor(sampleOf({ a: 1.5 })).subarray(0, 12), "not valid CBOR"],
    [
      "in CBOR, with more behind it",
      Buffer.concat([cbor(sampleOf({ a: 1 })), Buffer.of(0)]),
      "CBOR",
    ],
    ["in CBOR, nested sixty thousand times", Buffer.alloc(60_000, 0x81), "nested too deeply"],
    [
      "in CBOR, a list that claims a million million",
      Buffer.from("9b000000ffffffffff", "hex"),
      "CBOR",
    ],
    ["in CBOR, with a key twice", Buffer.from("a2616101616102", "hex"), "CBOR"],
    [
      "in CBOR, with a time of 64 bits",
      cbor({ ts: 2n ** 60n, seq: 1, values: { a: 1 } }),
      "timestamp",
    ],
  ])("%s is refused, and nothing of it stored", (_name, payload, reason) => {
    const { stored, refusal } = outcomeOf(payload);
    expect(stored).toEqual([]);
    expect(refusal).toContain(reason);
  });

  it("loses no good value to a bad one, and each bad one has its reason", () => {
    const named = { "": 1, "a b": 1, "x\0": 1, "a=2,b": 1, "_platform.cpu": 1, good: 7 };
    const values = { ...named, [`n${"n".repeat(LIMITS.metricNameLength)}`]: 1 };
    expect(outcomeOf(json(sampleOf(values)))).toEqual({
      stored: [["good", 7]],
      reasons: { "metric-name-invalid": 5, "metric-name-reserved": 1 },
    });
    const odd = { a: Number.NaN, b: Number.POSITIVE_INFINITY, c: 2n ** 63n, d: 1.5 };
    expect(outcomeOf(cbor(sampleOf(odd)))).toEqual({
      stored: [["d", 1.5]],
      reasons: { "not-finite": 2, "not-a-value": 1 },
    });
    const huge = `{"ts":${NOW},"seq":1,"values":{"a":1e999,"b":1e308,"c":5e-324}}`;
    expect(outcomeOf(json(huge)).stored).toEqual([
      ["b", 1e308],
      ["c", 5e-324],
    ]);
  });

  it("fills no more than its share: metrics of a sample, points of a message", () => {
    const wide = outcomeOf(json(sampleOf(many(10_000))));
    expect(wide.stored.length).toBe(LIMITS.telemetryMetricsPerSample);
    const long = Array.from({ length: 10_000 }, (_, index) => sampleOf({ a: index }, NOW - index));
    expect(outcomeOf(json(long)).stored.length).toBe(LIMITS.telemetryPointsPerMessage);
  });
});
