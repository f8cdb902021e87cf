import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LIMITS } from "../../src/kernel/index.ts";
import { Declaration } from "../../src/telemetry/declaration.ts";
import {
  type CheckOptions,
  checkTelemetry as checkInto,
  type PointSink,
} from "../../src/telemetry/telemetry-validation.ts";

const NOW = 1_790_000_000_000;
const sample = (values: Record<string, unknown>, extra = {}) => ({
  ts: NOW,
  seq: 1,
  values,
  ...extra,
});

function checkTelemetry(payload: unknown, now: number, options: CheckOptions = {}) {
  const points: { metric: string; ts: number; seq: number; value: number }[] = [];
  const texts: { metric: string; text: string }[] = [];
  const sink: PointSink = {
    number: (metric, ts, seq, value) => points.push({ metric, ts, seq, value }),
    text: (metric, _ts, _seq, text) => texts.push({ metric, text }),
  };
  const checked = checkInto(payload, now, sink, options);
  return { ...checked, points, texts };
}

describe("a telemetry message", () => {
  it("keeps its good values and gives each bad one its reason", () => {
    const { points, texts, rejected, rejectedCount } = checkTelemetry(
      sample({
        temperature: 21.5,
        open: true,
        nan: Number.NaN,
        infinite: Number.POSITIVE_INFINITY,
        nested: { a: 1 },
        list: [1],
        text: "21.5",
        long: "x".repeat(257),
        nothing: null,
        "bad name": 1,
        "_platform.bytes_sent": 1,
        "": 1,
      }),
      NOW,
    );
    expect(points).toEqual([
      { metric: "temperature", ts: NOW, seq: 1, value: 21.5 },
      { metric: "open", ts: NOW, seq: 1, value: 1 },
    ]);
    expect(texts).toEqual([{ metric: "text", text: "21.5" }]);
    expect(rejectedCount).toBe(9);
    expect(rejected.map(({ metric, reason }) => [metric, reason])).toEqual([
      ["nan", "not-finite"],
      ["infinite", "not-finite"],
      ["nested", "nested"],
      ["list", "nested"],
      ["long", "text-too-long"],
      ["nothing", "not-a-value"],
      ["bad name", "metric-name-invalid"],
      ["_platform.bytes_sent", "metric-name-reserved"],
      ["", "metric-name-invalid"],
    ]);
  });

  it("loses the samples whose time or sequence cannot be believed, and no other", () => {
    const { points, rejected } = checkTelemetry(
      [
        sample({ a: 1 }, { ts: NOW + LIMITS.futureToleranceMs }),
        sample({ a: 2 }, { ts: NOW + LIMITS.futureToleranceMs + 1 }),
        sample({ a: 3 }, { ts: 12 }),
        sample({ a: 4 }, { ts: "yesterday" }),
        sample({ a: 5 }, { seq: -1 }),
        sample({ a: 6 }, { seq: 1e300 }),
        "nonsense",
        { ts: NOW, seq: 1, values: [1] },
      ],
      NOW,
    );
    expect(points.map((point) => point.value)).toEqual([1]);
    expect(rejected.map(({ reason }) => reason)).toEqual([
      "timestamp-in-future",
      "timestamp-too-old",
      "timestamp-invalid",
      "sequence-invalid",
      "sequence-invalid",
      "sample-malformed",
      "sample-malformed",
    ]);
  });

  it("is cut at its bounds", () => {
    const many = Object.fromEntries(
      Array.from({ length: LIMITS.telemetryMetricsPerSample + 3 }, (_, index) => [`m${index}`, 1]),
    );
    const one = checkTelemetry(sample(many), NOW);
    expect(one.points.length).toBe(LIMITS.telemetryMetricsPerSample);
    expect(one.rejected.every(({ reason }) => reason === "too-many-metrics")).toBe(true);
    const flood = Array.from({ length: 100 }, (_, index) => sample(many, { seq: index }));
    const all = checkTelemetry(flood, NOW);
    expect(all.points.length).toBe(LIMITS.telemetryPointsPerMessage);
    expect(all.rejected.length).toBe(100);
    expect(all.points.length + all.rejectedCount).toBe(flood.length * Object.keys(many).length);
  });

  it("holds positions, each of whose numbers is a metric", () => {
    const { points, rejected } = checkTelemetry(
      sample({
        at: { lat: 52.5, lon: 13.4, alt: 34 },
        flat: { lat: -1, lon: 2 },
        north: { lat: 91, lon: 0 },
        nowhere: { lat: Number.NaN, lon: 0 },
        strange: { lat: 1, lon: 2, by: "eye" },
        half: { lat: 1 },
      }),
      NOW,
    );
    expect(points.map(({ metric, value }) => [metric, value])).toEqual([
      ["at.lat", 52.5],
      ["at.lon", 13.4],
      ["at.alt", 34],
      ["flat.lat", -1],
      ["flat.lon", 2],
    ]);
    expect(rejected.map(({ metric, reason }) => [metric, reason])).toEqual([
      ["north", "out-of-range"],
      ["nowhere", "not-finite"],
      ["strange", "nested"],
      ["half", "nested"],
    ]);
  });

  it("is measured by what its product declares", () => {
    const declaration = new Declaration({
      product: "hub",
      metrics: [
        { name: "heat", type: "number", minimum: -40, maximum: 85 },
        { name: "steps", type: "integer" },
        { name: "open", type: "boolean" },
        { name: "mode", type: "string" },
        { name: "at", type: "position" },
      ],
      slots: [],
    });
    const { points, texts, rejected } = checkTelemetry(
      [
        sample({ heat: 20, steps: 3, open: false, mode: "eco", at: { lat: 1, lon: 2 }, other: 1 }),
        sample({ heat: 86, steps: 3.5, open: 2, mode: 1, at: "here" }),
        sample({ heat: "warm", steps: true, open: 1, mode: { lat: 1, lon: 2 }, at: 7 }),
      ],
      NOW,
      { declaration },
    );
    expect(points.length).toBe(7);
    expect(texts).toEqual([{ metric: "mode", text: "eco" }]);
    expect(rejected.map(({ sample, metric, reason }) => [sample, metric, reason])).toEqual([
      [1, "heat", "out-of-range"],
      ...["steps", "open", "mode", "at"].map((metric) => [1, metric, "type-mismatch"]),
      ...["heat", "steps", "mode", "at"].map((metric) => [2, metric, "type-mismatch"]),
    ]);
  });

  it("is refused when nothing in it can be used", () => {
    for (const payload of [[], {}, null, 7, sample({}), sample({ a: null })]) {
      expect(() => checkTelemetry(payload, NOW)).toThrow(
        expect.objectContaining({ code: "message-invalid" }),
      );
    }
  });

  it("never throws anything but the refusal, and never stores what is not finite", () => {
    fc.assert(
      fc.property(fc.anything(), (payload) => {
        try {
          const { points } = checkTelemetry(payload, NOW);
          expect(points.every(({ value }) => Number.isFinite(value))).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ code: "message-invalid" });
        }
      }),
    );
  });
});
