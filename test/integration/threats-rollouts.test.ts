import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRolloutFleet, type RolloutFleet, SECOND } from "../support/rollout-fleet.ts";

const DAY_MS = 86_400_000;

describe("one device that lies about its health", () => {
  let f: RolloutFleet;
  let id: string;
  beforeAll(async () => {
    f = await createRolloutFleet({ devices: 20 });
    const release = await f.publish("1.1.0");
    const stages = [
      { name: "canary", devices: 2, minSoakSeconds: 5 },
      { name: "half", percent: 50, minSoakSeconds: 86_400 },
      { name: "all", percent: 100 },
    ];
    id = await f.create(release.id, { stages, maxSoakSeconds: null });
    await f.run(90);
  });
  afterAll(() => f.close());

  const updated = () => f.fleet.filter((device) => device.running.version === "1.1.0");
  const waiting = () => f.fleet.filter((device) => device.running.version === "1.0.0");
  const look = async () => {
    await f.rollouts.tick(f.tenant);
    await f.clock.advance(10 * SECOND);
    await f.rollouts.tick(f.tenant);
    return f.rollouts.get(f.tenant, id);
  };
  /** Thirty crashes that never were, each dated on a day of its own, so that each would count. */
  const invent = async (device: (typeof f.fleet)[number]) => {
    for (let day = 1; day <= 30; day += 1) {
      await f.incident(device, { occurredAt: f.clock.now() - day * 2 * DAY_MS });
    }
  };

  it("counts once among those that wait, and so cannot make the others look well", async () => {
    await invent(waiting()[0] as (typeof f.fleet)[number]);
    const view = await look();
    expect(view.evidence.crash?.control.events).toBe(1);
    expect(view).toMatchObject({ state: "running", stageIndex: 1 });
  });

  it("counts once among those that are updated, and so cannot halt it alone", async () => {
    await invent(updated()[0] as (typeof f.fleet)[number]);
    const view = await look();
    expect(view.evidence.crash?.treated.events).toBe(1);
    expect(view).toMatchObject({ state: "running", stageIndex: 1 });
  });

  it("cannot speak for another device, whose update it names", async () => {
    const [liar, victim] = updated() as [(typeof f.fleet)[number], (typeof f.fleet)[number]];
    const envelope = await f.rollouts.currentAssignment(f.tenant, victim.id);
    const updateId = envelope?.signed.updateId as string;
    const error = { phase: "confirming", element: "x", message: "forged" };
    for (const phase of ["failed", "fell-back", "succeeded"] as const) {
      const state = { updateId, phase, error, running: liar.running };
      const forged = f.rollouts.recordUpdateState(f.peer(liar), state, f.clock.now());
      await expect(forged).rejects.toMatchObject({ code: "not-found" });
    }
    expect((await look()).totals.failed).toBe(0);
  });

  it("cannot claim the update without running it", async () => {
    const liar = waiting()[0] as (typeof f.fleet)[number];
    const before = (await look()).totals.succeeded;
    await f.beat(liar);
    expect((await look()).totals.succeeded).toBe(before);
  });

  it("is outvoted: what many devices say is heard", async () => {
    for (const device of updated()) await f.incident(device);
    const view = await look();
    // The liar has had its one word of the day.
    expect(view.evidence.crash?.treated.events).toBe(updated().length);
    expect(view.evidence.crash?.eValue).toBeGreaterThan(3);
  });
});

describe("a rollout of a release that fits no device", () => {
  it("is refused with the reason, in the plan too, and nothing is made of it", async () => {
    const f = await createRolloutFleet({ devices: 2 });
    try {
      const release = await f.publish("1.1.0", { product: "valve" });
      const spec = { name: "next", releaseId: release.id, query: "" };
      const refusal = { code: "release-incompatible", message: expect.stringMatching(/fits no/) };
      await expect(f.rollouts.plan(f.tenant, spec)).rejects.toMatchObject(refusal);
      await expect(f.create(release.id)).rejects.toMatchObject(refusal);
      expect((await f.rollouts.list(f.tenant, {})).items).toEqual([]);
      const fits = await f.publish("1.2.0");
      expect((await f.rollouts.plan(f.tenant, { ...spec, releaseId: fits.id })).totalDevices).toBe(
        2,
      );
    } finally {
      await f.close();
    }
  });
});
