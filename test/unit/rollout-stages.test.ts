import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isAppError } from "../../src/kernel/index.ts";
import { arrange, completePolicy, planStages, releasedDevices } from "../../src/rollouts/index.ts";

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

describe("the order of devices", () => {
  const devices = Array.from({ length: 60 }, (_, index) => ({
    id: `d-${index}`,
    hardwareRevision: index < 50 ? "a" : "b",
    region: index % 2 === 0 ? "eu" : "us",
    excluded: index % 10 === 0,
  }));

  it("begins with canaries of every hardware revision and region", () => {
    const canaries = arrange("rollout-1", devices, 5).slice(0, 5);
    const kinds = new Set(canaries.map((device) => device.hardwareRevision + device.region));
    expect(kinds.size).toBe(4);
    expect(canaries.every((device) => !device.excluded)).toBe(true);
  });

  it("holds each device once, is the same each time and differs between rollouts", () => {
    const order = (rollout: string) => arrange(rollout, devices, 5).map((device) => device.id);
    expect([...order("rollout-1")].sort()).toEqual(devices.map((device) => device.id).sort());
    expect(order("rollout-1")).toEqual(order("rollout-1"));
    expect(order("rollout-1")).not.toEqual(order("rollout-2"));
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
