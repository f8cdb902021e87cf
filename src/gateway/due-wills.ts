import { sql } from "kysely";
import type { Database, Tx } from "../db/index.ts";
import { isAppError, messageOf } from "../kernel/index.ts";
import type { GatewayContext } from "./context.ts";
import { countMessage } from "./gateway-metrics.ts";
import { publishWill, restoredWill } from "./packets/will.ts";
import { expireRetained } from "./retained-store.ts";

/** Wills that one look takes of a tenant; the rest waits for the next. */
const BATCH = 100;

interface DueWill {
  deviceId: string;
  will: unknown;
  at: Date;
  status: "active" | "quarantined" | "revoked";
}

/**
 * Publishes a tenant's wills whose time has come, and forgets what need not be retained any more.
 * A will is forgotten when it is durable; where the database is lost in between it comes twice,
 * which ingestion takes for one.
 */
export async function sweepTenant(
  context: GatewayContext,
  db: Database,
  tenantId: string,
): Promise<void> {
  const now = new Date(context.deps.clock.now());
  await db.tenant(tenantId, (tx) => expireRetained(tx, now));
  await db.tenant(tenantId, async (tx) => {
    // Locked until they are published: another gateway that sweeps takes the others.
    for (const entry of await dueWills(tx, now)) {
      // MQTT 5.0 §3.1.2.5: the device's right to publish is asked for again, for it may be gone.
      if (entry.status !== "revoked") await tryToPublish(context, tenantId, entry);
      else countMessage("will", "refused");
      await forgetWill(tx, entry);
    }
  });
}

/** Throws where it may succeed later. */
async function tryToPublish(context: GatewayContext, tenantId: string, entry: DueWill) {
  const { deviceId, status } = entry;
  const peer = {
    ...{ tenantId, deviceId, serial: "", notAfter: entry.at },
    quarantined: status === "quarantined",
  };
  try {
    await publishWill(context, peer, restoredWill(entry.will));
    countMessage("will", "stored");
  } catch (error) {
    if (!isAppError(error) || error.code === "unavailable") throw error;
    countMessage("will", "refused");
    context.deps.logger.warn({ deviceId, error: messageOf(error) }, "a will was refused");
  }
}

async function dueWills(tx: Tx, now: Date): Promise<DueWill[]> {
  const { rows } = await sql<DueWill>`
    select s.device_id as "deviceId", s.will, s.will_at as at, d.status
    from mqtt_sessions s join devices d on d.tenant_id = s.tenant_id and d.id = s.device_id
    where s.will_at <= ${now} and s.will is not null order by s.will_at limit ${BATCH}
    for update of s skip locked`.execute(tx);
  return rows;
}

/** The device may have left another one meanwhile. */
async function forgetWill(tx: Tx, { deviceId, at }: DueWill): Promise<void> {
  await tx
    .updateTable("mqtt_sessions")
    .set({ will: null, will_at: null })
    .where("device_id", "=", deviceId)
    .where("will_at", "=", at)
    .execute();
}
