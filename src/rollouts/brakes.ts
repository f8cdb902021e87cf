import type { Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { storableText } from "../kernel/storable.ts";
import type { Actor } from "../tenancy/index.ts";
import { offeredAnywhere } from "./device-store.ts";
import { word } from "./offering.ts";
import { activeRollouts, wakeRollouts } from "./rollout-store.ts";
import {
  type PenalisedDevice,
  penalisedDevices,
  readStop,
  removeStop,
  type UpdateStop,
  writePardon,
  writeStop,
} from "./stop-store.ts";
import type { RolloutsDeps } from "./types.ts";

const MAX_REASON = 1_024;
const MAX_PENALISED = 1_000;
/** Devices that are reminded at once when the kill switch is lifted. */
const REMIND_PAGE = 5_000;

/** What holds for a tenant's rollouts together: the kill switch and the penalty box. */
export interface Brakes {
  /** The kill switch, while it is on; null otherwise. */
  updateStop(tenantId: string): Promise<UpdateStop | null>;
  /** From now on nobody begins an update; those on their way finish, and ways back stay open. */
  stopUpdates(tenantId: string, actor: Actor, reason?: string): Promise<void>;
  allowUpdates(tenantId: string, actor: Actor, reason?: string): Promise<void>;
  /** Devices that rollouts leave out since their updates kept failing; the latest first. */
  penalised(tenantId: string): Promise<PenalisedDevice[]>;
  /** Lets a device out of the penalty box; `not-found` for one that is not there. */
  pardon(tenantId: string, deviceId: string, actor: Actor): Promise<void>;
}

export function createBrakes(deps: RolloutsDeps): Brakes {
  const { db, clock, bus } = deps;
  const note = (
    tx: Tx,
    tenantId: string,
    actor: Actor,
    what: string,
    [targetKind, targetId]: [string, string],
    details: Record<string, unknown>,
  ) => {
    const action = `rollout.${what}`;
    const entry = { actor, action, targetKind, targetId, outcome: "done" as const, details };
    return deps.tenancy.audit.record(tx, tenantId, entry);
  };
  return {
    updateStop: (tenantId) => db.tenant(tenantId, (tx) => readStop(tx, tenantId)),

    async stopUpdates(tenantId, actor, reason = "") {
      const said = storableText(reason, MAX_REASON);
      await db.tenant(tenantId, async (tx) => {
        const stop = { stoppedAt: new Date(clock.now()), stoppedBy: actor.name, reason: said };
        if (!(await writeStop(tx, tenantId, stop))) return;
        await note(tx, tenantId, actor, "stop-updates", ["tenant", tenantId], { reason: said });
      });
    },

    async allowUpdates(tenantId, actor, reason = "") {
      const isLifted = await db.tenant(tenantId, async (tx) => {
        if (!(await removeStop(tx, tenantId))) return false;
        const said = storableText(reason, MAX_REASON);
        await note(tx, tenantId, actor, "allow-updates", ["tenant", tenantId], { reason: said });
        const ids = await activeRollouts(tx, tenantId);
        if (ids.length > 0) await wakeRollouts(tx, tenantId, ids, new Date(clock.now()));
        return true;
      });
      // They were told nothing meanwhile, also those whose rollout has ended.
      let after: string | null = isLifted ? "" : null;
      while (after !== null) {
        const page = { after, limit: REMIND_PAGE };
        const waiting = await db.tenant(tenantId, (tx) => offeredAnywhere(tx, tenantId, page));
        for (const deviceId of waiting) {
          const { subject, message } = word(tenantId, deviceId);
          bus.publish(subject, message);
        }
        after = waiting.length === REMIND_PAGE ? (waiting.at(-1) as string) : null;
      }
    },

    penalised: (tenantId) =>
      db.tenant(tenantId, (tx) => penalisedDevices(tx, tenantId, clock.now(), MAX_PENALISED)),

    async pardon(tenantId, deviceId, actor) {
      await db.tenant(tenantId, async (tx) => {
        const now = new Date(clock.now());
        if (!(await writePardon(tx, tenantId, deviceId, actor.name, now))) {
          throw new AppError("not-found", "there is no such device");
        }
        await note(tx, tenantId, actor, "pardon", ["device", deviceId], {});
      });
    },
  };
}
