import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seededRandom } from "../../src/kernel/index.ts";
import { pairUp, worse } from "../../src/rollouts/comparison.ts";
import { logSignEvidence, weighSigns } from "../../src/rollouts/gate/e-process.ts";
import {
  completePolicy,
  estimateDuration,
  evidenceSeconds,
  planStages,
  testedMetrics,
  wolfWarnings,
} from "../../src/rollouts/index.ts";
import { windowOf } from "../../src/rollouts/metric-figures.ts";

const METRIC = { metric: "telemetry.temperature", worse: "higher" as const };

/** Looks at pairs of which the treated one is worse with a chance; true once it would pause. */
function pauses(chance: number, pairs: number, limit: number, seed: number): boolean {
  const random = seededRandom(seed);
  let stakes: number[] = [];
  for (let look = 0; look < pairs / 5; look += 1) {
    const worseOnes = Array.from({ length: 5 }, () => random.next() < chance).filter(
      Boolean,
    ).length;
    stakes = weighSigns(stakes, { worse: worseOnes, better: 5 - worseOnes });
    if (logSignEvidence(stakes) >= Math.log(limit)) return true;
  }
  return false;
}

describe("the comparison of a figure", () => {
  it("seldom pauses firmware that is no worse, however often it looks", () => {
    const runs = 2_000;
    let paused = 0;
    for (let run = 0; run < runs; run += 1) if (pauses(0.5, 500, 50, run)) paused += 1;
    expect(paused / runs).toBeLessThanOrEqual(1 / 50);
  });

  it("finds a figure that is worse in two pairs of three within the first hundreds", () => {
    let paused = 0;
    for (let run = 0; run < 200; run += 1) if (pauses(2 / 3, 500, 2_500, run)) paused += 1;
    expect(paused / 200).toBeGreaterThan(0.97);
  });

  it("pairs each device once, with one of its own kind, and leaves out who said nothing", () => {
    const device = fc.record({
      device_id: fc.integer({ min: 0, max: 10_000 }).map(String),
      stratum: fc.constantFrom("a/eu", "a/us", "b/eu"),
    });
    const arms = fc.uniqueArray(device, { selector: (it) => it.device_id, maxLength: 60 });
    fc.assert(
      fc.property(arms, fc.double({ min: 0, max: 1, noNaN: true }), (devices, share) => {
        const cut = Math.floor(devices.length * share);
        const figures = new Map(devices.slice(1).map((it, index) => [it.device_id, index]));
        const pairs = pairUp(METRIC, devices.slice(0, cut), devices.slice(cut), figures, "r");
        const used = pairs.flatMap((pair) => [pair.treated, pair.control]);
        expect(new Set(used).size).toBe(used.length);
        const stratum = new Map(devices.map((it) => [it.device_id, it.stratum]));
        for (const pair of pairs) {
          expect(stratum.get(pair.treated)).toBe(stratum.get(pair.control));
          expect(figures.has(pair.treated) && figures.has(pair.control)).toBe(true);
        }
      }),
    );
  });

  it.each([
    [{ ...METRIC, toleranceShare: 0.1 }, 109, 100, false],
    [{ ...METRIC, toleranceShare: 0.1 }, 111, 100, true],
    [{ ...METRIC, tolerance: 5 }, -1, -7, true],
    [{ ...METRIC, worse: "lower" as const, toleranceShare: 0.1 }, 89, 100, true],
    [{ ...METRIC, worse: "lower" as const }, 100, 100, false],
  ])("by %j takes %d against %d for worse: %s", (metric, treated, control, expected) => {
    expect(worse(metric, treated, control)).toBe(expected);
  });

  it("is read over the last whole window where buckets are read", () => {
    const at = Date.UTC(2026, 10, 29, 12, 31, 7);
    const hour = 3_600_000;
    expect(windowOf(METRIC, at)).toEqual({ from: at - hour, to: at });
    const rollups = { ...METRIC, source: "rollups" as const };
    const noon = Date.UTC(2026, 10, 29, 12);
    expect(windowOf(rollups, at)).toEqual({ from: noon - hour, to: noon });
    // A minute past the hour the last bucket is not computed yet.
    expect(windowOf(rollups, noon + 60_000).to).toBe(noon - hour);
  });

  it("shares α out among all metrics, and no more than all of it", () => {
    const metrics = [METRIC, { ...METRIC, metric: "telemetry.memory" }];
    const shares = Object.values(testedMetrics({ metrics }));
    expect(shares).toHaveLength(7);
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 10);
  });
});

