import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LocalBus } from "../../src/bus/index.ts";
import { createDevices, type Devices } from "../../src/devices/index.ts";
import { VirtualClock } from "../../src/kernel/index.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

const HOUR = 3_600_000;
const HASHES: Record<string, string> = {
  "1.0.0": "a".repeat(64),
  "1.1.0": "b".repeat(64),
  "1.2.0": "c".repeat(64),
};
const actor = { kind: "user" as const, id: "u", name: "Ada" };

let test: TestDatabase;
let clock: VirtualClock;
let devices: Devices;
let seq = 0;

beforeAll(async () => {
  test = await createTestDatabase();
  clock = new VirtualClock(Date.UTC(2026, 5, 1));
  const tenancy = createTenancy({ db: test.db, clock });
  devices = createDevices({ db: test.db, clock, bus: new LocalBus(), tenancy });
  for (const id of ["acme", "globex"]) await tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
  for (let number = 0; number < 8; number += 1) {
    await devices.register(null, "acme", {
      ...{ id: `d-${number}`, product: "hub", hardwareRevision: number < 4 ? "a" : "b" },
      region: number % 2 === 0 ? "eu" : "us",
      tags: { site: number < 2 ? "berlin" : "paris" },
    });
  }
  await devices.groups.create("acme", { name: "eu", query: 'region = "eu"' }, actor);
  await devices.groups.create("acme", { name: "old", query: 'hardware = "a"' }, actor);
  await beat("1.0.0", [0, 1, 2, 3, 4, 5, 6, 7]);
  await clock.advance(10 * HOUR);
  await beat("1.1.0", [0, 1, 2, 3]);
  await beat("1.0.0", [4, 5, 6, 7]);
  await clock.advance(10 * HOUR);
  await crash("d-0", "1.1.0", "watchdog", "task 17 hung at 0x1234");
  await crash("d-0", "1.1.0", "watchdog", "task 3 hung at 0x99");
  await crash("d-1", "1.1.0", "watchdog", "task 4 hung at 0x98");
  await crash("d-5", "1.0.0", "panic", "out of memory");
  await beat("1.1.0", [0, 1, 2, 3]);
  await beat("1.0.0", [4, 5, 6, 7]);
  await devices.judgeDue("acme");
});
afterAll(() => test.close());

function beat(version: string, numbers: number[]) {
  seq += 1;
  return devices.recordHeartbeats(
    numbers.map((number) => ({
      tenantId: "acme",
      deviceId: `d-${number}`,
      receivedAt: clock.now(),
      heartbeat: {
        ...{ ts: clock.now(), seq, bootId: `${version} ${number}`, uptimeSeconds: 5 },
        firmware: { version, hash: HASHES[version] as string, slot: "a" },
      },
    })),
  );
}

function crash(deviceId: string, version: string, reason: string, message: string) {
  seq += 1;
  return devices.recordIncidents([
    {
      ...{ tenantId: "acme", deviceId, kind: "crash", key: `crash:${seq}` },
      occurredAt: clock.now() - HOUR + seq * 1_000,
      firmwareSha256: HASHES[version] as string,
      details: { reason, message },
    },
  ]);
}

