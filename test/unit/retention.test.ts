import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  fitsPattern,
  isMetricPattern,
  keptDaysFault,
  keptDaysOf,
} from "../../src/protocol/index.ts";
import { keptPoints } from "../../src/telemetry/kept-points.ts";
import { checkTelemetry } from "../../src/telemetry/telemetry-validation.ts";
import { chooseResolution } from "../../src/telemetry-queries/resolution.ts";

const DAY = 86_400_000;
const days = (points: number, rest = points) => {
  return { points, minutes: rest, hours: rest, days: rest };
};

describe("a pattern of metrics", () => {
  it("fits as the regular expression does that says the same", () => {
    const text = fc.stringMatching(/^[ab.*]{1,8}$/);
    fc.assert(
      fc.property(text, fc.stringMatching(/^[ab.]{0,10}$/), (pattern, metric) => {
        const source = pattern.replaceAll(".", "\\.").replace(/\*+/g, ".*");
        expect(fitsPattern(metric, pattern)).toBe(new RegExp(`^${source}$`).test(metric));
      }),
    );
  });

  it("is a metric's name with stars", () => {
    for (const good of ["*", "debug.*", "*.rpm", "heat"]) expect(isMetricPattern(good)).toBe(true);
    for (const bad of ["", "a b", "**", "a%", "a\\", "x".repeat(129)]) {
      expect(isMetricPattern(bad)).toBe(false);
    }
  });
});

describe("days that are kept", () => {
  it("are those of the first rule that fits", () => {
    const rules = [
      { pattern: "debug.heat", ...days(30) },
      { pattern: "debug.*", ...days(7) },
    ];
    const policy = { all: days(90), rules };
    const points = (name: string) => keptDaysOf(policy, name).points;
    expect(["debug.heat", "debug.rpm", "heat"].map(points)).toEqual([30, 7, 90]);
  });

  it("are never fewer of rollups than of what they are made from", () => {
    expect(keptDaysFault(days(7, 30))).toBeUndefined();
    expect(keptDaysFault(days(30, 7))).toMatch(/^minutes/);
    expect(keptDaysFault({ ...days(7), hours: 9, days: 8 })).toMatch(/^days/);
    expect(keptDaysFault(days(0))).toMatch(/^points/);
    expect(keptDaysFault(days(1.5))).toMatch(/^points/);
  });
});

describe("a backlog", () => {
  it("is refused value by value where a value is not kept any longer", () => {
    const now = Date.UTC(2026, 10, 1);
    const rules = [
      { pattern: "debug.*", ...days(1) },
      { pattern: "at.*", ...days(2) },
    ];
    const kept = keptPoints({ all: days(30), rules });
    const stored: string[] = [];
    const sink = {
      number: (metric: string) => void stored.push(metric),
      text: (metric: string) => void stored.push(metric),
    };
    const values = { heat: 1, "debug.rpm": 2, "debug.mode": "x", at: { lat: 1, lon: 2 } };
    const at = (age: number, seq: number) => ({ ts: now - age, seq, values });
    const sent = [at(1.5 * DAY, 1), at(29 * DAY, 2), at(31 * DAY, 3), at(0, 4)];
    const checked = checkTelemetry(sent, now, sink, { kept });
    const reasons = checked.rejected.map(({ metric, sample }) => `${sample} ${metric}`);
    expect(new Set(checked.rejected.map(({ reason }) => reason))).toEqual(
      new Set(["beyond-retention"]),
    );
    expect(reasons).toEqual([
      ...["0 debug.rpm", "0 debug.mode"],
      ...["1 debug.rpm", "1 debug.mode", "1 at"],
      ...["2 heat", "2 debug.rpm", "2 debug.mode", "2 at"],
    ]);
    expect(stored.filter((metric) => metric === "heat").length).toBe(3);
  });
});

describe("a chart that begins before the points that are kept", () => {
  const now = Date.UTC(2026, 10, 1);
  const horizons = {
    ...{ raw: now - 7 * DAY, "1m": now - 7 * DAY },
    ...{ "1h": now - 90 * DAY, "1d": now - 900 * DAY },
  };
  const from = (age: number) => ({ from: now - age, to: now - age + DAY, points: 600 });
  const choose = (age: number, transform: "none" | "rate" = "none") =>
    chooseResolution({ ...from(age), transform }, horizons);

  it("is made of rollups that reach back further", () => {
    expect(choose(2 * DAY)).toMatchObject({ source: "1m" });
    expect(choose(30 * DAY)).toMatchObject({ source: "1h", stepMs: 3_600_000 });
    expect(choose(300 * DAY)).toMatchObject({ source: "1d", stepMs: DAY });
    expect(choose(30 * DAY, "rate")).toMatchObject({ source: "1h", stepMs: 6 * 3_600_000 });
  });

  it("keeps the step that was asked for", () => {
    const asked = { ...from(30 * DAY), stepMs: 60_000, transform: "none" as const };
    expect(chooseResolution(asked, horizons)).toMatchObject({ source: "1m", stepMs: 60_000 });
  });
});
