import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { contractErrors } from "../support/answer-contract.ts";
import { actor, createRolloutFleet, type RolloutFleet } from "../support/rollout-fleet.ts";

describe("what the rollouts tell", () => {
  let f: RolloutFleet;
  beforeAll(async () => {
    f = await createRolloutFleet({ devices: 10 });
  });
  afterAll(() => f.close());

  it("is described by the API's schemas to the last field, from the plan to the way back", async () => {
    const release = await f.publish("1.1.0");
    const spec = { name: "next", releaseId: release.id, query: "" };
    const broken = contractErrors("RolloutPlan", await f.rollouts.plan(f.tenant, spec));
    const look = async (id: string) => {
      const page = await f.rollouts.verdicts(f.tenant, id, { limit: 100 });
      broken.push(
        ...contractErrors("Rollout", await f.rollouts.get(f.tenant, id)),
        ...contractErrors("RolloutPage", await f.rollouts.list(f.tenant, {})),
        ...contractErrors("RolloutDevicePage", await f.rollouts.devices(f.tenant, id, {})),
        ...contractErrors("RolloutVerdictPage", page),
      );
    };

    const id = await f.create(release.id);
    await look(id);
    const firstFallsBack = () =>
      f.fleet.some((device) => device.lastSequence > 0) ? "well" : "falls-back";
    await f.runUntil(id, "paused", firstFallsBack);
    await look(id);
    await f.rollouts.rollback(f.tenant, id, actor);
    await f.runUntil(id, "rolled-back");
    await look(id);
    const { items } = await f.rollouts.list(f.tenant, {});
    const back = items.find((rollout) => rollout.kind === "rollback");
    expect(back?.rollsBack).toBe(id);
    await look(back?.id as string);
    for (const device of f.fleet) {
      const updates = await f.rollouts.deviceUpdates(f.tenant, device.id, 10);
      broken.push(...contractErrors("DeviceUpdateList", { items: updates }));
    }
    expect([...new Set(broken)]).toEqual([]);
  });
});

describe("a device that waits for a condition of its own", () => {
  let f: RolloutFleet;
  beforeAll(async () => {
    f = await createRolloutFleet({ devices: 1 });
  });
  afterAll(() => f.close());

  it("is shown with what it waits for, and is silent only when it says so no more", async () => {
    const [unit] = f.fleet as [RolloutFleet["fleet"][0]];
    const release = await f.publish("1.1.0");
    const stages = [{ name: "all", percent: 100 }];
    await f.create(release.id, { stages, holdbackPercent: 0 });
    await f.run(20, () => "ignores");
    const assignment = await f.assignmentOf(unit);
    if (!assignment) throw new Error("nothing was offered");
    const waitingFor = { element: "maintenance-window", message: "until 02:00\0" };
    const shown = async () => (await f.rollouts.deviceUpdates(f.tenant, unit.id, 1))[0];
    const say = (state: object) => f.say(unit, assignment, { phase: "downloading", ...state });
    const later = async (seconds: number) => {
      await f.clock.advance(seconds * 1_000);
      await f.rollouts.tick(f.tenant);
    };
    await say({ progress: 1 });
    for (let times = 0; times < 3; times += 1) {
      await say({ waitingFor });
      await later(600);
      const view = await shown();
      expect(view?.state).toBe("downloading");
      expect(view?.waitingFor).toEqual({ ...waitingFor, message: "until 02:00\uFFFD" });
      expect(contractErrors("DeviceUpdateList", { items: [view] })).toEqual([]);
    }
    await say({ phase: "installing" });
    expect(await shown()).toMatchObject({ state: "installing", waitingFor: null });
    await say({ phase: "installing", waitingFor });
    unit.online = false;
    await later(1_800);
    expect(await shown()).toMatchObject({ state: "silent", waitingFor: null });
  });
});
