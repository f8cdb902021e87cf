import type { Database } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import * as certificates from "./certificate-store.ts";
import { setDeviceRevoked, tenantStatus } from "./enrolment-store.ts";
import type { Peers } from "./peers.ts";

const PAGE = 1_000;

interface Deps {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "audit">;
  peers: Peers;
}

/** Revokes a device with all its certificates, or one certificate; tells every process. */
export async function revoke(
  deps: Deps,
  tenantId: string,
  what: { deviceId: string } | { serial: string },
  reason: string,
  actor: Actor,
): Promise<void> {
  const { db, clock, tenancy, peers } = deps;
  const deviceId = await db.tenant(tenantId, async (tx) => {
    const now = new Date(clock.now());
    const isDevice = "deviceId" in what;
    if (isDevice && !(await setDeviceRevoked(tx, tenantId, what.deviceId))) {
      throw new AppError("not-found", "there is no such device", { device: what.deviceId });
    }
    const [revoked] = await certificates.revokeCertificates(tx, tenantId, what, reason, now);
    if (!isDevice && revoked === undefined) {
      throw new AppError("not-found", "there is no such certificate in use", what);
    }
    const id = isDevice ? what.deviceId : (revoked as string);
    await tenancy.audit.record(tx, tenantId, {
      actor,
      action: isDevice ? "device.revoke" : "certificate.revoke",
      targetKind: "device",
      targetId: id,
      outcome: "done",
      details: { reason, ...("serial" in what ? { serial: what.serial } : {}) },
    });
    return id;
  });
  peers.publish({ tenantId, deviceId, ...("serial" in what ? { serial: what.serial } : {}) });
}

/** After a tenant was suspended: each of its devices is told to the gateways, to be dropped. */
export async function announceSuspension(deps: Deps, tenantId: string): Promise<void> {
  let after = "";
  for (;;) {
    const ids = await deps.db.tenant(tenantId, async (tx) =>
      (await tenantStatus(tx, tenantId)) === "suspended"
        ? certificates.deviceIdsAfter(tx, tenantId, after, PAGE)
        : [],
    );
    for (const deviceId of ids) deps.peers.publish({ tenantId, deviceId });
    if (ids.length < PAGE) return;
    after = ids.at(-1) as string;
  }
}
