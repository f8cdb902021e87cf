import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { VerdictNumbers } from "../../src/rollouts/gate/types.ts";
import { isOpen } from "../../src/rollouts/windows.ts";
import {
  actor,
  createRolloutFleet,
  QUICK_POLICY,
  type RolloutFleet,
} from "../support/rollout-fleet.ts";

const second = { kind: "user" as const, id: "u-2", name: "Grace" };
const ALL = { stages: [{ name: "all", percent: 100 }], holdbackPercent: 0 };

let f: RolloutFleet;

beforeEach(async () => {
  f = await createRolloutFleet({ devices: 12 });
});

afterEach(async () => {
  await f.close();
});

const plan = (releaseId: string, policy: object = {}, query = "") =>
  f.rollouts.plan(f.tenant, {
    name: "n",
    releaseId,
    query,
    policy: { ...QUICK_POLICY, ...policy },
  });
const tag = (index: number, tags: Record<string, string>) =>
  f.db.tenant(f.tenant, (tx) =>
    tx
      .updateTable("devices")
      .set({ tags: JSON.stringify(tags) })
      .where("id", "=", f.fleet[index]?.id ?? "")
      .execute(),
  );
const stateOf = async (id: string, index: number) =>
  (await f.states(id)).get(f.fleet[index]?.id ?? "");

describe("the order of a plan", () => {
  it("begins with canaries of every region, is the same each time and as the rollout keeps it", async () => {
    const release = await f.publish("1.1.0");
    const first = await plan(release.id);
    expect(await plan(release.id)).toEqual(first);
    const canaries = first.stages[0]?.deviceIds ?? [];
    const regions = canaries.map((id) => Number(id.slice(-1)) % 2);
    expect(new Set(regions).size).toBe(2);
    const id = await f.create(release.id);
    const { items } = await f.rollouts.devices(f.tenant, id, { limit: 100 });
    const planned = first.stages.flatMap((stage) => stage.deviceIds);
    expect(items.map((item) => item.deviceId)).toEqual(planned);
    expect(new Set(planned).size).toBe(12);
    const other = await plan((await f.publish("1.2.0")).id, {}, 'product = "hub"').catch(
      () => null,
    );
    expect(other).toBeNull();
  });

  it("takes the least critical devices first, canaries too", async () => {
    const words = ["critical", "high", "medium", "low"];
    for (let index = 0; index < 12; index += 1) {
      await tag(index, { criticality: words[Math.floor(index / 3)] as string });
    }
    const release = await f.publish("1.1.0");
    const { stages } = await plan(release.id, {
      order: "least-critical-first",
      holdbackPercent: 0,
    });
    const order = stages
      .flatMap((stage) => stage.deviceIds)
      .map((id) => Math.floor(Number(id.slice(2)) / 3));
    expect(order).toEqual([...order].sort((left, right) => right - left));
  });

  it("touches one device of each site before any second one", async () => {
    for (let index = 0; index < 12; index += 1) await tag(index, { site: `s${index % 4}` });
    const release = await f.publish("1.1.0");
    const { stages } = await plan(release.id, { order: "one-per-site-first", holdbackPercent: 0 });
    const sites = stages.flatMap((stage) => stage.deviceIds).map((id) => Number(id.slice(2)) % 4);
    for (const round of [0, 4, 8]) expect(new Set(sites.slice(round, round + 4)).size).toBe(4);
  });
});

