import { afterAll, beforeAll, expect, it } from "vitest";
import {
  createDetectors,
  createSnapshotStore,
  createWatchLeases,
  WatchShares,
} from "../../src/health/index.ts";
import { ownerOf } from "../../src/health/watch-shares.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { createTelemetry, type Telemetry } from "../../src/telemetry/index.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { createTestTimeseries, silentLogger, type TestTimeseries } from "../support/timeseries.ts";

const SLOT_MS = 1_000;

let store: TestTimeseries;
let telemetry: Telemetry;
let test: TestDatabase;

beforeAll(async () => {
  [store, test] = await Promise.all([createTestTimeseries(), createTestDatabase()]);
  const tenancy = createTenancy({ db: test.db, clock: systemClock });
  for (const id of ["acme", "calm", "nobody"]) {
    await tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
  }
  telemetry = createTelemetry({ timeseries: store.timeseries, clock: systemClock });
});
afterAll(async () => {
  await telemetry.close();
  await store.close();
  await test.close();
});

const settled = () => new Promise((resolve) => setTimeout(resolve, 1_300));

it("detectors raise an alert for what is unusual, once, for its tenant alone, and end it after a restart", async () => {
  const start = Math.floor(Date.now() / SLOT_MS) * SLOT_MS;
  let now = start;
  const samples = (from: number, to: number, spikeAt: number) =>
    Array.from({ length: to - from }, (_, offset) => {
      const index = from + offset;
      const values = { load: index === spikeAt ? 500 : (index * 7) % 5 };
      return { ts: start + (index - 290) * SLOT_MS, seq: index, values };
    });
  const ingest = (tenantId: string, ...range: [number, number, number]) =>
    telemetry.ingestTelemetry({ tenantId, deviceId: "d1" }, samples(...range), now);
  await ingest("acme", 0, 291, -1);
  await ingest("calm", 0, 291, -1);
  await settled();

  const changes: string[] = [];
  let failures = 1;
  const startDetectors = () =>
    createDetectors({
      telemetry,
      alerts: {
        async raise(tenantId, report) {
          if (failures-- > 0) throw new Error("the database is away");
          changes.push(`raise ${tenantId} ${report.key}`);
        },
        resolve: async (tenantId, key) => void changes.push(`resolve ${tenantId} ${key}`),
      },
      clock: { ...systemClock, now: () => now },
      logger: silentLogger,
      tenantsToWatch: async () => ["acme", "calm", "nobody"],
      cohorts: async () => new Map([["d1", { kind: "hub a", firmware: "1.0.0" }]]),
      snapshots: createSnapshotStore(test.db),
      slotMs: SLOT_MS,
    });
  const first = startDetectors();
  await first.runOnce();
  now = start + 10 * SLOT_MS;
  await ingest("acme", 291, 300, 294);
  await ingest("calm", 291, 300, -1);
  await settled();
  await first.runOnce();
  expect(changes).toEqual([]);
  // The alert could not be written at first; it is not forgotten.
  await first.runOnce();
  expect(changes).toEqual(["raise acme anomaly:d1:load"]);
  expect((await first.runOnce()).points).toBe(0);
  await first.stop();

  await ingest("acme", 300, 330, -1);
  now = start + 45 * SLOT_MS;
  await settled();
  const second = startDetectors();
  expect(await second.runOnce()).toMatchObject({ points: 30, resolved: 1 });
  expect(changes).toEqual(["raise acme anomaly:d1:load", "resolve acme anomaly:d1:load"]);
  await second.stop();
});

it("detectors of two workers follow each tenant once, and go on where another one ended", async () => {
  let now = Date.now();
  const leases = createWatchLeases(test.db);
  const saved: string[] = [];
  const worker = (name: string) => {
    const kept = createSnapshotStore(test.db);
    const read: Record<string, number> = {};
    const detectors = createDetectors({
      telemetry: {
        async pointsSince(tenantId, watermark, limit) {
          const next = await telemetry.pointsSince(tenantId, watermark, limit);
          read[tenantId] = (read[tenantId] ?? 0) + next.points.length;
          return next;
        },
      },
      alerts: { raise: async () => {}, resolve: async () => {} },
      clock: { ...systemClock, now: () => now },
      logger: silentLogger,
      tenantsToWatch: async () => ["acme", "calm", "nobody"],
      cohorts: async () => new Map(),
      snapshots: {
        load: (tenantId) => kept.load(tenantId),
        async save(tenantId, ...rest) {
          saved.push(`${name} ${tenantId}`);
          await kept.save(tenantId, ...rest);
        },
      },
      shares: new WatchShares(leases, name),
    });
    return { detectors, read };
  };
  await settled();
  // Alone, the first follows all of them, from the beginning: nothing is kept that it could read.
  await test.db.tenant("acme", (tx) => tx.deleteFrom("detector_snapshots").execute());
  const first = worker("first");
  await first.detectors.runOnce();
  expect(first.read.acme).toBeGreaterThan(300);
  // With a second, what is wanted by that one is kept and given up, and is not read again there.
  const moved = ["acme", "calm", "nobody"].filter(
    (id) => ownerOf(id, ["first", "other"]) === "other",
  );
  expect(moved).toContain("acme");
  const second = worker("other");
  await second.detectors.runOnce();
  expect(second.read).toEqual({});
  await first.detectors.runOnce();
  expect(saved).toContain("first acme");
  await second.detectors.runOnce();
  expect(Object.keys(second.read).sort()).toEqual([...moved].sort());
  expect(second.read.acme).toBe(0);
  // One that dies without a word loses its tenants when its lease ends, and not before.
  now += 29_000;
  await first.detectors.runOnce();
  const before = first.read.acme as number;
  now += 2_000;
  await first.detectors.runOnce();
  expect(first.read.acme).toBe(before);
  expect(Object.keys(first.read).sort()).toEqual(["acme", "calm", "nobody"]);
  await first.detectors.runOnce();
  // Awake again, it neither overwrites what the other knows, nor follows what is not its own.
  const savedBefore = saved.length;
  await second.detectors.stop();
  expect(saved).toHaveLength(savedBefore);
  await first.detectors.stop();
});

it("detectors begin anew where what they knew cannot be read", async () => {
  const snapshots = createSnapshotStore(test.db);
  const large = Buffer.alloc(9 * 1024 * 1024, "x");
  await snapshots.save("calm", large, new Date());
  expect((await snapshots.load("calm"))?.equals(large)).toBe(true);
  const detectors = createDetectors({
    telemetry,
    alerts: { raise: async () => {}, resolve: async () => {} },
    clock: systemClock,
    logger: silentLogger,
    tenantsToWatch: async () => ["calm"],
    cohorts: async () => new Map(),
    snapshots,
  });
  expect((await detectors.runOnce()).points).toBeGreaterThan(0);
});
