import { expect, test } from "vitest";
import { runWithCuts, SCENARIOS } from "../../src/simulator/powercut-run.ts";
import { simulatePowercuts } from "../../src/simulator/powercut-simulation.ts";
import { TWINS } from "../../src/simulator/powercut-twin.ts";

test("a power cut at any change of the flash leaves a device that boots a signed image and reports", async () => {
  const { cuts, outcomes, violations } = await simulatePowercuts(160, 20_261_123, SCENARIOS);
  expect(violations).toEqual([]);
  expect(cuts).toBeGreaterThanOrEqual(160);
  expect(outcomes.updated).toBeGreaterThan(outcomes.failed);
});

test("components whose every attempt was cut off are taken back, and that is what is reported", async () => {
  const { outcome, cuts, violations } = await runWithCuts("components-alone", [131, 33, 21], 1);
  expect({ outcome, cuts, violations }).toEqual({ outcome: "fell-back", cuts: 3, violations: [] });
});

test("a power cut at any change of the flash leaves a twin that converges, whole", async () => {
  const { cuts, violations } = await simulatePowercuts(100, 20_261_129, TWINS);
  expect(violations).toEqual([]);
  expect(cuts).toBeGreaterThanOrEqual(100);
});