describe("stepping stones", () => {
  it("bring devices that are too old to the release by the version between", async () => {
    await f.publish("1.5.0");
    const release = await f.publish("2.0.0", { minimumSourceVersion: "1.5.0" });
    const without = plan(release.id);
    await expect(without).rejects.toMatchObject({ code: "release-incompatible" });
    const policy = { ...ALL, steppingStones: ["1.5.0"] };
    expect((await plan(release.id, policy)).paths).toEqual([
      { from: "1.0.0", via: ["1.5.0"], to: "2.0.0", devices: 12 },
    ]);
    const id = await f.create(release.id, policy);
    await f.run(5);
    expect(new Set(f.fleet.map((device) => device.running.version))).toEqual(new Set(["1.5.0"]));
    await f.runUntil(id, "succeeded");
    expect(f.fleet.every((device) => device.running.version === "2.0.0")).toBe(true);
    await f.expectCountersToMatch(id);
  });

  it.each([
    [["9.9.9"], "hub 9.9.9 is not published"],
    [["2.0.0"], "2.0.0 is not older than 2.0.0"],
    [["1.0.0"], "2.0.0 cannot be installed on 1.0.0"],
  ])("are refused when they lead nowhere: %j", async (steppingStones, message) => {
    const release = await f.publish("2.0.0", { minimumSourceVersion: "1.5.0" });
    await expect(plan(release.id, { steppingStones })).rejects.toThrow(message);
  });
});

describe("a stepping stone that is yanked", () => {
  it("ends the rollouts that lead over it, by hand and by the next step", async () => {
    const stone = await f.publish("1.5.0");
    const release = await f.publish("2.0.0", { minimumSourceVersion: "1.5.0" });
    const policy = { ...ALL, steppingStones: ["1.5.0"] };
    const id = await f.create(release.id, policy);
    await f.run(2, () => "ignores");
    await f.firmware.releases.yank(f.tenant, stone.id, "bricks the hub", actor);
    await f.run(5, () => "ignores");
    expect(await f.rollouts.get(f.tenant, id)).toMatchObject({
      state: "cancelled",
      lastVerdict: { rule: "release-yanked" },
    });
    await f.expectCountersToMatch(id);

    const other = await f.publish("1.6.0");
    const next = await f.create(release.id, { ...policy, steppingStones: ["1.6.0"] });
    await f.firmware.releases.yank(f.tenant, other.id, "the same", actor);
    expect(await f.rollouts.stopRelease(f.tenant, other.id, actor, "the same")).toBe(1);
    expect((await f.rollouts.get(f.tenant, next)).state).toBe("cancelled");
  });
});

describe("a pace", () => {
  it("disturbs at most so many devices of a site, and at once", async () => {
    for (let index = 0; index < 12; index += 1) await tag(index, { site: index < 6 ? "a" : "b" });
    const release = await f.publish("1.1.0");
    const policy = { ...ALL, disruption: { atMost: 2 }, maxConcurrent: 3 };
    const id = await f.create(release.id, policy);
    let rounds = 0;
    for (; rounds < 20 && (await f.rollouts.get(f.tenant, id)).totals.succeeded < 12; rounds += 1) {
      await f.rollouts.tick(f.tenant);
      const busy = await f.db.tenant(f.tenant, (tx) =>
        tx
          .selectFrom("rollout_devices")
          .select(["site", (build) => build.fn.countAll<number>().as("devices")])
          .where("rollout_id", "=", id)
          .where("phase_deadline_at", "is not", null)
          .groupBy("site")
          .execute(),
      );
      for (const { devices } of busy) expect(Number(devices)).toBeLessThanOrEqual(2);
      const all = busy.reduce((sum, row) => sum + Number(row.devices), 0);
      expect(all).toBeGreaterThan(0);
      expect(all).toBeLessThanOrEqual(3);
      for (const device of f.fleet) await f.obey(device);
      await f.clock.advance(5_000);
    }
    expect(rounds).toBeGreaterThanOrEqual(4);
    expect(f.fleet.every((device) => device.running.version === "1.1.0")).toBe(true);
  });

  it("keeps to the maintenance window of each device's own time zone", async () => {
    const hour = new Date(f.clock.now()).getUTCHours();
    const clockTime = (offset: number) =>
      `${String((hour + offset + 24) % 24).padStart(2, "0")}:00`;
    // Open now in UTC, and six hours ago or later where it is another time.
    await tag(0, { timezone: "Etc/GMT-6" });
    const release = await f.publish("1.1.0");
    const policy = { ...ALL, window: { from: clockTime(0), to: clockTime(2) } };
    const id = await f.create(release.id, policy);
    await f.run(60);
    expect(await stateOf(id, 0)).toBe("pending");
    expect(await stateOf(id, 1)).toBe("succeeded");
    await f.clock.advance(18 * 3_600_000);
    await f.beat(...f.fleet);
    await f.run(60);
    expect(await stateOf(id, 0)).toBe("succeeded");
    const window = { from: "22:00", to: "02:00", days: ["fri" as const] };
    expect(isOpen(window, "UTC", Date.parse("2026-01-03T01:00:00Z"))).toBe(true);
    expect(isOpen(window, "UTC", Date.parse("2026-01-02T01:00:00Z"))).toBe(false);
    expect(isOpen(window, "no/such", Date.parse("2026-01-02T23:00:00Z"))).toBe(true);
  });

  it("waits for the time that it was scheduled for", async () => {
    const release = await f.publish("1.1.0");
    const startAt = new Date(f.clock.now() + 120_000).toISOString();
    const id = await f.create(release.id, { ...ALL, startAt });
    await f.run(60);
    expect((await f.rollouts.get(f.tenant, id)).state).toBe("preparing");
    await f.clock.advance(3_600_000);
    await f.rollouts.tick(f.tenant);
    expect((await f.rollouts.get(f.tenant, id)).state).toBe("running");
  });
});

