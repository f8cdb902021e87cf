import { afterAll, beforeAll, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { simulateYear } from "../support/fleet-year/year.ts";

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.close());

// `npm run sim:fleet` is the year of 10,000 devices; this is a month of a few, by the same code.
it("keeps every invariant through faults, people's hands and deaths of the platform", async () => {
  const { db, ownerUrl } = test;
  const shape = { devices: 40, days: 26, releaseEvery: 2, crashes: 3, tickMinutes: 120 };
  const report = await simulateYear({ ...shape, seed: 7, db, ownerUrl });
  expect(report.violations).toEqual([]);
  expect(report.platformCrashes).toBe(3);
  expect(report.updatesBegun).toBeGreaterThan(20);
});
