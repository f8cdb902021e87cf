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