describe("a dynamic rollout", () => {
  it("takes in a device that comes to match, and leaves alone one that does no longer", async () => {
    for (let index = 0; index < 4; index += 1) await tag(index, { ring: "early" });
    const release = await f.publish("1.1.0");
    const policy = { ...QUICK_POLICY, dynamic: true, holdbackPercent: 0 };
    const spec = { name: "early", releaseId: release.id, query: "tags.ring = early", policy };
    const { id } = await f.rollouts.create(f.tenant, spec, actor);
    await f.buildDeltas();
    await f.rollouts.tick(f.tenant);
    const waiting = [...(await f.states(id))].filter(([, state]) => state === "pending");
    const leaving = f.fleet.findIndex((device) => device.id === waiting[0]?.[0]);
    await tag(leaving, {});
    await tag(7, { ring: "early" });
    await f.run(120);
    expect(await stateOf(id, leaving)).toBe("withdrawn");
    expect(await stateOf(id, 7)).toBe("succeeded");
    expect((await f.rollouts.get(f.tenant, id)).state).toBe("running");
    await tag(8, { ring: "early" });
    await f.run(60);
    expect(await stateOf(id, 8)).toBe("succeeded");
    expect((await f.rollouts.get(f.tenant, id)).totals.devices).toBe(6);
    await f.expectCountersToMatch(id);
  });

  it("takes who comes to it away from one of less priority, and leaves nothing behind", async () => {
    const low = await f.create((await f.publish("1.1.0")).id);
    await f.rollouts.tick(f.tenant);
    const before = (await f.rollouts.get(f.tenant, low)).totals.pending;
    // Whoever has begun, or is offered the update at this moment, is not taken away.
    const pending = [...(await f.states(low))].filter(([, state]) => state === "pending");
    const [index = -1, first = -1] = pending.map(([id]) =>
      f.fleet.findIndex((device) => device.id === id),
    );
    await tag(first, { ring: "early" });
    const release = await f.publish("1.2.0");
    const policy = { ...QUICK_POLICY, dynamic: true, holdbackPercent: 0, priority: 10 };
    const spec = { name: "early", releaseId: release.id, query: "tags.ring = early", policy };
    const { id } = await f.rollouts.create(f.tenant, spec, actor);
    const without = (await f.rollouts.get(f.tenant, low)).totals.pending;
    await tag(index, { ring: "early" });
    await f.rollouts.tick(f.tenant);
    expect((await f.rollouts.get(f.tenant, id)).totals.devices).toBe(2);
    expect((await f.rollouts.get(f.tenant, low)).totals.pending).toBe(without - 1);
    expect(without).toBeLessThanOrEqual(before);
    await f.expectCountersToMatch(low);
    await f.expectCountersToMatch(id);

    await tag(index, {});
    await f.rollouts.cancel(f.tenant, id, actor, "enough");
    await f.rollouts.tick(f.tenant);
    const left = await f.db.tenant(f.tenant, (tx) =>
      tx.selectFrom("rollout_arrivals").selectAll().execute(),
    );
    expect(left).toEqual([]);
  });
});

