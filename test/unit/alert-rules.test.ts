import { describe, expect, it } from "vitest";
import {
  type AlertRuleDocument,
  checkRule,
  nextStates,
  reportsOf,
  type Sample,
  type SeriesState,
} from "../../src/alert-rules/index.ts";
import { compileFleetQuery } from "../../src/devices/index.ts";

const HOT: AlertRuleDocument = {
  name: "Hot",
  severity: "warning",
  source: { kind: "metric", metric: "temperature" },
  condition: { operator: ">", threshold: 80, clearThreshold: 75 },
  forSeconds: 60,
  everySeconds: 30,
};
const sample = (value: number, key = "hub-1"): Sample => ({
  ...{ key, value, labels: { device: key, site: "berlin" } },
  subject: { kind: "device", id: key },
});

/** Looks at one figure after the other, half a minute apart; null is none. */
function run(spec: AlertRuleDocument, values: (number | null)[], everyMs = 30_000): string[] {
  let states = new Map<string, SeriesState>();
  let evaluatedAt: number | null = null;
  return values.map((value, index) => {
    const nowMs = index * everyMs;
    const samples = value === null ? [] : [sample(value)];
    const next = nextStates(spec, states, samples, { nowMs, evaluatedAt });
    states = new Map(next.map((state) => [state.key, state]));
    evaluatedAt = nowMs;
    return next[0]?.state ?? "-";
  });
}

describe("a rule", () => {
  it("fires once its condition has held for as long as it says", () => {
    expect(run(HOT, [81, 82, 83, 84])).toEqual(["pending", "pending", "firing", "firing"]);
    expect(run(HOT, [81, 79, 83, 84])).toEqual(["pending", "-", "pending", "pending"]);
  });

  it("ends at the threshold of its end, not at that of its beginning", () => {
    expect(run(HOT, [81, 81, 81, 78, 76, 75, 78])).toEqual([
      ...["pending", "pending", "firing", "firing", "firing", "-", "-"],
    ]);
  });

  it("keeps firing for as long as it says after the condition has ended", () => {
    const spec = { ...HOT, forSeconds: 0, keepFiringForSeconds: 60 };
    expect(run(spec, [81, 10, 10, 10])).toEqual(["firing", "firing", "-", "-"]);
  });

  it("resolves what has no figure any more, or keeps it where that was asked", () => {
    expect(run({ ...HOT, forSeconds: 0 }, [81, null])).toEqual(["firing", "-"]);
    expect(run({ ...HOT, forSeconds: 0, noData: "keep" }, [81, null])).toEqual([
      "firing",
      "firing",
    ]);
  });

  it("begins what was pending anew where nobody has looked for a while", () => {
    expect(run(HOT, [81, 81], 600_000)).toEqual(["pending", "pending"]);
  });

  it("makes one alert of many, and of the few that are left single ones again", () => {
    const spec = { ...HOT, forSeconds: 0, collapseAbove: 4 };
    const of = (count: number, isCollapsed: boolean) => {
      const samples = Array.from({ length: count }, (_, at) => sample(99, `hub-${at}`));
      const states = nextStates(spec, new Map(), samples, { nowMs: 0, evaluatedAt: 0 });
      const subjects = new Map(samples.map(({ key, subject }) => [key, subject]));
      return reportsOf("r", spec, states, { subjects, isCollapsed });
    };
    expect(of(4, false)).toHaveLength(4);
    const [one, ...others] = of(1_000, false);
    expect(others).toEqual([]);
    expect(one).toMatchObject({
      key: "rule:r",
      title: "Hot: 1000 devices",
      labels: { rule: "Hot", site: "berlin" },
      details: { count: 1_000 },
    });
    expect(one?.labels).not.toHaveProperty("device");
    expect(of(3, true)).toHaveLength(1);
    expect(of(2, true)).toHaveLength(2);
  });

  it.each<[string, Partial<AlertRuleDocument>, string]>([
    ["no metric", { source: { kind: "metric" } }, "/source/metric"],
    [
      "a foreign part",
      { source: { kind: "quota", resource: "devices", metric: "x" } },
      "/source/metric",
    ],
    ["a broken query", { source: { kind: "devices", query: "tags.site =" } }, "/source/query"],
    ["no condition", { condition: undefined as never }, "/condition"],
    [
      "an end on the wrong side",
      { condition: { operator: "<", threshold: 10, clearThreshold: 5 } },
      "/condition/clearThreshold",
    ],
    [
      "a share of single devices",
      { source: { kind: "devices", query: "online", measure: "share" } },
      "/source/measure",
    ],
  ])("with %s is refused with its place", (_name, change, path) => {
    try {
      checkRule({ ...HOT, ...change }, compileFleetQuery);
      expect.unreachable();
    } catch (error) {
      expect((error as { details: { errors: object[] } }).details.errors).toContainEqual(
        expect.objectContaining({ path }),
      );
    }
  });
});
