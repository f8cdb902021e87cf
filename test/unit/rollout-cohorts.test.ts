import { describe, expect, it } from "vitest";
import { randomInteger, seededRandom } from "../../src/kernel/random.ts";
import { initialGateState } from "../../src/rollouts/gate/index.ts";
import {
  completePolicy,
  evaluate,
  type GateFacts,
  type GateState,
  type MetricTotals,
  type Verdict,
} from "../../src/rollouts/index.ts";

const HOUR = 3_600_000;
const policy = completePolicy({ maxSoakSeconds: null });

interface Kind {
  name: string;
  treated: number;
  control: number;
  /** Crashes a device-day of either arm, and how much worse the new image is on it. */
  perDay: number;
  worse: number;
}

/** Crashes of a week, looked at by the hour; the last verdict that is not to wait. */
function week(kinds: readonly Kind[], isStratified: boolean, seed: number): Verdict | undefined {
  const random = seededRandom(seed);
  const cohorts: Record<string, Record<string, MetricTotals>> = {};
  for (const kind of kinds) cohorts[kind.name] = { crash: nothing() };
  const poisson = (mean: number) => {
    let count = 0;
    for (let left = Math.exp(-mean), product = random.next(); product > left; count += 1) {
      product *= random.next();
    }
    return count;
  };
  let state: GateState = initialGateState();
  for (let hour = 1; hour <= 7 * 24; hour += 1) {
    const all = nothing();
    for (const { name, treated, control, perDay, worse } of kinds) {
      const { crash } = cohorts[name] as { crash: MetricTotals };
      const arms = [
        [crash.treated, treated, perDay * worse, all.treated],
        [crash.control, control, perDay, all.control],
      ] as const;
      for (const [arm, devices, rate, sum] of arms) {
        arm.events += poisson((devices * rate) / 24);
        arm.exposureMs += devices * HOUR;
        sum.events += arm.events;
        sum.exposureMs += arm.exposureMs;
      }
    }
    const seen = structuredClone(cohorts);
    const { verdict, state: next } = evaluate(
      policy,
      state,
      factsOf(all, isStratified ? seen : undefined),
      hour * HOUR,
    );
    state = next;
    if (verdict.decision === "pause") return verdict;
  }
  return undefined;
}

const nothing = (): MetricTotals => ({
  treated: { events: 0, rawEvents: 0, exposureMs: 0 },
  control: { events: 0, rawEvents: 0, exposureMs: 0 },
});

function factsOf(
  crash: MetricTotals,
  cohorts: Record<string, Record<string, MetricTotals>> | undefined,
): GateFacts {
  const updates = { pending: 0, offered: 0, underway: 0, succeeded: 500, failed: 0 };
  return {
    stageIndex: 1,
    stageName: "5 %",
    stageStartedAtMs: 0,
    isCanary: false,
    isLast: false,
    isFinal: false,
    isHoldback: false,
    fullyOffered: true,
    evidence: { crash },
    ...(cohorts ? { cohorts } : {}),
    stageUpdates: updates,
    stageAbsent: 0,
    updates,
    excluded: {},
    observations: [],
    unobserved: [],
  };
}

describe("cohorts by hardware revision and region", () => {
  // Revision b crashes eight times as often, whatever it runs, and most of it is updated first.
  const CONFOUNDED: Kind[] = [
    { name: "a/eu", treated: 200, control: 8_000, perDay: 0.003, worse: 1 },
    { name: "b/eu", treated: 400, control: 400, perDay: 0.024, worse: 1 },
  ];

  it("keep a revision that crashes more and comes first from speaking against the firmware", () => {
    const runs = Array.from({ length: 60 }, (_, seed) => seed);
    const pauses = (isStratified: boolean) =>
      runs.filter((seed) => week(CONFOUNDED, isStratified, seed)?.decision === "pause").length;
    expect(pauses(false)).toBeGreaterThan(55);
    expect(pauses(true)).toBeLessThanOrEqual(2);
  });

  it("find what is worse on one revision alone, and say on which", () => {
    const kinds: Kind[] = [
      { name: "a/eu", treated: 300, control: 6_000, perDay: 0.004, worse: 1 },
      { name: "b/eu", treated: 200, control: 3_000, perDay: 0.004, worse: 10 },
    ];
    const found = Array.from({ length: 20 }, (_, seed) => week(kinds, true, 100 + seed));
    expect(found.filter((verdict) => verdict?.rule === "e-process:crash").length).toBe(20);
    const cohorts = found[0]?.numbers.cohorts ?? {};
    const rate = (name: string) => {
      const treated = cohorts[name]?.treated;
      return treated ? treated.events / treated.deviceHours : Number.NaN;
    };
    expect(rate("b/eu")).toBeGreaterThan(3 * rate("a/eu"));
  });

  it("count nothing of a kind that has no control left", () => {
    const kinds: Kind[] = [{ name: "a/eu", treated: 500, control: 0, perDay: 0.5, worse: 50 }];
    const seeds = Array.from({ length: 3 }, () => randomInteger(seededRandom(5), 1_000));
    for (const seed of seeds) expect(week(kinds, true, seed)).toBeUndefined();
  });
});