describe("what stands above a rollout", () => {
  it("takes over the devices that one of less priority has not begun", async () => {
    const low = await f.create((await f.publish("1.1.0")).id);
    await f.rollouts.tick(f.tenant);
    const urgent = await f.publish("1.2.0");
    await expect(plan(urgent.id)).rejects.toMatchObject({ code: "release-incompatible" });
    const id = await f.create(urgent.id, { ...ALL, priority: 10 });
    expect((await f.rollouts.get(f.tenant, id)).totals.devices).toBe(10);
    expect((await f.rollouts.get(f.tenant, low)).totals.pending).toBe(0);
    await f.expectCountersToMatch(low);
  });

  it("takes no device before it begins, and then none that has begun", async () => {
    const { clock, rollouts, tenant } = f;
    const low = await f.create((await f.publish("1.1.0")).id, {
      ...QUICK_POLICY,
      stages: [
        { name: "canary", devices: 2 },
        { name: "all", percent: 100 },
      ],
      holdbackPercent: 0,
      minSoakSeconds: 600,
      maxSoakSeconds: 1_200,
    });
    const startAt = new Date(clock.now() + 120_000).toISOString();
    const later = { ...ALL, priority: 10, startAt };
    const urgent = await f.publish("1.2.0");
    const never = await f.create(urgent.id, later);
    await rollouts.cancel(tenant, never, actor);
    const id = await f.create(urgent.id, later);
    await f.run(30);
    await rollouts.pause(tenant, low, actor);
    const { succeeded, pending } = (await rollouts.get(tenant, low)).totals;
    expect(succeeded).toBeGreaterThan(0);
    expect(pending).toBeGreaterThan(0);
    expect(succeeded + pending).toBe(12);
    await clock.advance(120_000);
    await f.runUntil(id, "succeeded");
    expect((await rollouts.get(tenant, id)).totals.succeeded).toBe(pending);
    expect((await rollouts.get(tenant, low)).totals).toMatchObject({ succeeded, pending: 0 });
    await f.expectCountersToMatch(low);
    await f.expectCountersToMatch(id);
  });

  it("is a second person's agreement, where the tenant asks for it", async () => {
    await f.tenancy.tenants.updateSettings(f.tenant, { rolloutApprovals: 1 }, actor);
    await f.clock.advance(10_000);
    const id = await f.create((await f.publish("1.1.0")).id, ALL);
    await f.run(30);
    expect(await f.rollouts.get(f.tenant, id)).toMatchObject({
      state: "preparing",
      needsApproval: true,
    });
    await expect(f.rollouts.approve(f.tenant, id, actor)).rejects.toMatchObject({
      code: "own-approval",
    });
    await f.rollouts.approve(f.tenant, id, second);
    await f.runUntil(id, "succeeded");
    expect((await f.rollouts.get(f.tenant, id)).approvedBy).toBe("Grace");
  });

  it("is not got round by a pause, whose approval widens what has begun", async () => {
    await f.tenancy.tenants.updateSettings(f.tenant, { rolloutApprovals: 1 }, actor);
    await f.clock.advance(10_000);
    const id = await f.create((await f.publish("1.1.0")).id);
    await f.rollouts.pause(f.tenant, id, actor);
    await expect(f.rollouts.approve(f.tenant, id, actor)).rejects.toMatchObject({
      code: "rollout-state",
    });
    await f.rollouts.resume(f.tenant, id, actor);
    await f.run(30);
    expect(await f.rollouts.get(f.tenant, id)).toMatchObject({ state: "preparing" });
    expect(f.fleet.every((device) => device.running.version === "1.0.0")).toBe(true);
  });

  it("is the kill switch: nobody new begins until it is off", async () => {
    const id = await f.create((await f.publish("1.1.0")).id, ALL);
    await f.rollouts.tick(f.tenant);
    await f.rollouts.stopUpdates(f.tenant, actor, "drill");
    await f.run(30);
    expect(f.fleet.every((device) => device.running.version === "1.0.0")).toBe(true);
    expect(await f.rollouts.updateStop(f.tenant)).toMatchObject({
      reason: "drill",
      stoppedBy: "Ada",
    });
    await f.rollouts.allowUpdates(f.tenant, actor);
    await f.runUntil(id, "succeeded");
  });

  it("is the penalty box for a device that keeps failing, until it is pardoned", async () => {
    const [bad] = f.fleet as [(typeof f.fleet)[number]];
    const fate = (device: { id: string }) => (device.id === bad.id ? "falls-back" : "well");
    const policy = { ...ALL, toleratedFailureShare: 0.9, retry: { attempts: 1, afterSeconds: 5 } };
    for (const version of ["1.1.0", "1.2.0", "1.3.0"]) {
      const id = await f.create((await f.publish(version)).id, policy);
      await f.run(40, fate, async () => (await f.rollouts.get(f.tenant, id)).state === "succeeded");
      const { attempts } = await f.db.tenant(f.tenant, (tx) =>
        tx
          .selectFrom("rollout_devices")
          .select("attempts")
          .where("rollout_id", "=", id)
          .where("device_id", "=", bad.id)
          .executeTakeFirstOrThrow(),
      );
      expect(attempts).toBe(1);
    }
    const release = await f.publish("1.4.0");
    expect((await plan(release.id)).excluded).toEqual([
      { deviceId: bad.id, reason: "is in the penalty box: 3 updates failed in 30 days" },
    ]);
    expect(await f.rollouts.penalised(f.tenant)).toMatchObject([{ deviceId: bad.id, failures: 3 }]);
    await f.rollouts.pardon(f.tenant, bad.id, actor);
    expect((await plan(release.id)).excluded).toEqual([]);
  });
});

