import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  actor,
  createRolloutFleet,
  QUICK_POLICY,
  type RolloutFleet,
} from "../support/rollout-fleet.ts";

let f: RolloutFleet;

beforeEach(async () => {
  f = await createRolloutFleet({ devices: 12 });
});

afterEach(() => f.close());

const stage = (index: number) => (id: string) =>
  f.rollouts
    .devices(f.tenant, id, { limit: 100, stage: index })
    .then(({ items }) => items.map((item) => item.state));
const versions = () => f.fleet.filter((device) => device.running.version === "1.1.0").length;
const wayBack = async (id: string) => {
  const { items } = await f.rollouts.list(f.tenant);
  return items.find((item) => item.rollsBack === id);
};
/** Until the second stage, of four devices, has its update. */
const untilHalf = (id: string) =>
  f.run(300, undefined, async () => {
    const { stageIndex, stages } = await f.rollouts.get(f.tenant, id);
    return stageIndex === 1 && stages[1]?.counts.succeeded === 4;
  });
const POLICY = { maxSoakSeconds: 3_600 };

describe("a stage that is rolled back", () => {
  it("goes back alone, and the rollout stands before it until somebody lets it go on", async () => {
    const id = await f.create((await f.publish("1.1.0")).id, POLICY);
    await untilHalf(id);
    expect(versions()).toBe(6);
    await f.rollouts.rollback(f.tenant, id, actor, "seen in the lab", 1);
    const paused = await f.rollouts.get(f.tenant, id);
    expect(paused).toMatchObject({ state: "paused", stageIndex: 0 });
    expect(paused.stateReason).toContain("before its stage half");
    for (const act of ["resume", "approve"] as const) {
      await expect(f.rollouts[act](f.tenant, id, actor)).rejects.toMatchObject({
        code: "rollout-state",
      });
    }
    await f.run(30);
    expect(versions()).toBe(2);
    const back = await wayBack(id);
    expect(back).toMatchObject({ state: "succeeded", rollsBackStage: 1, totals: { succeeded: 4 } });
    expect((await f.rollouts.get(f.tenant, id)).stateReason).toContain("4 devices are back");
    expect(new Set(await stage(0)(id))).toEqual(new Set(["succeeded"]));
    expect(new Set(await stage(1)(id))).toEqual(new Set(["pending"]));
    await f.expectCountersToMatch(id);

    await f.rollouts.approve(f.tenant, id, actor, "was the lab's fault");
    await untilHalf(id);
    expect(versions()).toBe(6);
    await f.expectCountersToMatch(id);
  });

  it("names who cannot go back, and stops who is on the way", async () => {
    const floor = await f.publish("1.1.0", { securityCounter: 2 });
    const id = await f.create(floor.id, POLICY);
    await untilHalf(id);
    await f.rollouts.rollback(f.tenant, id, actor, "", 1);
    await f.run(20);
    const back = await wayBack(id);
    expect(back?.stateReason).toMatch(/0 devices are back; not back: d-\d+ \(1\.0\.0 lies below/);
    expect(new Set(await stage(1)(id))).toEqual(new Set(["succeeded"]));
    await f.expectCountersToMatch(id);
    await f.rollouts.cancel(f.tenant, id, actor);
    await f.run(10);

    const next = await f.create((await f.publish("1.2.0", { securityCounter: 2 })).id, POLICY);
    const { items } = await f.rollouts.devices(f.tenant, next, { limit: 100, stage: 1 });
    const waiting = new Set(items.map((item) => item.deviceId));
    await f.run(
      200,
      (device) => (waiting.has(device.id) ? "ignores" : "well"),
      async () => (await f.rollouts.get(f.tenant, next)).stageIndex === 1,
    );
    await f.rollouts.tick(f.tenant);
    for (const device of f.fleet.filter(({ id }) => waiting.has(id))) {
      const assignment = await f.assignmentOf(device);
      if (assignment) await f.say(device, assignment, { phase: "downloading" });
    }
    expect(await stage(1)(next)).toContain("downloading");
    await f.rollouts.rollback(f.tenant, next, actor, "", 1);
    await f.run(60);
    expect(new Set(await stage(1)(next))).toEqual(new Set(["pending"]));
    expect((await f.rollouts.get(f.tenant, next)).state).toBe("paused");
    await f.expectCountersToMatch(next);
  });

  it("may be rolled back by the policy, and only from a stage that has begun", async () => {
    const policy = { ...QUICK_POLICY, ...POLICY, onBreach: "rollback-stage" };
    const id = await f.create((await f.publish("1.1.0")).id, policy);
    await expect(f.rollouts.rollback(f.tenant, id, actor, "", 2)).rejects.toMatchObject({
      code: "rollout-state",
    });
    await untilHalf(id);
    await expect(f.rollouts.rollback(f.tenant, id, actor, "", 2)).rejects.toMatchObject({
      code: "invalid-request",
    });
    // So much the gate has to see: updates that fall back are evidence as well as crashes.
    const bad = f.fleet.filter((device) => device.running.version === "1.1.0");
    for (const device of bad) {
      f.boot(device, { version: "1.0.0", hash: f.first.imageSha256 });
      await f.beat(device);
    }
    await f.run(60);
    const view = await f.rollouts.get(f.tenant, id);
    expect(view).toMatchObject({ state: "paused", stageIndex: 0 });
    expect(await wayBack(id)).toMatchObject({ rollsBackStage: 1, state: "succeeded" });
    await f.expectCountersToMatch(id);
  });
});

describe("a stage that is on its way back when more is decided", () => {
  /** Two devices of the second stage have the image, two have begun; then the stage is undone. */
  const untilUndone = async () => {
    const id = await f.create((await f.publish("1.1.0")).id, POLICY);
    const { items } = await f.rollouts.devices(f.tenant, id, { limit: 100, stage: 1 });
    const slow = f.fleet.filter(({ id }) => items.slice(2).some((item) => item.deviceId === id));
    const fate = (device: (typeof slow)[number]) => (slow.includes(device) ? "ignores" : "well");
    await f.run(300, fate, async () => {
      const { stageIndex, stages } = await f.rollouts.get(f.tenant, id);
      return stageIndex === 1 && stages[1]?.counts.succeeded === 2;
    });
    const begun = await Promise.all(slow.map((device) => f.assignmentOf(device)));
    const say = async (state: object) => {
      for (const [index, device] of slow.entries()) {
        const assignment = begun[index];
        if (assignment) await f.say(device, assignment, state);
      }
    };
    await say({ phase: "downloading" });
    await f.rollouts.rollback(f.tenant, id, actor, "", 1);
    await f.rollouts.tick(f.tenant);
    /** They had the image all the same, whatever they were told. */
    const comeLate = async () => {
      const { version, imageSha256: hash } = await f.firmware.releases.get(
        f.tenant,
        (await f.rollouts.get(f.tenant, id)).releaseId,
      );
      for (const device of slow) f.boot(device, { version, hash });
      const [running] = slow.map((device) => device.running);
      await say({ phase: "succeeded", running });
      await f.beat(...slow);
    };
    const settled = async () => {
      const all = [...(await ways(id)), await f.rollouts.get(f.tenant, id)];
      return all.every((item) => !["running", "rolling-back"].includes(item.state));
    };
    return { id, fate, comeLate, settled };
  };
  const ways = async (id: string) => {
    const { items } = await f.rollouts.list(f.tenant);
    return items.filter((item) => item.rollsBack === id);
  };
  const expectAllBack = async (id: string, state: string) => {
    expect((await f.rollouts.get(f.tenant, id)).state).toBe(state);
    for (const back of await ways(id)) {
      expect([back.name, back.state]).toEqual([back.name, "succeeded"]);
      await f.expectCountersToMatch(back.id);
    }
    expect([...(await f.states(id)).values()]).not.toContain("pending");
    await f.expectCountersToMatch(id);
  };

  it.each([
    ["while the whole is undone", 10],
    ["when the whole has been undone", 120],
  ])("takes nobody in who comes %s", async (_when, seconds) => {
    const { id, fate, comeLate, settled } = await untilUndone();
    await f.rollouts.rollback(f.tenant, id, actor);
    await f.run(seconds, fate);
    await comeLate();
    await f.run(120, undefined, settled);
    await expectAllBack(id, "rolled-back");
    expect(versions()).toBe(0);
  });

  it.each([10, 120])("sends back who comes %i s after a cancellation", async (seconds) => {
    const { id, fate, comeLate, settled } = await untilUndone();
    await f.rollouts.cancel(f.tenant, id, actor);
    await f.run(seconds, fate);
    await comeLate();
    await f.run(120, undefined, settled);
    await expectAllBack(id, "cancelled");
    // What the first stage has stays: only the second was undone, and that had ended.
    expect(versions()).toBe(seconds === 120 ? 4 : 2);
    await f.rollouts.rollback(f.tenant, id, actor);
    await f.run(120, undefined, settled);
    await expectAllBack(id, "rolled-back");
    expect(versions()).toBe(0);
  });

  it("goes on while the tenant's updates are stopped", async () => {
    const { id, fate } = await untilUndone();
    await f.rollouts.stopUpdates(f.tenant, actor, "storm");
    await f.run(60, fate);
    const [back] = await ways(id);
    expect(back).toMatchObject({ state: "succeeded", totals: { succeeded: 2 } });
    expect(new Set(await stage(1)(id))).toEqual(new Set(["pending"]));
    await f.expectCountersToMatch(id);
  });
});
