import { expect, test } from "vitest";
import { SCENARIOS } from "../../src/simulator/powercut-run.ts";
import { simulatePowercuts } from "../../src/simulator/powercut-simulation.ts";

test("a power cut at any change of the flash leaves a device that boots a signed image and reports", async () => {
  const { cuts, outcomes, violations } = await simulatePowercuts(250, 20_261_123, SCENARIOS);
  expect(violations).toEqual([]);
  expect(cuts).toBeGreaterThanOrEqual(250);
  expect(outcomes.updated).toBeGreaterThan(outcomes.failed);
});