describe("a verdict", () => {
  it("can be judged again and comes out the same, to the last number", async () => {
    // A clock that stands still within a step would hide what is judged at one moment and noted at another.
    const standing = f.clock.now.bind(f.clock);
    let reads = 0;
    f.clock.now = () => standing() + reads++;
    const id = await f.create((await f.publish("1.1.0")).id);
    await f.runUntil(id, "succeeded");
    const { items } = await f.rollouts.verdicts(f.tenant, id, { limit: 100 });
    const ofGate = items.filter((item) => ["promote", "finish"].includes(item.decision));
    expect(ofGate.length).toBeGreaterThan(2);
    for (const { seq } of ofGate) {
      expect(await f.rollouts.replay(f.tenant, id, seq)).toMatchObject({ agrees: true });
    }
    await expect(f.rollouts.replay(f.tenant, id, 9_999)).rejects.toMatchObject({
      code: "not-found",
    });
  });
});

describe("what the gate compares besides crashes", () => {
  /** Lets everybody find a partner: pairs are of one region, and by lot an arm may have few of one. */
  const inOneRegion = () =>
    f.db.tenant(f.tenant, (tx) => tx.updateTable("devices").set({ region: "eu" }).execute());

  const GATED = {
    stages: [
      { name: "canary", devices: 2 },
      { name: "half", percent: 50 },
      { name: "all", percent: 100 },
    ],
    maxSoakSeconds: 60,
    alpha: 0.5,
    metrics: [{ metric: "telemetry.temperature", worse: "higher" as const, windowSeconds: 5 }],
  };

  it("does not widen on a figure that is worse on the few devices that are updated", async () => {
    await inOneRegion();
    const isNew = (id: string) =>
      f.fleet.find((device) => device.id === id)?.running.version === "1.1.0";
    f.setFigures((ids) => new Map(ids.map((id) => [id, isNew(id) ? 80 : 40])));
    const id = await f.create((await f.publish("1.1.0")).id, GATED);
    await f.run(150);
    const { stageIndex, evidence } = await f.rollouts.get(f.tenant, id);
    expect(stageIndex).toBe(1);
    expect(evidence["telemetry.temperature"]?.treated.events).toBeGreaterThan(2);
    expect(evidence["telemetry.temperature"]?.control.events).toBe(0);
    expect(evidence["telemetry.temperature"]?.eValue).toBeGreaterThan(3);
    const { items } = await f.rollouts.verdicts(f.tenant, id, { limit: 1 });
    const replay = await f.rollouts.replay(f.tenant, id, items[0]?.seq ?? 0);
    expect(replay.agrees).toBe(true);
  });

  it("waits for as many pairs as are asked for, of a query's answers too, and knows what has grown", async () => {
    await inOneRegion();
    f.setFigures((ids) => new Map(ids.map((id) => [id, 40])));
    const query = { metric: "query.heat", query: "avg_over_time(temperature[5s])" };
    const metrics = [{ ...GATED.metrics[0], ...query, minimumPairs: 50 }];
    const growth = { metric: "telemetry.boot_ms", aggregate: "p95" as const, growsBy: 0.2 };
    const thresholds = [{ ...growth, minimumDeviceHours: 0 }];
    const id = await f.create((await f.publish("1.1.0")).id, { ...GATED, metrics, thresholds });
    await f.run(120);
    const { lastVerdict, stageIndex, evidence } = await f.rollouts.get(f.tenant, id);
    expect([stageIndex, lastVerdict?.rule]).toEqual([1, "minimum-evidence"]);
    const pairs = evidence["query.heat"];
    expect((pairs?.treated.events ?? 0) + (pairs?.control.events ?? 0)).toBeGreaterThan(2);
    const [observed] = (lastVerdict as { numbers: VerdictNumbers }).numbers.observations;
    expect(observed).toMatchObject({
      metric: "growth of p95 of telemetry.boot_ms",
      value: 0,
      baseline: { updated: 40, waiting: 40 },
    });
    // The same figure, a quarter higher on who is updated.
    const isNew = (device: string) =>
      f.fleet.find(({ id: known }) => known === device)?.running.version === "1.1.0";
    f.setFigures((ids) => new Map(ids.map((device) => [device, isNew(device) ? 50 : 40])));
    await f.run(60);
    const paused = await f.rollouts.get(f.tenant, id);
    expect(paused.state).toBe("paused");
    expect(paused.stateReason).toContain("p95 of telemetry.boot_ms is 25 % higher on");
  });

  it("counts errors and lost connections once a device and day, in the arm where they happened", async () => {
    const id = await f.create((await f.publish("1.1.0")).id, { maxSoakSeconds: 86_400 });
    await f.run(20);
    await f.clock.advance(700_000);
    const updated = f.fleet.filter((device) => device.running.version === "1.1.0");
    const waiting = f.fleet.find((device) => device.running.version === "1.0.0");
    const ids = [...updated.map((device) => device.id), waiting?.id ?? ""];
    f.setErrors(ids.map((deviceId) => ({ deviceId, ts: f.clock.now() })));
    await f.rollouts.tick(f.tenant);
    await f.clock.advance(10_000);
    await f.rollouts.tick(f.tenant);
    const { evidence } = await f.rollouts.get(f.tenant, id);
    expect(evidence["error-log"]?.treated.events).toBe(updated.length);
    expect(evidence["error-log"]?.control.events).toBe(1);
  });
});
