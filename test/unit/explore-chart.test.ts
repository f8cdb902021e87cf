import { describe, expect, it } from "vitest";

// The console is a project of its own: its types are not seen from here.
const page = new URL("../../web/src/pages/telemetry/", import.meta.url);
const { isSameQuestion, requestBefore, shiftOf, withEarlier } = await import(
  new URL("comparison.ts", page).href
);
const { marksOf } = await import(new URL("marks.ts", page).href);

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

describe("comparing a chart with an earlier time", () => {
  it("goes back by whole buckets, so that both have values at one place", () => {
    const time = { from: 0, to: 3 * HOUR + 1, stepMs: HOUR };
    expect(shiftOf("before", time)).toBe(4 * HOUR);
    expect(shiftOf("day", time)).toBe(DAY);
    expect(shiftOf("week", { ...time, stepMs: 5 * HOUR })).toBe(170 * HOUR);
    for (const none of [undefined, "none", "year", "constructor"]) {
      expect(shiftOf(none, time)).toBeUndefined();
    }
  });

  const answer = {
    series: [
      { key: "a", points: [[10 * DAY, 1]] },
      { key: null, points: [[10 * DAY, 2]] },
    ],
    resolution: { source: "1h", stepMs: HOUR, from: 0, to: 0, approximate: false },
  } as const;

  it("asks for the same in buckets as wide, of devices those that are drawn", () => {
    const request = { metric: "m", points: 100, aggregate: "p95", top: 5 } as const;
    const time = { from: 10 * DAY, to: 11 * DAY };
    const series = { ...answer, series: answer.series.map((one) => ({ ...one, points: [] })) };
    const before = requestBefore({ ...request, groupBy: "device" }, series, DAY, time);
    expect(before).toEqual({
      ...{ metric: "m", aggregate: "p95", groupBy: "device", devices: "a", step: "3600000ms" },
      ...{ from: String(9 * DAY), to: String(10 * DAY) },
    });
    const firmware = requestBefore({ ...request, groupBy: "firmware" }, series, DAY, time);
    expect(firmware).not.toHaveProperty("devices");
  });

  it("keeps what was drawn while time goes on, and not that of another question", () => {
    const asked = { metric: "m", groupBy: "device", from: "1", to: "2", step: "1ms" };
    const { step, ...rest } = asked;
    expect(isSameQuestion(asked, { step, ...rest, from: "3", to: "4" })).toBe(true);
    for (const other of [{ groupBy: "region" }, { step: "2ms" }, { devices: "a" }]) {
      expect(isSameQuestion(asked, { ...asked, ...other })).toBe(false);
    }
  });

  it("draws each line of then beside its own, in its colour, and none that is not shown now", () => {
    const lines = [
      { key: "a", name: "a", points: [[10 * DAY, 1]] },
      { key: "null", name: "without", points: [[10 * DAY, 2]] },
    ] as const;
    const earlier = [
      { key: "gone", points: [[3 * DAY, 7]] },
      { key: null, points: [[3 * DAY, 8]] },
    ];
    expect(withEarlier(lines, earlier, 7 * DAY, "week")).toEqual([
      { ...lines[0], color: 0 },
      { ...lines[1], color: 1 },
      {
        ...{ key: "null\nweek", name: "without, week before", points: [[10 * DAY, 8]] },
        ...{ color: 1, isEarlier: true },
      },
    ]);
  });
});

describe("rollouts on a chart", () => {
  const rollout = (id: string, kind: "update" | "rollback", starts: (number | null)[]) => ({
    ...{ id, kind, release: { version: "1.2.0", product: "hub" } },
    stages: starts.map((at, index) => ({
      name: `stage ${index + 1}`,
      startedAt: at === null ? null : new Date(at).toISOString(),
    })),
  });

  it("are marked where a stage began within the time, in their order", () => {
    const marks = marksOf(
      [rollout("b", "rollback", [5_000]), rollout("a", "update", [1_000, 4_000, null, 99_000])],
      2_000,
      9_000,
    );
    expect(marks).toEqual([
      { at: 4_000, label: "1.2.0 stage 2", rolloutId: "a" },
      { at: 5_000, label: "back to 1.2.0 stage 1", rolloutId: "b" },
    ]);
  });

  it("are the newest twelve at most", () => {
    const many = rollout(
      "a",
      "update",
      Array.from({ length: 30 }, (_, index) => index * 1_000),
    );
    const marks = marksOf([many], 0, 60_000);
    expect([marks.length, marks[0]?.at]).toEqual([12, 18_000]);
  });
});
