import { type Random, randomInteger } from "../../../src/kernel/random.ts";
import type { RolloutView } from "../../../src/rollouts/index.ts";
import { TENANT, type World } from "./world.ts";

const ADA = { kind: "user" as const, id: "u-1", name: "Ada" };
const GRACE = { kind: "user" as const, id: "u-2", name: "Grace" };
const HOUR_MS = 3_600_000;
const OPEN = ["preparing", "running", "paused", "needs-decision"];

/** Policies as people write them: mostly the defaults, now and then everything that there is. */
export function somePolicy(random: Random): object {
  const chance = (share: number) => random.next() < share;
  return {
    ...(chance(0.3) ? { window: { from: "22:00", to: "06:00" } } : {}),
    ...(chance(0.3) ? { disruption: { atMost: 3 } } : {}),
    ...(chance(0.2) ? { maxConcurrent: 400 } : {}),
    ...(chance(0.4) ? { retry: { attempts: 2, afterSeconds: 21_600 } } : {}),
    ...(chance(0.3) ? { order: "one-per-site-first" } : {}),
    ...(chance(0.2) ? { onBreach: "rollback" } : chance(0.3) ? { onBreach: "rollback-stage" } : {}),
    ...(chance(0.3) ? { maxSoakSeconds: 86_400 } : {}),
    ...(chance(0.2) ? { priority: 10 } : {}),
    evaluateEverySeconds: 3_600,
    // Of a world in which many minutes pass at once.
    deadlines: {
      offered: 4 * HOUR_MS,
      downloading: 4 * HOUR_MS,
      installing: 4 * HOUR_MS,
      rebooting: 4 * HOUR_MS,
      confirming: 4 * HOUR_MS,
    },
    penalty: { failures: 5, days: 30 },
  };
}

/** People who look in now and then and do something, wise or not. */
export function createOperators(world: World, random: Random) {
  const engine = () => world.engine();
  const done: Record<string, number> = {};

  async function act(name: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
      done[name] = (done[name] ?? 0) + 1;
    } catch {
      // Refused, or the platform has just died: they will look in again.
    }
  }

  async function openRollouts(): Promise<RolloutView[]> {
    const { items } = await engine().list(TENANT, { limit: 100 });
    return items.filter((item) => item.kind === "update" && OPEN.includes(item.state));
  }

  async function decide(rollout: RolloutView): Promise<void> {
    const { id, state, needsApproval, stageIndex } = rollout;
    const luck = random.next();
    if (state === "preparing" && needsApproval) {
      return act("agree", () => engine().approve(TENANT, id, GRACE));
    }
    if (state === "needs-decision") {
      if (luck < 0.7) return act("approve", () => engine().approve(TENANT, id, ADA));
      return act("cancel", () => engine().cancel(TENANT, id, ADA));
    }
    if (state === "paused") {
      if (luck < 0.35) return act("rollback", () => engine().rollback(TENANT, id, ADA));
      if (luck < 0.6) {
        const stage = randomInteger(random, stageIndex + 1);
        return act("rollback-stage", () => engine().rollback(TENANT, id, ADA, "", stage));
      }
      if (luck < 0.85) return act("resume", () => engine().resume(TENANT, id, ADA));
      return act("cancel", () => engine().cancel(TENANT, id, ADA));
    }
    if (state === "running" && luck < 0.04) {
      return act("pause", () => engine().pause(TENANT, id, ADA));
    }
  }

  return {
    done,
    async lookIn(): Promise<void> {
      const rollouts = await openRollouts().catch(() => []);
      for (const rollout of rollouts) await decide(rollout);
      const luck = random.next();
      const isStopped =
        (await engine()
          .updateStop(TENANT)
          .catch(() => null)) !== null;
      if (isStopped) await act("allow-updates", () => engine().allowUpdates(TENANT, ADA));
      else if (luck < 0.01) await act("stop-updates", () => engine().stopUpdates(TENANT, ADA));
    },
    begin: (spec: { name: string; releaseId: string; query: string; policy: object }) =>
      act("create", () => engine().create(TENANT, spec, ADA)),
    setApprovals: (count: number) =>
      world.tenancy.tenants.updateSettings(TENANT, { rolloutApprovals: count }, ADA),
    async endAll(): Promise<void> {
      await act("allow-updates", () => engine().allowUpdates(TENANT, ADA));
      for (const { id } of await openRollouts().catch(() => [])) {
        await act("cancel", () => engine().cancel(TENANT, id, ADA));
      }
    },
  };
}
