import type { Database } from "../db/index.ts";
import { narrowed } from "../devices/index.ts";
import { confinementIn, unconfined } from "../kernel/confinement.ts";
import { AppError, isUuid } from "../kernel/index.ts";
import { findRollout } from "./rollout-store.ts";
import type { Rollouts } from "./rollouts.ts";
import type { RolloutSpec } from "./types.ts";

/**
 * Rollouts as somebody who is confined to groups may have them: over the devices of these groups,
 * now and later, and steered where they were made so. What plans and steers sees every rollout of
 * the tenant, because a device must not have two updates at once; so what it may touch is narrowed
 * here, before it runs with the rights of the platform.
 */
export function withinGroups(db: Database, rollouts: Rollouts): Rollouts {
  function narrow(tenantId: string, spec: RolloutSpec): RolloutSpec {
    const confinement = confinementIn(tenantId);
    if (!confinement) return spec;
    const { groups } = confinement;
    return { ...spec, query: narrowed(spec.query, confinement), confinedTo: groups };
  }

  /** Refuses what the caller does not see, and then lets the platform do it. */
  async function steer<T>(tenantId: string, id: string, act: () => Promise<T>): Promise<T> {
    if (!confinementIn(tenantId)) return act();
    const own = isUuid(id) && (await db.tenant(tenantId, (tx) => findRollout(tx, tenantId, id)));
    if (!own) throw new AppError("not-found", "there is no such rollout");
    return unconfined(act);
  }

  return {
    ...rollouts,
    plan(tenantId, spec) {
      const own = narrow(tenantId, spec);
      return unconfined(() => rollouts.plan(tenantId, own));
    },
    planDevices(tenantId, spec, options) {
      const own = narrow(tenantId, spec);
      return unconfined(() => rollouts.planDevices(tenantId, own, options));
    },
    create(tenantId, spec, actor, traceparent) {
      const own = narrow(tenantId, spec);
      return unconfined(() => rollouts.create(tenantId, own, actor, traceparent));
    },
    pause: (tenantId, id, ...rest) =>
      steer(tenantId, id, () => rollouts.pause(tenantId, id, ...rest)),
    resume: (tenantId, id, ...rest) =>
      steer(tenantId, id, () => rollouts.resume(tenantId, id, ...rest)),
    approve: (tenantId, id, ...rest) =>
      steer(tenantId, id, () => rollouts.approve(tenantId, id, ...rest)),
    rollback: (tenantId, id, ...rest) =>
      steer(tenantId, id, () => rollouts.rollback(tenantId, id, ...rest)),
    cancel: (tenantId, id, ...rest) =>
      steer(tenantId, id, () => rollouts.cancel(tenantId, id, ...rest)),
    async deviceUpdates(tenantId, deviceId, limit) {
      const confinement = confinementIn(tenantId);
      if (confinement && !confinement.deviceIds.includes(deviceId)) return [];
      // Its own history is whole, whoever made the rollout.
      return unconfined(() => rollouts.deviceUpdates(tenantId, deviceId, limit));
    },
  };
}
