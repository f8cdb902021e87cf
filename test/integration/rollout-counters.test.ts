import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Assignment, UPDATE_PHASES } from "../../src/protocol/index.ts";
import { actor, createRolloutFleet, type RolloutFleet, SECOND } from "../support/rollout-fleet.ts";

type Event =
  | { do: "report"; device: number; phase: number; hash: "target" | "other" | "none" }
  | { do: "beat"; device: number }
  | { do: "reboot"; device: number; onTarget: boolean }
  | { do: "crash"; device: number }
  | { do: "tick" }
  | { do: "wait"; seconds: number }
  | { do: "pause" }
  | { do: "resume" };

const DEVICES = 12;
const device = fc.nat(DEVICES - 1);
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("report" as const),
      device,
      phase: fc.nat(UPDATE_PHASES.length - 1),
      hash: fc.constantFrom("target" as const, "other" as const, "none" as const),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("beat" as const), device }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("reboot" as const), device, onTarget: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("crash" as const), device }) },
  { weight: 4, arbitrary: fc.constant({ do: "tick" as const }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      seconds: fc.integer({ min: 1, max: 60 }),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom({ do: "pause" as const }, { do: "resume" as const }) },
);

describe("counters of a rollout", () => {
  let f: RolloutFleet;
  let version = 0;
  beforeAll(async () => {
    f = await createRolloutFleet({ devices: DEVICES });
  });
  afterAll(() => f.close());

  it("equal the rows after whatever devices, deadlines and people do, in any order", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 10, maxLength: 45 }), async (events) => {
        version += 1;
        const release = await f.publish(`2.0.${version}`);
        // The same devices fail in every run, and are to take part all the same.
        const penalty = { failures: 100, days: 1 };
        const id = await f.create(release.id, { canaryCrashLimit: 1000, penalty });
        const told = new Map<string, Assignment>();
        for (const step of events) await carryOut(step, id, release, told);
        await f.expectCountersToMatch(id);
        const view = await f.rollouts.get(f.tenant, id);
        const { totals } = view;
        const withdrawn = view.stages.reduce(
          (sum, stage) => sum + (stage.counts.withdrawn ?? 0),
          0,
        );
        expect(
          totals.pending + totals.inProgress + totals.succeeded + totals.failed + withdrawn,
        ).toBe(DEVICES);
        // Nobody beyond what the stage allows has been touched.
        const allowed = view.stages[view.stageIndex]?.cumulativeDevices ?? 0;
        expect(DEVICES - totals.pending).toBeLessThanOrEqual(allowed);
        if (!["succeeded", "cancelled"].includes(view.state)) {
          await f.rollouts.cancel(f.tenant, id, actor);
        }
        await f.rollouts.tick(f.tenant);
        await f.clock.advance(200 * SECOND);
        await f.rollouts.tick(f.tenant);
        await f.rollouts.tick(f.tenant);
        await f.expectCountersToMatch(id);
      }),
      { numRuns: 4, seed: 20_261_123 },
    );
  }, 180_000);

  async function carryOut(
    step: Event,
    id: string,
    release: { version: string; imageSha256: string },
    told: Map<string, Assignment>,
  ): Promise<void> {
    if (step.do === "tick") return f.rollouts.tick(f.tenant);
    if (step.do === "wait") return f.clock.advance(step.seconds * SECOND);
    if (step.do === "pause" || step.do === "resume") {
      // Refused where the state is against it.
      return f.rollouts[step.do](f.tenant, id, actor).catch(() => undefined);
    }
    const unit = f.fleet[step.device] as (typeof f.fleet)[number];
    const envelope = await f.rollouts.currentAssignment(f.tenant, unit.id);
    if (envelope) told.set(unit.id, envelope.signed);
    const target = { version: release.version, hash: release.imageSha256 };
    if (step.do === "crash") return f.incident(unit);
    if (step.do === "beat") return f.beat(unit);
    if (step.do === "reboot") {
      f.boot(unit, step.onTarget ? target : { version: "1.0.0", hash: f.first.imageSha256 });
      return f.beat(unit);
    }
    const assignment = told.get(unit.id);
    if (!assignment) return;
    const running = {
      target: { ...target, slot: "a" },
      other: { version: "1.0.0", hash: f.first.imageSha256, slot: "a" },
      none: undefined,
    }[step.hash];
    const phase = UPDATE_PHASES[step.phase] as (typeof UPDATE_PHASES)[number];
    await f.say(unit, assignment, { phase, ...(running ? { running } : {}), progress: 0.5 });
  }
});
