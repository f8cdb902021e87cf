import { afterAll, beforeAll, expect, it } from "vitest";
import { createDetectors } from "../../src/health/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { createTelemetry, type Telemetry } from "../../src/telemetry/index.ts";
import { createTestTimeseries, silentLogger, type TestTimeseries } from "../support/timeseries.ts";

const SLOT_MS = 1_000;

let store: TestTimeseries;
let telemetry: Telemetry;

beforeAll(async () => {
  store = await createTestTimeseries();
  telemetry = createTelemetry({ timeseries: store.timeseries, clock: systemClock });
});
afterAll(async () => {
  await telemetry.close();
  await store.close();
});

it("detectors raise an alert for what came in unusual, once, for its tenant alone", async () => {
  const now = Math.floor(Date.now() / SLOT_MS) * SLOT_MS;
  const samples = (spikeAt: number) =>
    Array.from({ length: 300 }, (_, index) => ({
      ts: now + (index - 290) * SLOT_MS,
      seq: index,
      values: { load: index === spikeAt ? 500 : (index * 7) % 5 },
    }));
  const ingest = (tenantId: string, spikeAt: number) =>
    telemetry.ingestTelemetry({ tenantId, deviceId: "d1" }, samples(spikeAt), now);
  await ingest("acme", 294);
  await ingest("calm", -1);
  await new Promise((resolve) => setTimeout(resolve, 1_300));

  const raised: [string, string][] = [];
  const detectors = createDetectors({
    telemetry,
    alerts: {
      raise: async (tenantId, report) => void raised.push([tenantId, report.key]),
      resolve: async () => {},
    },
    // As a process that was there before the spike.
    clock: { ...systemClock, now: () => now },
    logger: silentLogger,
    tenantsToWatch: async () => ["acme", "calm", "nobody"],
    slotMs: SLOT_MS,
  });
  expect((await detectors.runOnce()).points).toBe(600);
  expect(raised).toEqual([["acme", "anomaly:d1:load"]]);
  expect((await detectors.runOnce()).points).toBe(0);
});