describe("how long a rollout lasts", () => {
  const policy = completePolicy({});
  const reach = { now: 9_000, day: 900, week: 100, month: 0, longer: 0 };

  it("follows from the events that the evidence takes", () => {
    const rare = evidenceSeconds(policy, 500, 9_500, 0.005 / 24) as number;
    expect(rare / 3_600).toBeGreaterThan(24);
    expect(rare / 3_600).toBeLessThan(120);
    expect(evidenceSeconds(policy, 500, 9_500, 0.05 / 24)).toBeCloseTo(rare / 10, -2);
    expect(evidenceSeconds(policy, 500, 9_500, 0)).toBeNull();
  });

  it("is unknown where nothing ever happens and no limit of time is set", () => {
    const stages = planStages(policy, 10_000);
    const facts = { reach, devices: 10_000, compared: 10_000, crashesPerDeviceHour: 0 };
    expect(estimateDuration(policy, stages, facts).expectedSeconds).toBeNull();
    const capped = { ...policy, maxSoakSeconds: 86_400 };
    const estimate = estimateDuration(capped, stages, facts);
    expect(estimate.expectedSeconds).toBeGreaterThan(4 * 86_400);
    expect(estimate.reachSeconds).toBe(7 * 86_400);
  });
});

describe("a plain limit", () => {
  const policy = completePolicy({});
  const stages = planStages(policy, 10_000);
  const fleet = { crashesPerDeviceHour: 0.005 / 24, offlineShare: 0.02 };
  const limit = (metric: "crash-rate" | "offline-share", above: number) => ({
    ...policy,
    thresholds: [{ metric, above }],
  });

  it("that cries wolf is told of before it begins", () => {
    const [warning] = wolfWarnings(limit("crash-rate", 0.01), stages, fleet);
    expect(warning).toMatch(/crash-rate > 0.01 would pause \d+ % of rollouts/);
    expect(wolfWarnings(limit("offline-share", 0.01), stages, fleet)).toHaveLength(1);
  });

  it("on a figure that grows is told of where the fleet's own spread breaks it", () => {
    const random = seededRandom(8);
    const boots = Array.from({ length: 400 }, () => 20_000 + 8_000 * random.next());
    const grows = { metric: "telemetry.boot_ms", aggregate: "p95" as const, growsBy: 0.2 };
    const facts = { ...fleet, spreads: new Map([["telemetry.boot_ms", boots]]) };
    const told = (threshold: object, known = facts) =>
      wolfWarnings(completePolicy({ thresholds: [{ ...grows, ...threshold }] }), stages, known);
    expect(told({})).toEqual([]);
    const [warning] = told({ growsBy: 0.01, aggregate: "p50" });
    expect(warning).toMatch(/growth of p50 of telemetry.boot_ms > 0.01 would pause \d+ % of/);
    expect(told({ growsBy: 0.05, aggregate: "p50", minimumDevices: 400 })).toEqual([]);
    expect(told({ growsBy: undefined, above: 25_000 })).toHaveLength(1);
  });

  it.each([0, 1, 5, 29])("that %i devices speak of was not tried out, and that is said", (few) => {
    const boot = { metric: "telemetry.boot_ms", growsBy: 0.2 };
    const logs = { metric: "error-log-rate", above: 100 };
    const figures = Array.from({ length: few }, () => 20_000);
    const facts = {
      ...fleet,
      spreads: new Map([["telemetry.boot_ms", figures]]),
      errorHours: figures.map(() => new Array<number>(24).fill(0)),
    };
    const warnings = wolfWarnings(completePolicy({ thresholds: [boot, logs] }), stages, facts);
    const devices = few === 1 ? "1 device" : `${few} devices`;
    expect(warnings[0]).toContain("the limit growth of telemetry.boot_ms > 0.2 was not tried out");
    expect(warnings[1]).toContain(`what ${devices} of this rollout showed in the last day`);
  });

  it("on error logs is told of where what devices wrote yesterday breaks it", () => {
    const random = seededRandom(9);
    // One line in ten hours on average, and a storm of the whole fleet at four in the morning.
    const day = (storm: number) =>
      Array.from(
        { length: 24 },
        (_, hour) => (random.next() < 0.1 ? 1 : 0) + (hour === 4 ? storm : 0),
      );
    const told = (above: number, storm: number, evidence = {}) =>
      wolfWarnings(
        completePolicy({ thresholds: [{ metric: "error-log-rate", above, ...evidence }] }),
        stages,
        { ...fleet, errorHours: Array.from({ length: 300 }, () => day(storm)) },
      );
    expect(told(0.5, 0)).toEqual([]);
    expect(told(0.11, 0)[0]).toMatch(/error-log-rate > 0.11 would pause \d+ % of rollouts/);
    expect(told(0.5, 5)).toHaveLength(1);
    expect(told(6, 5)).toEqual([]);
    // Where nobody has logged or the store was away nothing is foretold.
    const nothing = { ...fleet, errorHours: null };
    const policy = completePolicy({ thresholds: [{ metric: "error-log-rate", above: 0.01 }] });
    expect(wolfWarnings(policy, stages, nothing)).toEqual([]);
  });

  it.each([
    [{ metric: "telemetry.x" }, "needs either above or growsBy"],
    [{ metric: "telemetry.x", above: 1, growsBy: 1 }, "needs either above or growsBy"],
    [{ metric: "crash-rate", growsBy: 0.2 }, "growsBy is for telemetry"],
    [{ metric: "crash-rate", above: 1, aggregate: "p95" }, "aggregate is for telemetry"],
    [{ metric: "telemetry.x", growsBy: 0 }, "/policy/thresholds/0/growsBy must be > 0"],
    [{ metric: "telemetry.x", above: 1, aggregate: "p77" }, "/policy/thresholds/0/aggregate"],
  ])("as %j is refused: %s", (threshold, why) => {
    expect(() => completePolicy({ thresholds: [threshold] })).toThrow(why);
  });

  it("stands once for each figure", () => {
    const limits = [{ metric: "crash-rate", above: 0.1 }];
    expect(() => completePolicy({ thresholds: [...limits, ...limits] })).toThrow("a second time");
  });

  it.each([
    [{ metric: "query.x" }, "metrics/0/query belongs to a metric called query.<name>"],
    [{ metric: "telemetry.x", query: "up" }, "metrics/0/query belongs to a metric"],
    [{ metric: "query.x", query: "up", aggregate: "p95" }, "aggregate is for telemetry"],
    [{ metric: "telemetry.x", transform: "rate", source: "points" }, "source is rollups"],
    [{ metric: "telemetry.x", source: "rollups", windowSeconds: 90 }, "whole minutes"],
  ])("and a comparison as %j is refused: %s", (metric, why) => {
    expect(() => completePolicy({ metrics: [{ worse: "higher", ...metric }] })).toThrow(why);
  });

  it("with room enough, or with enough evidence asked for, is not", () => {
    expect(wolfWarnings(limit("crash-rate", 0.5), stages, fleet)).toEqual([]);
    const thresholds = [
      {
        metric: "crash-rate" as const,
        above: 0.03,
        minimumDevices: 500,
        minimumDeviceHours: 6_000,
      },
    ];
    expect(wolfWarnings({ ...policy, thresholds }, stages, fleet)).toEqual([]);
    expect(wolfWarnings(limit("crash-rate", 0.03), stages, fleet)).toHaveLength(1);
  });
});
