import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { isAppError } from "../../src/kernel/index.ts";
import {
  actor,
  createRolloutFleet,
  QUICK_POLICY,
  type RolloutFleet,
  SECOND,
} from "../support/rollout-fleet.ts";

const refusal = (code: Parameters<typeof isAppError>[1]) =>
  expect.objectContaining({ name: "AppError", code });

describe("rollouts", () => {
  let f: RolloutFleet;
  beforeEach(async () => {
    f = await createRolloutFleet({ devices: 20 });
  });
  afterEach(() => f.close());

  /** The first device that is told to update falls back, every other does well. */
  const firstFallsBack = () =>
    f.fleet.some((device) => device.lastSequence > 0) ? "well" : "falls-back";

  it("brings good firmware to every device, stage by stage, as deltas", async () => {
    await f.close();
    f = await createRolloutFleet({ devices: 20, deltas: true });
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.rollouts.tick(f.tenant);
    const early = await f.rollouts.get(f.tenant, id);
    expect(early).toMatchObject({ state: "running", totals: { inProgress: 2, pending: 18 } });
    await f.runUntil(id, "succeeded");
    const view = await f.rollouts.get(f.tenant, id);
    expect(view).toMatchObject({
      state: "succeeded",
      release: { version: "1.1.0", product: "hub" },
      totals: { devices: 20, succeeded: 20, failed: 0, pending: 0, inProgress: 0 },
      nextEvaluationAt: null,
    });
    expect(view.stages.map((stage) => stage.cumulativeDevices)).toEqual([2, 10, 19, 20]);
    expect(view.stages.every((stage) => stage.startedAt && stage.finishedAt)).toBe(true);
    expect(view.bytesFull).toBe(20 * release.imageSizeBytes);
    expect(view.bytesDownloaded).toBeGreaterThan(0);
    expect(view.bytesDownloaded).toBeLessThan(view.bytesFull / 2);
    const { platform, store, cache, unknown } = view.bytesBySource;
    expect(platform + cache + unknown).toBe(view.bytesDownloaded);
    expect(Math.min(platform, cache, unknown)).toBeGreaterThan(0);
    expect(store).toBe(0);
    expect(f.fleet.every((device) => device.running.version === "1.1.0")).toBe(true);
    const { items } = await f.rollouts.verdicts(f.tenant, id, { limit: 100 });
    const decisions = items.map((verdict) => verdict.decision).filter((word) => word !== "wait");
    expect(decisions.reverse()).toEqual(["start", "promote", "promote", "promote", "finish"]);
    await f.expectCountersToMatch(id);
  });

  it("asks for the deltas that its devices apply, and on demand for those that nobody planned", async () => {
    await f.close();
    f = await createRolloutFleet({ devices: 20, deltas: true });
    const deltas = async (target: string) =>
      (await f.firmware.deltas(f.tenant, target)).map(
        ({ sourceSha256, format, devices }) => `${sourceSha256} ${format} ${devices}`,
      );
    const other = await f.publish("1.0.5");
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    const planned = [`${f.first.imageSha256} zstd-patch 20`, "null full-zstd 20"];
    expect((await deltas(release.imageSha256)).sort()).toEqual(planned.sort());
    for (const device of f.fleet) {
      device.running = { version: "1.0.5", hash: other.imageSha256, slot: "a" };
    }
    await f.beat(...f.fleet);
    await f.rollouts.tick(f.tenant);
    expect((await f.rollouts.get(f.tenant, id)).totals.inProgress).toBe(2);
    const missing = `${other.imageSha256} zstd-patch 2`;
    expect((await deltas(release.imageSha256)).sort()).toEqual([...planned, missing].sort());
    await f.buildDeltas();
    await f.runUntil(id, "succeeded");
    const { bytesDownloaded, bytesFull } = await f.rollouts.get(f.tenant, id);
    expect(bytesDownloaded).toBeLessThan(bytesFull / 2);
  });

  it("ends with its last stage where there are too few devices to hold one back", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id, { holdbackPercent: 4 });
    await f.runUntil(id, "succeeded");
    const view = await f.rollouts.get(f.tenant, id);
    expect(view.stages.map((stage) => stage.cumulativeDevices)).toEqual([2, 10, 20]);
    expect(view.totals).toMatchObject({ devices: 20, succeeded: 20 });
  });

  it("pauses at the canaries when one falls back, tells people, and touches nobody else", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.runUntil(id, "paused", () => "falls-back");
    const view = await f.rollouts.get(f.tenant, id);
    expect(view).toMatchObject({ state: "paused", stageIndex: 0 });
    expect(view.stateReason).toContain("Among the canaries");
    expect(view.lastVerdict).toMatchObject({ decision: "pause", rule: "canary-failure" });
    const { items } = await f.alerts.list(f.tenant, { state: "open" });
    expect(items).toMatchObject([
      { kind: "rollout-paused", severity: "critical", subjectId: id, subjectKind: "rollout" },
    ]);
    await f.run(60);
    expect((await f.rollouts.get(f.tenant, id)).totals).toMatchObject({ pending: 18 });
    await f.expectCountersToMatch(id);
    // Who has begun and who waits are in one list, page by page.
    const listed = async (options: object) => f.rollouts.devices(f.tenant, id, options);
    const all = (await listed({ limit: 100 })).items.map(({ deviceId }) => deviceId);
    const paged: string[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = await listed({ limit: 3, ...(cursor ? { cursor } : {}) });
      paged.push(...page.items.map(({ deviceId }) => deviceId));
      if (page.nextCursor === null) break;
      cursor = page.nextCursor;
    }
    expect(paged).toEqual(all);
    expect(new Set(all).size).toBe(20);
    await expect(listed({ cursor: "7" })).rejects.toMatchObject({ code: "invalid-cursor" });
  });

  it("takes a canary's silence past its deadline for a failure", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.runUntil(id, "paused", () => "vanishes");
    const states = await f.states(id);
    expect([...states.values()].filter((state) => state === "silent")).not.toHaveLength(0);
    const { items } = await f.rollouts.devices(f.tenant, id, { state: "silent" });
    expect(items[0]?.failure).toMatchObject({ phase: "rebooting", element: "deadline" });
  });

  it("sees through a canary that passes and then crashes", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.run(5);
    const [canary] = f.fleet.filter((device) => device.running.version === "1.1.0");
    if (!canary) throw new Error("no canary was updated");
    await f.incident(canary);
    await f.incident(canary);
    await f.rollouts.tick(f.tenant);
    const view = await f.rollouts.get(f.tenant, id);
    expect(view).toMatchObject({ state: "paused", lastVerdict: { rule: "canary-crashes" } });
    expect(view.evidence.crash?.treated.events).toBe(1);
  });

  it("sends the devices back to what they came from, first by the other slot", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.run(20);
    await f.rollouts.pause(f.tenant, id, actor, "smoke was seen");
    const updated = f.fleet.filter((device) => device.running.version === "1.1.0");
    expect(updated.length).toBeGreaterThan(1);
    // One of them has lost its other slot: it has to fetch the image.
    (updated[0] as (typeof updated)[0]).other = null;
    await f.beat(...updated);
    await f.rollouts.rollback(f.tenant, id, actor);
    await f.rollouts.tick(f.tenant);
    await f.rollouts.tick(f.tenant);
    const orders = await Promise.all(
      updated.map(async (device) => {
        const envelope = await f.rollouts.currentAssignment(f.tenant, device.id);
        return { action: envelope?.signed.action, allowDowngrade: envelope?.signed.allowDowngrade };
      }),
    );
    expect(orders[0]).toEqual({ action: "install", allowDowngrade: true });
    expect(orders.slice(1)).toEqual(
      orders.slice(1).map(() => ({ action: "switch-slot", allowDowngrade: true })),
    );
    await f.runUntil(id, "rolled-back");
    const view = await f.rollouts.get(f.tenant, id);
    expect(view.state).toBe("rolled-back");
    expect(view.stateReason).toBe(`${updated.length} devices are back.`);
    expect(view.finishedAt).not.toBeNull();
    expect(f.fleet.every((device) => device.running.version === "1.0.0")).toBe(true);
    expect(await f.alerts.list(f.tenant, { state: "open" })).toMatchObject({ items: [] });
    const [back] = (await f.rollouts.list(f.tenant)).items;
    expect(back).toMatchObject({ kind: "rollback", rollsBack: id, state: "succeeded" });
    const { id: device } = updated[1] as (typeof updated)[0];
    expect(await f.rollouts.deviceUpdates(f.tenant, device, 2)).toMatchObject([
      { rolloutId: back?.id, sourceVersion: "1.1.0", targetVersion: "1.0.0" },
      { rolloutId: id, sourceVersion: "1.0.0", targetVersion: "1.1.0" },
    ]);
    await f.expectCountersToMatch(id);
    await f.expectCountersToMatch(back?.id as string);
  });

  it("sends those back by a patch that have lost their other slot: it was made beforehand", async () => {
    await f.close();
    f = await createRolloutFleet({ devices: 20, deltas: true });
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    const made = await f.firmware.deltas(f.tenant, f.first.imageSha256);
    expect(made.map(({ sourceSha256 }) => sourceSha256)).toContain(release.imageSha256);
    await f.run(20);
    await f.rollouts.pause(f.tenant, id, actor, "smoke was seen");
    const updated = f.fleet.filter((device) => device.running.version === "1.1.0");
    for (const device of updated) device.other = null;
    await f.beat(...updated);
    await f.rollouts.rollback(f.tenant, id, actor);
    await f.runUntil(id, "rolled-back");
    const [back] = (await f.rollouts.list(f.tenant)).items;
    expect(back).toMatchObject({ kind: "rollback", totals: { succeeded: updated.length } });
    expect(back?.bytesDownloaded).toBeGreaterThan(0);
    expect(back?.bytesDownloaded).toBeLessThan((back?.bytesFull ?? 0) / 2);
  });

  it("sends devices back to what they ran last, though the plan had seen them on another image", async () => {
    const [between, bad] = [await f.publish("1.1.0"), await f.publish("1.2.0")];
    // Planned while everybody runs 1.0.0; only the canaries are offered it at once.
    const id = await f.create(bad.id);
    const others = f.fleet.slice(0, 10);
    for (const device of others) {
      f.boot(device, { version: "1.1.0", hash: between.imageSha256 });
      await f.beat(device);
    }
    await f.runUntil(id, "succeeded");
    expect(f.fleet.every((device) => device.running.version === "1.2.0")).toBe(true);
    await f.rollouts.rollback(f.tenant, id, actor);
    await f.runUntil(id, "rolled-back");
    const versions = f.fleet.map((device) => device.running.version);
    expect(versions.filter((version) => version === "1.1.0")).toHaveLength(10);
    expect(versions.filter((version) => version === "1.0.0")).toHaveLength(10);
    const { items } = await f.rollouts.devices(f.tenant, id, { limit: 500 });
    const seen = items
      .filter((item) => item.sourceVersion === "1.1.0")
      .map((item) => item.deviceId);
    expect(seen.sort()).toEqual(others.map((device) => device.id).sort());
  });

  it("names the devices that cannot go back", async () => {
    const release = await f.publish("1.1.0", { securityCounter: 2 });
    const id = await f.create(release.id);
    await f.run(5);
    await f.rollouts.rollback(f.tenant, id, actor);
    await f.runUntil(id, "rolled-back");
    const { stateReason } = await f.rollouts.get(f.tenant, id);
    expect(stateReason).toMatch(/not back: d-\d+ \(1\.0\.0 lies below the security floor/);
  });

  it("stops those who are on their way when it is rolled back, and takes the rest off the list", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.rollouts.tick(f.tenant);
    const chosen = [...(await f.states(id))].filter(([, state]) => state === "offered");
    const canaries = f.fleet.filter((device) => chosen.some(([name]) => name === device.id));
    const [first, second] = canaries as [(typeof canaries)[0], (typeof canaries)[0]];
    const assignment = await f.assignmentOf(first);
    if (!assignment) throw new Error("nothing was offered");
    await f.say(first, assignment, { phase: "downloading" });
    await f.rollouts.rollback(f.tenant, id, actor);
    await f.runUntil(id, "rolled-back");
    const states = await f.states(id);
    expect(states.get(first.id)).toBe("withdrawn");
    expect(states.get(second.id)).toBe("withdrawn");
    expect(new Set(states.values())).toEqual(new Set(["withdrawn"]));
    await f.expectCountersToMatch(id);
  });

  it("rolls back by itself where the policy says so", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id, { onBreach: "rollback" });
    await f.runUntil(id, "rolled-back", firstFallsBack);
    expect((await f.rollouts.get(f.tenant, id)).state).toBe("rolled-back");
    expect(f.fleet.every((device) => device.running.version === "1.0.0")).toBe(true);
  });

  it("ends with its release when that is yanked, and tells people who has it", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.run(5);
    // As if the platform had died between the two: the release is withdrawn, its rollout runs on.
    await f.firmware.releases.yank(f.tenant, release.id, "bricks the hub", actor);
    await expect(f.create(release.id)).rejects.toEqual(refusal("release-yanked"));
    // Until the platform looks again, devices refuse the release by the metadata themselves.
    await f.run(10, () => "ignores");
    await f.run(30);
    const view = await f.rollouts.get(f.tenant, id);
    expect(view).toMatchObject({
      state: "cancelled",
      lastVerdict: { rule: "release-yanked", numbers: { updated: 2, underway: 0 } },
      totals: { pending: 0, inProgress: 0, succeeded: 2 },
    });
    expect(view.stateReason).toContain("bricks the hub");
    const old = f.fleet.filter((device) => device.running.version === "1.0.0");
    expect(old).toHaveLength(18);
    const { items } = await f.alerts.list(f.tenant, { state: "open" });
    expect(items).toMatchObject([
      { kind: "rollout-release-yanked", severity: "critical", subjectId: id },
    ]);
    await f.expectCountersToMatch(id);
  });

  it("cannot be resumed or approved with a yanked release, only rolled back", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.run(5);
    await f.rollouts.pause(f.tenant, id, actor, "a look at it");
    await f.firmware.releases.yank(f.tenant, release.id, "bricks the hub", actor);
    const again = f.rollouts.resume(f.tenant, id, actor);
    await expect(again).rejects.toEqual(refusal("release-yanked"));
    const on = f.rollouts.approve(f.tenant, id, actor);
    await expect(on).rejects.toEqual(refusal("release-yanked"));
    expect(await f.rollouts.stopRelease(f.tenant, release.id, actor, "bricks the hub")).toBe(1);
    expect(await f.rollouts.get(f.tenant, id)).toMatchObject({
      state: "cancelled",
      lastVerdict: { decision: "cancel", numbers: { updated: 2 } },
    });
    await f.rollouts.rollback(f.tenant, id, actor);
    await f.runUntil(id, "rolled-back");
    expect(f.fleet.every((device) => device.running.version === "1.0.0")).toBe(true);
    expect((await f.alerts.list(f.tenant, { state: "open" })).items).toEqual([]);
  });

  it("goes on after a resume without tripping over what was accepted", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.runUntil(id, "paused", firstFallsBack);
    await f.rollouts.resume(f.tenant, id, actor, "known fault of that unit");
    await f.runUntil(id, "succeeded");
    const view = await f.rollouts.get(f.tenant, id);
    expect(view.state).toBe("succeeded");
    expect(view.totals.succeeded + view.totals.failed).toBe(20);
    const { items } = await f.rollouts.verdicts(f.tenant, id, { limit: 100 });
    expect(items.find((verdict) => verdict.decision === "resume")).toMatchObject({
      decidedBy: "Ada",
      sentence: "Ada resumed the rollout: known fault of that unit",
    });
  });

  it("offers nothing new while it is paused, not even to those it had chosen", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.rollouts.tick(f.tenant);
    await f.rollouts.pause(f.tenant, id, actor);
    for (const device of f.fleet) {
      expect(await f.rollouts.currentAssignment(f.tenant, device.id)).toBeNull();
    }
  });

  it("leaves devices that are away in peace, and updates them when they come back", async () => {
    const [away] = f.fleet;
    if (!away) throw new Error("no devices");
    away.online = false;
    await f.devices.disconnected(f.peer(away), { connectionId: away.id, reason: "test" });
    await f.clock.advance(600 * SECOND);
    await f.beat(...f.fleet.slice(1));
    await f.devices.expirePresence(f.tenant, f.clock.now());
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.runUntil(id, "succeeded");
    expect((await f.states(id)).get(away.id)).toBe("offered");
    const { items } = await f.rollouts.devices(f.tenant, id, { state: "offered" });
    expect(items).toMatchObject([{ excludedReason: "was not connected" }]);
    away.online = true;
    await f.clock.advance(40 * 86_400 * SECOND);
    await f.connect(away);
    expect(await f.obey(away)).toBe(true);
    expect((await f.states(id)).get(away.id)).toBe("succeeded");
    await f.expectCountersToMatch(id);
  });

  it("comes to no harm from workers that tick at once and die in the middle of a step", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    const other = f.make();
    // Dies before its transaction ends, now here and now there.
    let calls = 0;
    const dying = f.make({
      signAssignment: (...given: Parameters<typeof f.firmware.signAssignment>) => {
        calls += 1;
        if (calls % 3 === 0) throw new Error("killed");
        return f.firmware.signAssignment(...given);
      },
    });
    for (let round = 0; round < 40; round += 1) {
      const workers = [dying, f.rollouts, other];
      // Of those at once chance decides who has the work: it may never be the one that dies.
      await dying.tick(f.tenant);
      await Promise.all(workers.map((worker) => worker.tick(f.tenant)));
      for (const device of f.fleet) await f.obey(device);
      await f.clock.advance(5 * SECOND);
    }
    const view = await f.rollouts.get(f.tenant, id);
    expect(view).toMatchObject({ state: "succeeded", totals: { succeeded: 20 } });
    expect(calls).toBeGreaterThan(0);
    const sequences = f.fleet.map((device) => device.lastSequence);
    expect(new Set(sequences)).toEqual(new Set([1]));
    await f.expectCountersToMatch(id);
  });

  it("keeps tenants apart", async () => {
    await f.addTenant("globex");
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.rollouts.tick(f.tenant);
    const [chosen] = [...(await f.states(id))].find(([, state]) => state === "offered") ?? [];
    const assignment = await f.assignmentOf(
      f.fleet.find((device) => device.id === chosen) as (typeof f.fleet)[0],
    );
    const updateId = assignment?.updateId as string;
    await expect(f.rollouts.get("globex", id)).rejects.toEqual(refusal("not-found"));
    await expect(f.rollouts.pause("globex", id, actor)).rejects.toEqual(refusal("not-found"));
    await expect(f.rollouts.rollback("globex", id, actor)).rejects.toEqual(refusal("not-found"));
    await expect(f.rollouts.devices("globex", id)).rejects.toEqual(refusal("not-found"));
    const state = { updateId, phase: "failed" as const };
    const foreign = { tenantId: "globex", deviceId: chosen as string };
    const sibling = { tenantId: f.tenant, deviceId: "d-other" };
    for (const peer of [foreign, sibling]) {
      await expect(f.rollouts.recordUpdateState(peer, state, 0)).rejects.toEqual(
        refusal("not-found"),
      );
    }
    const spec = { name: "theft", releaseId: release.id, query: "" };
    await expect(f.rollouts.create("globex", spec, actor)).rejects.toEqual(refusal("not-found"));
    expect(await f.rollouts.currentAssignment("globex", chosen as string)).toBeNull();
    expect((await f.rollouts.list("globex")).items).toEqual([]);
  });

  it("refuses controls that the state is against", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await expect(f.rollouts.resume(f.tenant, id, actor)).rejects.toEqual(refusal("rollout-state"));
    await f.rollouts.cancel(f.tenant, id, actor);
    await f.run(5);
    expect(new Set((await f.states(id)).values())).toEqual(new Set(["withdrawn"]));
    await expect(f.rollouts.pause(f.tenant, id, actor)).rejects.toEqual(refusal("rollout-state"));
    await expect(f.rollouts.get(f.tenant, "nonsense")).rejects.toEqual(refusal("not-found"));
  });

  it("asks a person when evidence is wanted and none comes, and goes on when approved", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id, { maxSoakSeconds: null, askAfterSeconds: 60 });
    await f.runUntil(id, "needs-decision");
    const view = await f.rollouts.get(f.tenant, id);
    expect(view).toMatchObject({ state: "needs-decision", stageIndex: 1 });
    await f.rollouts.approve(f.tenant, id, actor, "looks good");
    expect(await f.rollouts.get(f.tenant, id)).toMatchObject({ state: "running", stageIndex: 2 });
  });

  it("does not widen while a metric that was asked for cannot be read", async () => {
    const release = await f.publish("1.1.0");
    const thresholds = [{ metric: "telemetry.temperature", above: 80 }];
    const id = await f.create(release.id, { thresholds });
    await f.run(60);
    const view = await f.rollouts.get(f.tenant, id);
    expect(view).toMatchObject({ stageIndex: 0, lastVerdict: { rule: "metrics-unavailable" } });
  });

  it("pauses on a plain threshold", async () => {
    const release = await f.publish("1.1.0");
    const thresholds = [{ metric: "offline-share", above: 0.4, minimumDeviceHours: 0 }];
    const id = await f.create(release.id, { thresholds, canaryCrashLimit: 100 });
    await f.run(5);
    await f.clock.advance(600 * SECOND);
    for (const device of f.fleet) {
      if (device.running.version !== "1.1.0") continue;
      await f.devices.disconnected(f.peer(device), { connectionId: device.id, reason: "test" });
    }
    await f.devices.expirePresence(f.tenant, f.clock.now());
    await f.devices.expirePresence(f.tenant, f.clock.now());
    await f.rollouts.tick(f.tenant);
    expect((await f.rollouts.get(f.tenant, id)).lastVerdict).toMatchObject({
      decision: "pause",
      rule: "threshold:offline-share",
    });
  });

  it("asks for the error logs of a limit from when each device's update was over", async () => {
    const asked: { fromEach?: readonly number[] }[] = [];
    f.setErrorLines((query) => {
      asked.push(query);
      return 1;
    });
    const thresholds = [{ metric: "error-log-rate", above: 4, minimumDeviceHours: 0 }];
    const lasting = { thresholds, minSoakSeconds: 3_600, maxSoakSeconds: 7_200 };
    const began = f.clock.now();
    const id = await f.create((await f.publish("1.1.0")).id, lasting);
    await f.run(60);
    expect((await f.rollouts.get(f.tenant, id)).state).toBe("running");
    expect(asked).toEqual([]);
    await f.clock.advance(660 * SECOND);
    await f.rollouts.tick(f.tenant);
    // A line in the minutes since; what was written before the update is none of it.
    for (const { fromEach = [] } of asked) {
      expect(fromEach.length).toBeGreaterThan(0);
      expect(Math.min(...fromEach)).toBeGreaterThanOrEqual(began + 600 * SECOND);
    }
    expect(asked.length).toBeGreaterThan(0);
  });

  it("writes each pause by the gate into the audit log", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.runUntil(id, "paused", () => "falls-back");
    const rows = await f.db.tenant(f.tenant, (tx) =>
      tx.selectFrom("audit_entries").selectAll().where("target_id", "=", id).execute(),
    );
    expect(rows.map((row) => row.action)).toEqual([
      "rollout.create",
      "rollout.start",
      "rollout.pause",
    ]);
  });

  it("keeps the policy's defaults in view", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    const { policy } = await f.rollouts.get(f.tenant, id);
    expect(policy).toMatchObject({ ...QUICK_POLICY, alpha: 0.02, canaryCrashLimit: 2 });
  });
});