describe("the health of a fleet", () => {
  it("is crossed by two dimensions", async () => {
    const cells = await devices.fleet.matrix("acme", ["firmware", "region"]);
    expect(cells.map(({ row, column, total, degraded }) => [row, column, total, degraded])).toEqual(
      [
        ["1.0.0", "eu", 2, 0],
        ["1.0.0", "us", 2, 1],
        ["1.1.0", "eu", 2, 1],
        ["1.1.0", "us", 2, 1],
      ],
    );
  });

  it("counts a device in each group that it is in, and by tags, within a query", async () => {
    const cells = await devices.fleet.matrix("acme", ["group", "tags.site"], 'id != "d-7"');
    expect(cells.map(({ row, column, total }) => `${row} ${column} ${total}`).sort()).toEqual([
      " paris 1",
      "eu berlin 1",
      "eu paris 3",
      "old berlin 2",
      "old paris 2",
    ]);
    const rows = await devices.fleetHealth("acme", "group");
    expect(rows.map(({ key, total, degraded }) => [key, total, degraded])).toEqual([
      ["eu", 4, 1],
      ["old", 4, 2],
      ["", 2, 1],
    ]);
  });

  it("refuses a dimension that there is not", async () => {
    await expect(devices.fleet.matrix("acme", ["firmware", "colour"])).rejects.toMatchObject({
      code: "invalid-request",
    });
  });

  it("is written down, and read by what it was then", async () => {
    await devices.fleet.remember("acme");
    const span = { from: clock.now() - HOUR, to: clock.now() };
    expect(await devices.fleet.history("acme", "firmware", span)).toMatchObject([
      { key: "1.0.0", total: 4, healthy: 3, degraded: 1 },
      { key: "1.1.0", total: 4, healthy: 2, degraded: 2 },
    ]);
    expect(await devices.fleet.history("acme", null, span)).toMatchObject([{ total: 8 }]);
    expect(await devices.fleet.history("globex", null, span)).toEqual([]);
    const parts = async (by: string) =>
      (await devices.fleet.history("acme", by, span)).map(({ key, total }) => [key, total]);
    expect(await parts("group")).toEqual([
      ["eu", 4],
      ["old", 4],
      ["", 2],
    ]);
    expect((await parts("tags.site")).sort()).toEqual([
      ["berlin", 2],
      ["paris", 6],
    ]);
    expect(await parts("tags.none")).toEqual([]);
  });

  it("groups crashes by what they have in common", async () => {
    const groups = await devices.fleet.crashes("acme", { from: 0 });
    expect(groups).toMatchObject([
      {
        signature: "crash: watchdog: task <n> hung at <address>",
        ...{ kind: "crash", count: 3, devices: 2 },
        firmware: [{ count: 3 }],
        example: { deviceId: "d-1", details: { message: "task 4 hung at 0x98" } },
      },
      { signature: "crash: panic: out of memory", count: 1, devices: 1 },
    ]);
    const inUs = await devices.fleet.crashes("acme", { from: 0, query: 'id = "d-5"' });
    expect(inUs.map(({ count }) => count)).toEqual([1]);
    expect(await devices.fleet.crashes("globex", { from: 0 })).toEqual([]);
  });

  it("compares the newest version with the one before, by the time that devices ran them", async () => {
    const found = await devices.fleet.compare("acme", { from: clock.now() - 20 * HOUR });
    expect(found.target).toMatchObject({ version: "1.1.0", devices: 4, deviceHours: 40 });
    expect(found.source).toMatchObject({ version: "1.0.0", devices: 8, deviceHours: 120 });
    // Two crashes of d-0 on one day are one.
    expect(found.target?.incidents).toEqual({ crash: 2 });
    expect(found.kinds[0]).toMatchObject({
      ...{ kind: "crash", target: { events: 2 }, source: { events: 1 } },
      verdict: "too-little-to-say",
    });
    expect(found.kinds[0]?.ratio).toBeCloseTo(6);
  });

  it("has nothing to compare where nothing has run, or one version only, and says so as an answer", async () => {
    const span = { from: clock.now() - HOUR };
    const none = { target: null, source: null, kinds: [] };
    expect(await devices.fleet.compare("globex", span)).toMatchObject(none);
    const one = await devices.fleet.compare("globex", { ...span, target: "1.0.0" });
    expect(one).toMatchObject({
      target: { version: "1.0.0", devices: 0 },
      source: null,
      kinds: [],
    });
  });

  it("compares with what ran before also when every device has moved on, or back", async () => {
    const from = clock.now() - 20 * HOUR;
    const compared = async () => {
      const { target, source } = await devices.fleet.compare("acme", { from });
      return [target?.version, source?.version];
    };
    await beat("1.2.0", [0, 1]);
    await clock.advance(HOUR);
    expect(await compared()).toEqual(["1.2.0", "1.1.0"]);
    await beat("1.1.0", [0, 1, 2, 3, 4, 5, 6, 7]);
    // A newer one was tried last and is gone: the last one is still the one below.
    expect(await compared()).toEqual(["1.1.0", "1.0.0"]);
    await clock.advance(48 * HOUR);
    const { target, source, kinds } = await devices.fleet.compare("acme", {
      from: clock.now() - HOUR,
    });
    expect([target?.version, source, kinds]).toEqual(["1.1.0", null, []]);
  });
});
