import { describe, expect, it } from "vitest";
import { BacklogLane, backlogSize, LATE_AFTER_MS } from "../../src/telemetry/backlog-lane.ts";
import { DeviceClocks } from "../../src/telemetry/device-clocks.ts";

const NOW = 1_790_000_000_000;
const LIMITS = { points: 100, tenantPoints: 60, devicePoints: 20, waiting: 3 };
const peer = (tenantId: string, deviceId: string) => ({ tenantId, deviceId });

function held() {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { work: () => promise, end: resolve };
}

const soon = () => new Promise((resolve) => setImmediate(resolve));

describe("the lane of backlogs", () => {
  it("gives each device, each tenant and all together their share, and the rest a turn", async () => {
    const lane = new BacklogLane(LIMITS);
    const started: string[] = [];
    const run = (tenant: string, device: string, points: number) => {
      const { work, end } = held();
      const done = lane.run(peer(tenant, device), points, () => {
        started.push(`${tenant}/${device}`);
        return work();
      });
      return { end, done };
    };
    const first = run("a", "d1", 20);
    const same = run("a", "d1", 20);
    const more = [run("a", "d2", 20), run("a", "d3", 20)];
    const fourth = run("a", "d4", 20);
    const other = run("b", "d1", 20);
    await soon();
    expect(started).toEqual(["a/d1", "a/d2", "a/d3", "b/d1"]);
    first.end();
    await first.done;
    await soon();
    expect(started.slice(4)).toEqual(["a/d1"]);
    same.end();
    await same.done;
    await soon();
    expect(started.slice(5)).toEqual(["a/d4"]);
    for (const one of [...more, fourth, other]) one.end();
    await Promise.all([...more, fourth, other].map(({ done }) => done));
  });

  it("takes a message that is larger than any share, alone, and refuses when too many wait", async () => {
    const lane = new BacklogLane(LIMITS);
    const { work, end } = held();
    const large = lane.run(peer("a", "d1"), 5_000, work);
    const waiting = ["d2", "d3", "d4"].map((id) => lane.run(peer("a", id), 1, async () => id));
    await expect(lane.run(peer("a", "d5"), 1, async () => 0)).rejects.toMatchObject({
      code: "unavailable",
    });
    end();
    await large;
    expect(await Promise.all(waiting)).toEqual(["d2", "d3", "d4"]);
  });

  it("goes on after a failure", async () => {
    const lane = new BacklogLane(LIMITS);
    await expect(
      lane.run(peer("a", "d"), 20, () => Promise.reject(new Error("x"))),
    ).rejects.toThrow();
    expect(await lane.run(peer("a", "d"), 20, async () => 7)).toBe(7);
  });

  it("is for messages in which nothing is live", () => {
    const old = { ts: NOW - LATE_AFTER_MS - 1, seq: 1, values: { a: 1, b: 2 } };
    expect(backlogSize(old, NOW, 0)).toBe(2);
    expect(backlogSize([old, old], NOW, 0)).toBe(4);
    expect(backlogSize([old, { ...old, ts: NOW }], NOW, 0)).toBe(0);
    expect(backlogSize({ ts: 5_000, seq: 1, values: { a: 1 } }, NOW, NOW - 5_000)).toBe(0);
    for (const nonsense of [null, 7, [], [null], { ts: "x", values: 3 }]) {
      expect(backlogSize(nonsense, NOW, 0)).toBe(0);
    }
  });
});

describe("a device's clock", () => {
  const device = peer("a", "d");

  it("is left alone while it is nearly right", async () => {
    const clocks = new DeviceClocks();
    expect(await clocks.observe(device, NOW - 60_000, NOW)).toEqual({ offsetMs: 0 });
    expect(clocks.shiftOf(device)).toEqual({ offsetMs: 0 });
  });

  it("keeps one offset while it is wrong by nearly the same, and another after it was set anew", async () => {
    const clocks = new DeviceClocks();
    const year = 365 * 86_400_000;
    expect(await clocks.observe(device, NOW - year, NOW)).toEqual({ offsetMs: year });
    await clocks.observe(device, NOW + 60_000 - year - 25_000, NOW + 60_000);
    expect(clocks.shiftOf(device)).toEqual({ offsetMs: year });
    await clocks.observe(device, NOW + 120_000 - year - 40_000, NOW + 120_000);
    expect(clocks.shiftOf(device)).toEqual({ offsetMs: year + 40_000 });
  });

  it("that counts from the boot serves what was measured before it was set", async () => {
    const clocks = new DeviceClocks();
    await clocks.observe(device, 30_000, NOW);
    expect(clocks.shiftOf(device)).toEqual({ offsetMs: NOW - 30_000 });
    await clocks.observe(device, NOW + 60_000, NOW + 60_000);
    expect(clocks.shiftOf(device)).toEqual({ offsetMs: 0, rescueMs: NOW - 30_000 });
  });

  it("is known again in another process", async () => {
    const clocks = new DeviceClocks(async () => NOW - 29_000);
    expect(await clocks.observe(device, 30_000, NOW)).toEqual({ offsetMs: NOW - 29_000 });
  });
});
