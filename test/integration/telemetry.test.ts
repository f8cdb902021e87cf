import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/kernel/index.ts";
import { createTelemetry, type Telemetry } from "../../src/telemetry/index.ts";
import { createTestTimeseries, type TestTimeseries } from "../support/timeseries.ts";

const NOW = Math.floor(Date.now() / 1000) * 1000;
const HASH = "a".repeat(64);
const firmware = { version: "1.0.0", hash: HASH, slot: "A" };

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

const peer = (deviceId: string, tenantId = "acme") => ({ tenantId, deviceId });
const ingest = (deviceId: string, payload: unknown, tenantId?: string) =>
  telemetry.ingestTelemetry(peer(deviceId, tenantId), payload, NOW);

describe("telemetry", () => {
  it("can be read as soon as it is acknowledged, once however often it came", async () => {
    const payload = Array.from({ length: 60 }, (_, second) => ({
      ts: NOW - 60_000 + second * 1000,
      seq: second,
      values: { load: second, fault: second === 30 ? Number.NaN : 0 },
    }));
    const [answer] = await Promise.all([ingest("d1", payload), ingest("d1", payload)]);
    expect(answer).toEqual({
      accepted: 119,
      rejected: [{ metric: "fault", ts: NOW - 30_000, reason: "not-finite", sample: 30 }],
      rejectedCount: 1,
    });
    const query = { deviceId: "d1", metric: "load", from: NOW - 60_000, to: NOW, maxPoints: 6 };
    const buckets = await telemetry.series("acme", query);
    expect(buckets.length).toBe(6);
    expect(buckets[0]).toEqual({ ts: NOW - 60_000, min: 0, max: 9, mean: 4.5, count: 10 });
    const raw = await telemetry.series("acme", { ...query, maxPoints: 1000 });
    expect(raw.map((bucket) => bucket.mean)).toEqual(payload.map(({ values }) => values.load));
    expect(await telemetry.metrics("acme", "d1")).toEqual(["fault", "load"]);
  });

  it("calls the greatest device time the latest, not the last arrival", async () => {
    await ingest("late", { ts: NOW, seq: 5, values: { load: 5 } });
    await ingest("late", { ts: NOW - 5_000, seq: 4, values: { load: 4, old: 1 } });
    expect(await telemetry.latest("acme", "late")).toEqual([
      { metric: "load", ts: NOW, value: 5 },
      { metric: "old", ts: NOW - 5_000, value: 1 },
    ]);
    await ingest("silent", { ts: NOW - 90 * 86_400_000, seq: 1, values: { load: 1 } });
    expect((await telemetry.latest("acme", "silent")).length).toBe(1);
  });

  it("believes a wrong clock by its offset, keeps what it said, and once however often it came", async () => {
    const device = peer("year-behind");
    const year = 365 * 86_400_000;
    const beat = { seq: 1, bootId: "b", uptimeSeconds: 1, firmware };
    await telemetry.ingestHeartbeat(device, { ...beat, ts: NOW - year }, NOW);
    const sample = { ts: NOW - year - 1_000, seq: 2, values: { load: 5, mode: "eco" } };
    await telemetry.ingestTelemetry(device, sample, NOW);
    await telemetry.ingestHeartbeat(device, { ...beat, seq: 2, ts: NOW - year + 9_000 }, NOW + 500);
    await telemetry.ingestTelemetry(device, sample, NOW + 500);
    const rows = await store.timeseries.tenantQuery("acme", {
      table: "telemetry",
      select: `toUnixTimestamp64Milli(ts) as ts, shift_ms as shift, value`,
      where: ["device_id = 'year-behind'", "metric = 'load'"],
      limit: 10,
      final: true,
    });
    expect(rows).toEqual([{ ts: NOW - 1_000, shift: year, value: 5 }]);
    // Set right, it still has what it measured before, in seconds since its boot.
    const boot = peer("no-clock");
    await telemetry.ingestHeartbeat(boot, { ...beat, ts: 30_000 }, NOW);
    await telemetry.ingestHeartbeat(boot, { ...beat, seq: 2, ts: NOW + 5_000 }, NOW + 5_000);
    await ingest("no-clock", [
      { ts: 20_000, seq: 3, values: { load: 1 } },
      { ts: NOW, seq: 4, values: { load: 2 } },
    ]);
    const query = { deviceId: "no-clock", metric: "load", from: NOW - 60_000, to: NOW + 1 };
    const series = await telemetry.series("acme", { ...query, maxPoints: 1_000 });
    expect(series.map(({ ts, mean }) => [ts, mean])).toEqual([
      [NOW - 10_000, 1],
      [NOW, 2],
    ]);
  });

  it("takes live points ahead of a backlog that came before them", async () => {
    const order: string[] = [];
    const old = (seq: number) =>
      Array.from({ length: 2_500 }, (_, index) => {
        return { ts: NOW - 86_400_000 * 3 + seq * 10_000_000 + index, seq, values: { a: 1, b: 2 } };
      });
    const backlog = Array.from({ length: 12 }, (_, seq) =>
      ingest("back", old(seq)).then(() => order.push("old")),
    );
    const live = Array.from({ length: 3 }, (_, seq) =>
      ingest(`live-${seq}`, { ts: NOW + seq, seq, values: { a: 1 } }).then(() =>
        order.push("live"),
      ),
    );
    await Promise.all([...backlog, ...live]);
    // One message of a device is under way at a time, so at most that one was before the live ones.
    expect(order.slice(0, 4).filter((kind) => kind === "live")).toHaveLength(3);
    const count = await telemetry.metricByArm("acme", {
      ...{ metric: "a", deviceIds: ["back"], from: 0, to: NOW },
    });
    expect(count.count).toBe(12 * 2_500);
  });

  it("stays with its tenant", async () => {
    await ingest("same-name", { ts: NOW, seq: 1, values: { load: 1 } }, "north");
    const query = {
      deviceId: "same-name",
      metric: "load",
      from: NOW - 1,
      to: NOW + 1,
      maxPoints: 1,
    };
    expect(await telemetry.series("south", query)).toEqual([]);
    expect(await telemetry.latest("south", "same-name")).toEqual([]);
    expect(await telemetry.metrics("south", "same-name")).toEqual([]);
    const arm = { metric: "load", deviceIds: ["same-name"], from: 0, to: NOW + 1 };
    expect((await telemetry.metricByArm("south", arm)).count).toBe(0);
    expect((await telemetry.metricByArm("north", arm)).count).toBe(1);
  });

  it("gives each device's own figure, by whichever way of taking together", async () => {
    const values = [1, 2, 3, 10];
    await ingest(
      "fig-1",
      values.map((load, seq) => ({ ts: NOW - 4_000 + seq, seq, values: { load } })),
    );
    await ingest("fig-1", { ts: NOW - 4_000, seq: 0, values: { load: 1 } });
    await ingest("fig-2", { ts: NOW - 3_000, seq: 1, values: { load: 7 } });
    await ingest("fig-1", { ts: NOW - 3_000, seq: 9, values: { load: 99 } }, "south");
    const arm = {
      metric: "load",
      deviceIds: ["fig-1", "fig-2", "none"],
      from: NOW - 10_000,
      to: NOW,
    };
    const taken = async (aggregate: "mean" | "min" | "max" | "p50" | "p95") =>
      Object.fromEntries(await telemetry.figuresByDevice("acme", { ...arm, aggregate }));
    expect(await taken("mean")).toEqual({ "fig-1": 4, "fig-2": 7 });
    expect(await taken("min")).toEqual({ "fig-1": 1, "fig-2": 7 });
    expect(await taken("max")).toEqual({ "fig-1": 10, "fig-2": 7 });
    expect((await taken("p50"))["fig-1"]).toBeCloseTo(2.5, 0);
    expect((await taken("p95"))["fig-1"]).toBeGreaterThan(3);
  });

  it("sums up a set of devices of any size", async () => {
    const devices = Array.from({ length: 2_500 }, (_, index) => `arm-${index}`);
    await Promise.all(
      devices.map((device, index) =>
        ingest(device, { ts: NOW, seq: 1, values: { heat: index % 10 } }),
      ),
    );
    const query = { metric: "heat", deviceIds: devices, from: NOW - 1000, to: NOW + 1 };
    expect(await telemetry.metricByArm("acme", query)).toEqual({
      devices: 2_500,
      count: 2_500,
      mean: expect.closeTo(4.5, 6),
      min: 0,
      max: 9,
    });
    expect(await telemetry.metricByArm("acme", { ...query, deviceIds: [] })).toEqual({
      devices: 0,
      count: 0,
      mean: null,
      min: null,
      max: null,
    });
  });

  it.each([-1e300, 1e308])(
    "gives the mean of a set of devices that one of them cannot move by sending %d",
    async (lie) => {
      const name = `calm${lie > 0 ? "-high" : "-low"}`;
      const devices = Array.from({ length: 40 }, (_, index) => `${name}-${index}`);
      await Promise.all(
        devices.map((device, index) =>
          ingest(device, { ts: NOW, seq: 1, values: { [name]: 20 + (index % 2) } }),
        ),
      );
      const lies = Array.from({ length: 50 }, (_, index) => {
        return { ts: NOW - index, seq: index, values: { [name]: lie } };
      });
      await ingest(devices[0] as string, lies);
      const query = { metric: name, deviceIds: devices, from: NOW - 1000, to: NOW + 1 };
      const { mean, devices: counted } = await telemetry.metricByArm("acme", query);
      expect(counted).toBe(40);
      expect(mean).toBeCloseTo(20.5, 1);
    },
  );

  it("keeps heartbeats' metrics beside the device's own", async () => {
    const heartbeat = {
      ts: NOW,
      seq: 9,
      bootId: "b1",
      uptimeSeconds: 12,
      firmware: { version: "1.0.0", hash: HASH, slot: "a" },
      metrics: { memoryFree: 1024 },
    };
    await telemetry.ingestHeartbeat(peer("beats"), heartbeat, NOW);
    await telemetry.ingestHeartbeat(peer("beats"), { ...heartbeat, ts: 5, seq: 10 }, NOW + 1);
    expect(await telemetry.latest("acme", "beats")).toEqual([
      { metric: "heartbeat.memoryFree", ts: NOW + 1, value: 1024 },
      { metric: "heartbeat.uptimeSeconds", ts: NOW + 1, value: 12 },
    ]);
  });

  it("groups restarts by their reason, whether anybody asked for them or not", async () => {
    const boot = (
      seq: number,
      reason: string | undefined,
      message?: string,
      version = "1.0.0",
    ) => ({
      ...{ ts: NOW + seq, seq, type: "boot", bootId: `boot-${seq}`, message },
      firmware: { ...firmware, version },
      ...(reason === undefined ? {} : { reason }),
    });
    const first = [
      boot(1, "watchdog", "task 17 hung at 0x1234"),
      boot(2, "watchdog", "task 3 hung at 0x99", "1.1.0"),
      boot(3, "brown-out"),
    ];
    await telemetry.ingestEvents(peer("boots-1"), first, NOW);
    await telemetry.ingestEvents(peer("boots-1"), first[0], NOW);
    const second = [
      boot(4, "watchdog", "task 4 hung at 0x1"),
      boot(5, "update"),
      boot(6, undefined),
    ];
    await telemetry.ingestEvents(
      peer("boots-2"),
      [...second, { ts: NOW, seq: 9, type: "crash" }],
      NOW,
    );
    await telemetry.ingestEvents(peer("boots-1", "globex"), boot(1, "power-on"), NOW);
    const span = { from: NOW, to: NOW + 1_000 };
    const deviceIds = ["boots-1", "boots-2"];
    const groups = await telemetry.restarts("acme", { ...span, deviceIds });
    expect(
      groups.map(({ signature, isAsked, count, devices }) => [signature, isAsked, count, devices]),
    ).toEqual([
      ["watchdog: task <n> hung at <address>", false, 3, 2],
      ["(no reason given)", false, 1, 1],
      ["brown-out", false, 1, 1],
      ["update", true, 1, 1],
    ]);
    expect(groups[0]).toMatchObject({
      ...{ reason: "watchdog", exampleDeviceId: "boots-2" },
      firmware: [
        { version: "1.0.0", count: 2 },
        { version: "1.1.0", count: 1 },
      ],
      lastSeenAt: new Date(NOW + 4).toISOString(),
    });
    const own = await telemetry.restarts("acme", { ...span, deviceIds: ["boots-1"] });
    expect(own.map(({ count }) => count)).toEqual([2, 1]);
    expect(await telemetry.restarts("acme", { from: NOW + 500, to: NOW + 1_000 })).toEqual([]);
  });

  it("lists events newest first, once each", async () => {
    const events = Array.from({ length: 5 }, (_, index) => ({
      ts: NOW - 1000 + Math.floor(index / 2),
      seq: index,
      type: "crash",
      bootId: "b1",
      reason: "watchdog",
    }));
    await telemetry.ingestEvents(peer("crashes"), events, NOW);
    await telemetry.ingestEvents(peer("crashes"), events[4], NOW);
    const listed = await telemetry.events("acme", { deviceId: "crashes", limit: 3 });
    expect(listed.map(({ details }) => details.seq)).toEqual([4, 3, 2]);
    expect(listed[0]).toEqual({
      ts: NOW - 998,
      type: "crash",
      details: { seq: 4, bootId: "b1", reason: "watchdog" },
    });
    const earlier = { deviceId: "crashes", limit: 9, to: NOW - 999 };
    expect((await telemetry.events("acme", earlier)).length).toBe(2);
    await expect(
      telemetry.ingestEvents(peer("crashes"), { ts: NOW, seq: 1 }, NOW),
    ).rejects.toMatchObject({ code: "message-invalid" });
  });

  it("is followed in the order of its arrival, without gaps or repeats", async () => {
    const tenant = "followed";
    for (let seq = 0; seq < 5; seq += 1) {
      const values = { a: seq, b: seq };
      await ingest(`d${seq % 2}`, { ts: NOW - seq * 1000, seq, values }, tenant);
    }
    await ingest("d0", { ts: NOW - 3 * 86_400_000, seq: 99, values: { a: 99 } }, tenant);
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    let watermark = { receivedAt: NOW - 60_000, deviceId: "", metric: "", ts: 0 };
    const values: number[] = [];
    for (;;) {
      const next = await telemetry.pointsSince(tenant, watermark, 3);
      values.push(...next.points.map((point) => point.value));
      watermark = next.watermark;
      if (next.points.length === 0) break;
    }
    expect(values).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
  });
});
