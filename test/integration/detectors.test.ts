import { afterAll, beforeAll, expect, it } from "vitest";
import { createAlerts } from "../../src/alerts/index.ts";
import { LocalBus } from "../../src/bus/index.ts";
import {
  createDetectors,
  createMetricRules,
  createSnapshotStore,
  createWatchLeases,
  WatchShares,
} from "../../src/health/index.ts";
import { ownerOf } from "../../src/health/watch-shares.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
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
  for (const id of ["acme", "calm", "nobody", "tuned"]) {
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

it("detectors speak of what people called of no use only where it is more unusual", async () => {
  const start = Math.floor(Date.now() / SLOT_MS) * SLOT_MS;
  let now = start;
  const clock = { ...systemClock, now: () => now };
  const alerts = createAlerts({
    ...{ db: test.db, clock, bus: new LocalBus(), sealer: createSealer(Buffer.alloc(32, 7)) },
    ...{ logger: silentLogger, allowPrivateAddresses: true },
  });
  const book = createMetricRules({ db: test.db, clock, alerts, audit: { record: async () => 0 } });
  // A compressor's two levels; what lies between them is odd, though never far out.
  const level = (index: number) => (index % 9 < 3 ? 40 : 5) + ((index * 7) % 5) / 4;
  const ingest = (deviceId: string, from: number, to: number, oddAt: number) =>
    telemetry.ingestTelemetry(
      { tenantId: "tuned", deviceId },
      Array.from({ length: to - from }, (_, offset) => {
        const index = from + offset;
        const heat = index === oddAt ? 18 : level(index);
        return { ts: start + (index - 1_400) * SLOT_MS, seq: index, values: { heat } };
      }),
      now,
    );
  const detectors = createDetectors({
    ...{ telemetry, alerts, clock, logger: silentLogger, slotMs: SLOT_MS },
    tenantsToWatch: async () => ["tuned"],
    cohorts: async () =>
      new Map(["d1", "d2", "d3"].map((id) => [id, { kind: id, firmware: "1.0.0" }])),
    rules: (tenantId) => book.rules(tenantId),
    snapshots: createSnapshotStore(test.db),
  });
  const open = async () => (await alerts.list("tuned", { state: "open", limit: 10 })).items;

  for (const device of ["d1", "d2", "d3"]) await ingest(device, 0, 1_400, -1);
  await settled();
  await detectors.runOnce();
  now = start + 20 * SLOT_MS;
  for (const device of ["d1", "d2"]) await ingest(device, 1_400, 1_418, 1_405);
  await settled();
  await detectors.runOnce();
  const useless = await open();
  expect(useless.map(({ subjectId }) => subjectId).sort()).toEqual(["d1", "d2"]);
  expect(useless[0]?.title).toContain("is 18, between its usual values or unmoved for longer than");
  const actor = { name: "Ada" };
  for (const { id } of useless) await book.feedback("tuned", id, false, actor);
  expect(await book.list("tuned")).toMatchObject([{ metric: "heat", threshold: 0.64 }]);

  now = start + 90 * SLOT_MS;
  await ingest("d3", 1_400, 1_488, 1_475);
  await settled();
  await detectors.runOnce();
  expect((await open()).filter(({ subjectId }) => subjectId === "d3")).toEqual([]);
  // What is far out is told all the same.
  now = start + 110 * SLOT_MS;
  await telemetry.ingestTelemetry(
    { tenantId: "tuned", deviceId: "d3" },
    Array.from({ length: 12 }, (_, index) => ({
      ...{ ts: start + (95 + index) * SLOT_MS, seq: 9_000 + index },
      values: { heat: index === 1 ? 4_000 : level(index) },
    })),
    now,
  );
  await settled();
  await detectors.runOnce();
  expect((await open()).map(({ subjectId }) => subjectId)).toContain("d3");
  await detectors.stop();
});
