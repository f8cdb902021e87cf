import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  actor,
  createRolloutFleet,
  QUICK_POLICY,
  type RolloutFleet,
  SECOND,
} from "../support/rollout-fleet.ts";

let f: RolloutFleet;
beforeEach(async () => {
  f = await createRolloutFleet({ devices: 20 });
});
afterEach(() => f.close());

const plan = (releaseId: string) =>
  f.rollouts.plan(f.tenant, { name: "next", releaseId, query: "", policy: QUICK_POLICY });
type Unit = RolloutFleet["fleet"][0];

describe("the way back", () => {
  it("is by the full image for a device whose other slot turns out not to hold it", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.run(20);
    const updated = f.fleet.filter((device) => device.running.version === "1.1.0");
    const [unlucky] = updated as [Unit];
    await f.beat(...updated);
    await f.rollouts.rollback(f.tenant, id, actor);
    await f.rollouts.tick(f.tenant);
    await f.rollouts.tick(f.tenant);
    const first = await f.assignmentOf(unlucky);
    expect(first?.action).toBe("switch-slot");
    if (!first) throw new Error("nothing was offered");
    // Its heartbeats go on claiming the image; only the attempt shows what the slot is worth.
    const error = { phase: "verifying", element: "slot", message: "the other slot is corrupt" };
    await f.say(unlucky, first, { phase: "rejected", error });
    await f.rollouts.tick(f.tenant);
    await f.rollouts.tick(f.tenant);
    const second = await f.rollouts.currentAssignment(f.tenant, unlucky.id);
    expect(second?.signed).toMatchObject({ action: "install", allowDowngrade: true });
    expect(second?.signed.updateId).not.toBe(first.updateId);
    await f.runUntil(id, "rolled-back");
    expect(unlucky.running.version).toBe("1.0.0");
    const view = await f.rollouts.get(f.tenant, id);
    expect(view.stateReason).toBe(`${updated.length} devices are back.`);
    const [back] = (await f.rollouts.list(f.tenant)).items;
    await f.expectCountersToMatch(back?.id as string);
  });

  it("is tried by the image once: a device that refuses that, too, is named", async () => {
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id);
    await f.run(5);
    const [stubborn] = f.fleet.filter((device) => device.running.version === "1.1.0") as [Unit];
    await f.beat(stubborn);
    await f.rollouts.rollback(f.tenant, id, actor);
    const error = { phase: "verifying", element: "slot", message: "no" };
    for (const action of ["switch-slot", "install"]) {
      await f.rollouts.tick(f.tenant);
      await f.rollouts.tick(f.tenant);
      const assignment = await f.assignmentOf(stubborn);
      expect(assignment?.action).toBe(action);
      if (assignment) await f.say(stubborn, assignment, { phase: "rejected", error });
    }
    await f.runUntil(id, "rolled-back");
    const { stateReason } = await f.rollouts.get(f.tenant, id);
    expect(stateReason).toContain(`not back: ${stubborn.id} (no)`);
  });

  it("is answered by the plan: who would have none, and why", async () => {
    const [first, second] = f.fleet as [Unit, Unit];
    first.running = { version: "0.9-lab", hash: "e".repeat(64), slot: "a" };
    await f.beat(first);
    const harmless = await f.publish("1.1.0");
    const unpublished = "its earlier image 0.9-lab was never published here";
    expect((await plan(harmless.id)).withoutWayBack).toEqual([
      { deviceId: first.id, reason: unpublished },
    ]);
    const raising = await f.publish("1.2.0", { securityCounter: 2 });
    const { withoutWayBack } = await plan(raising.id);
    expect(withoutWayBack).toHaveLength(20);
    expect(withoutWayBack.find(({ deviceId }) => deviceId === second.id)?.reason).toBe(
      "1.0.0 lies below the security floor that the new image has raised",
    );
    // Who has raised its floor would refuse what lies below it, however new that is.
    second.running = { version: "1.2.0", hash: raising.imageSha256, slot: "b" };
    await f.beat(second);
    const forgetful = await f.publish("1.3.0");
    expect((await plan(forgetful.id)).excluded).toEqual([
      { deviceId: second.id, reason: "runs 1.2.0, below whose security floor the release lies" },
    ]);
  });
});

describe("a device that reports a firmware nobody knows", () => {
  it("is updated where the release asks for nothing, and refused where it asks for a version", async () => {
    const [odd] = f.fleet as [Unit];
    odd.running = { version: "built by hand", hash: "e".repeat(64), slot: "a" };
    await f.beat(odd);
    const open = await f.publish("1.1.0");
    expect((await plan(open.id)).excluded).toEqual([]);
    const strict = await f.publish("1.2.0", { minimumSourceVersion: "1.0.0" });
    expect((await plan(strict.id)).excluded).toEqual([
      {
        deviceId: odd.id,
        reason: "runs built by hand, the release needs 1.0.0 or newer first",
      },
    ]);
  });
});

describe("one device alone", () => {
  it("cannot pass a limit on crashes for the others, however often it crashes", async () => {
    const release = await f.publish("1.1.0");
    const thresholds = [{ metric: "crash-rate", above: 0.5, minimumDeviceHours: 0 }];
    const patient = { maxSoakSeconds: null, askAfterSeconds: 1e6, canaryCrashLimit: 1_000 };
    const id = await f.create(release.id, { thresholds, ...patient });
    await f.run(60);
    const updated = f.fleet.filter((device) => device.running.version === "1.1.0");
    expect(updated).toHaveLength(10);
    await f.clock.advance(86_400 * SECOND);
    await f.beat(...f.fleet);
    for (let count = 0; count < 50; count += 1) await f.incident(updated[0] as Unit);
    await f.rollouts.tick(f.tenant);
    expect(await f.rollouts.get(f.tenant, id)).toMatchObject({ state: "running", stageIndex: 1 });
    const waiting = f.fleet.filter((device) => !updated.includes(device));
    // In both arms, so that only the plain limit can object.
    for (const device of [...updated.slice(1), ...waiting]) await f.incident(device);
    await f.rollouts.tick(f.tenant);
    expect((await f.rollouts.get(f.tenant, id)).lastVerdict).toMatchObject({
      decision: "pause",
      rule: "threshold:crash-rate",
    });
  });

  it("cannot vouch for the canaries when the rest of them have not been heard", async () => {
    const release = await f.publish("1.1.0");
    const stages = [
      { name: "canary", devices: 5 },
      { name: "all", percent: 100 },
    ];
    const id = await f.create(release.id, { stages, askAfterSeconds: 1e6 });
    await f.rollouts.tick(f.tenant);
    const chosen = [...(await f.states(id))].filter(([, state]) => state === "offered");
    const canaries = f.fleet.filter((device) => chosen.some(([name]) => name === device.id));
    expect(canaries).toHaveLength(5);
    await f.obey(canaries[0] as Unit);
    // Four of them are cut off before they begin: their offers wait, and fail nobody.
    for (const device of canaries.slice(1)) {
      device.online = false;
      await f.devices.disconnected(f.peer(device), { connectionId: device.id, reason: "test" });
    }
    await f.clock.advance(600 * SECOND);
    await f.beat(...f.fleet.filter((device) => device.online));
    await f.devices.expirePresence(f.tenant, f.clock.now());
    await f.run(120);
    expect(canaries[0]?.running.version).toBe("1.1.0");
    expect(await f.rollouts.get(f.tenant, id)).toMatchObject({
      stageIndex: 0,
      lastVerdict: { decision: "wait", rule: "too-few-canaries" },
    });
  });
});
