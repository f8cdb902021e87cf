import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock, timeOrderedId } from "../kernel/index.ts";
import { storableText } from "../kernel/storable.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import { lockDevice } from "./enrolment-store.ts";
import type { Peers } from "./peers.ts";
import * as store from "./quarantine-store.ts";

const REASON_LENGTH = 256;
const HISTORY = 100;

/** A time during which a device was kept apart; in force while it is not lifted. */
export interface QuarantineView {
  id: string;
  reason: string;
  setAt: Date;
  setBy: string;
  liftReason: string | null;
  liftedAt: Date | null;
  liftedBy: string | null;
}

/**
 * A device in quarantine may connect, renew its certificate and be updated; its measurements, logs
 * and results are refused, and no commands reach it.
 */
export interface Quarantines {
  /** `conflict` where it is in force already, or the device is revoked. */
  set(tenantId: string, deviceId: string, reason: string, actor: Actor): Promise<void>;
  lift(tenantId: string, deviceId: string, reason: string, actor: Actor): Promise<void>;
  /** A revoked device may enrol again; its certificates stay revoked. */
  reinstate(tenantId: string, deviceId: string, reason: string, actor: Actor): Promise<void>;
  /** Newest first. */
  list(tenantId: string, deviceId: string): Promise<QuarantineView[]>;
}

interface Deps {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "audit">;
  peers: Peers;
}

export function createQuarantines({ db, clock, tenancy, peers }: Deps): Quarantines {
  return {
    async set(tenantId, deviceId, reason, actor) {
      await db.tenant(tenantId, async (tx) => {
        await expectStatus(tx, tenantId, deviceId, "active");
        const now = clock.now();
        await store.insertQuarantine(tx, tenantId, {
          id: timeOrderedId(now),
          device_id: deviceId,
          reason: storableText(reason, REASON_LENGTH),
          set_at: new Date(now),
          set_by: actor.name,
        });
        await store.setDeviceStatus(tx, tenantId, deviceId, "quarantined");
        await record(tx, tenantId, actor, "device.quarantine", deviceId, reason);
      });
      peers.publish(tenantId, [{ kind: "quarantined", deviceId }]);
    },

    async lift(tenantId, deviceId, reason, actor) {
      await db.tenant(tenantId, async (tx) => {
        await expectStatus(tx, tenantId, deviceId, "quarantined");
        await store.liftQuarantine(tx, tenantId, deviceId, {
          lift_reason: storableText(reason, REASON_LENGTH),
          lifted_at: new Date(clock.now()),
          lifted_by: actor.name,
        });
        await store.setDeviceStatus(tx, tenantId, deviceId, "active");
        await record(tx, tenantId, actor, "device.release", deviceId, reason);
      });
      peers.publish(tenantId, [{ kind: "released", deviceId }]);
    },

    async reinstate(tenantId, deviceId, reason, actor) {
      await db.tenant(tenantId, async (tx) => {
        await expectStatus(tx, tenantId, deviceId, "revoked");
        await store.setDeviceStatus(tx, tenantId, deviceId, "active");
        await record(tx, tenantId, actor, "device.reinstate", deviceId, reason);
      });
      peers.publish(tenantId, [{ kind: "restored", deviceId }]);
    },

    async list(tenantId, deviceId) {
      const rows = await db.tenant(tenantId, (tx) =>
        store.quarantinesOf(tx, tenantId, deviceId, HISTORY),
      );
      return rows.map((row) => ({
        id: row.id,
        reason: row.reason,
        setAt: row.set_at,
        setBy: row.set_by,
        liftReason: row.lift_reason,
        liftedAt: row.lifted_at,
        liftedBy: row.lifted_by,
      }));
    },
  };

  async function record(
    tx: Tx,
    tenantId: string,
    actor: Actor,
    action: string,
    deviceId: string,
    reason: string,
  ): Promise<void> {
    await tenancy.audit.record(tx, tenantId, {
      actor,
      action,
      targetKind: "device",
      targetId: deviceId,
      outcome: "done",
      details: { reason },
    });
  }
}

async function expectStatus(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  expected: "active" | "quarantined" | "revoked",
): Promise<void> {
  const status = await lockDevice(tx, tenantId, deviceId);
  if (!status) throw new AppError("not-found", `there is no device ${deviceId}`);
  if (status === expected) return;
  throw new AppError("conflict", `the device is ${status}`, { status });
}
