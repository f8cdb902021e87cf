import { describe, expect, it } from "vitest";
import { MODES, simulateGate } from "../../src/simulator/gate-simulation.ts";
import { simulateLogLimit } from "../../src/simulator/log-limit-simulation.ts";

// Few runs, fixed seeds: wide enough to catch a gate that has lost its power or its patience.
// `npm run sim:gate` measures the figures themselves.
const RUNS = 300;

describe.each(MODES)("the gate on a simulated fleet of 10,000 devices, %s", (mode) => {
  it.each(["good", "shock", "chronic"] as const)("seldom pauses good firmware (%s)", (scenario) => {
    const result = simulateGate(scenario, mode, RUNS, 7_000);
    expect(result.falsePauseRate).toBeLessThanOrEqual(0.02);
    expect(result.goodRolloutHoursP50).toBeLessThanOrEqual(mode === "stepped" ? 78 : 100);
  });

  it("stops firmware that crashes three times as often within 5 % of the fleet", () => {
    const result = simulateGate("x3", mode, RUNS, 8_000);
    expect(result.stoppedAtFivePercent).toBeGreaterThanOrEqual(0.95);
    expect(result.exposedMean).toBeLessThanOrEqual(650);
  });

  it("stops firmware that crashes ten times as often within hours", () => {
    const result = simulateGate("x10", mode, RUNS, 9_000);
    expect(result.stoppedAtFivePercent).toBe(1);
    expect(result.hoursToPauseP50).toBeLessThanOrEqual(mode === "stepped" ? 8 : 18);
    expect(result.exposedMean).toBeLessThanOrEqual(mode === "stepped" ? 500 : 290);
  });
});

describe("a plain limit on error logs in a simulated fleet", () => {
  it("lets good firmware pass and stops what logs ten times as much, as its plan foretells", () => {
    const result = simulateLogLimit(2, 400, 15, 7_000);
    expect(result).toMatchObject({ falsePauseRate: 0, foretold: 0, x3Stopped: 1, x10Stopped: 1 });
    expect(result.x10HoursP50).toBeLessThanOrEqual(12);
  });
});

describe("the simulation", () => {
  it("gives the same figures for the same seed", () => {
    expect(simulateGate("x10", "ramped", 20, 5)).toEqual(simulateGate("x10", "ramped", 20, 5));
  });
});
