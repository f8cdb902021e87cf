import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isAppError } from "../../src/kernel/index.ts";
import { completePolicy, planStages, releasedDevices } from "../../src/rollouts/index.ts";

const policy = completePolicy({});
const sizes = (count: number) => planStages(policy, count).map((stage) => stage.cumulativeDevices);

describe("stage sizes", () => {
  it.each([
    [10_000, [5, 500, 2_500, 5_000, 9_500, 10_000]],
    [100, [5, 5, 25, 50, 95, 100]],
    [7, [5, 5, 5, 5, 7]],
    [3, [3, 3, 3, 3, 3]],
    [1, [1, 1, 1, 1, 1]],
  ])("for %i devices", (count, expected) => {
    expect(sizes(count)).toEqual(expected);
  });

  it("never shrink, end with every device and keep at most the hold-back", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200_000 }), (count) => {
        const stages = planStages(policy, count);
        const reached = stages.map((stage) => stage.cumulativeDevices);
        expect(reached).toEqual([...reached].sort((left, right) => left - right));
        expect(reached.at(-1)).toBe(count);
        expect(reached[0]).toBeGreaterThan(0);
      }),
    );
  });

  it("open bit by bit under a ramp", () => {
    const stage = { name: "5 %", percent: 5, rampSeconds: 86_400 };
    expect(releasedDevices(stage, 5, 500, 0)).toBe(5);
    expect(releasedDevices(stage, 5, 500, 43_200)).toBe(253);
    expect(releasedDevices(stage, 5, 500, 86_400)).toBe(500);
    expect(releasedDevices(undefined, 5, 500, 0)).toBe(500);
  });
});

describe("the policy", () => {
  it.each([
    [{ alpha: 2 }, "/policy/alpha"],
    [{ stages: [] }, "/policy/stages"],
    [{ stages: [{ name: "all" }] }, "/policy/stages/0"],
    [{ stages: [{ name: "all", percent: 5, devices: 5 }] }, "/policy/stages/0"],
    [{ thresholds: [{ metric: "mood", above: 1 }] }, "/policy/thresholds/0/metric"],
    [{ maxSoakSeconds: 10 }, "/policy/maxSoakSeconds"],
    [{ surprise: true }, "/policy/surprise"],
  ])("refuses %j and names the field", (given, path) => {
    const refusal = (() => {
      try {
        completePolicy(given);
      } catch (error) {
        return error;
      }
    })();
    expect(isAppError(refusal, "invalid-request") && refusal.details).toEqual({ path });
  });

  it("fills in what is not given", () => {
    const completed = completePolicy({ minSoakSeconds: 1, deadlines: { rebooting: 5 } });
    expect(completed.alpha).toBe(policy.alpha);
    expect(completed.deadlines).toEqual({ ...policy.deadlines, rebooting: 5 });
  });
});
