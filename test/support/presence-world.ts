import pg from "pg";
import { createAlerts } from "../../src/alerts/index.ts";
import { LocalBus } from "../../src/bus/index.ts";
import type { Database } from "../../src/db/index.ts";
import { createDevices } from "../../src/devices/index.ts";
import { createPresenceWatch } from "../../src/jobs/presence-watch.ts";
import type { Clock } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";

export const TENANT = "acme";
const HASH = "a".repeat(64);
const BATCH = 1_000;

/** The part of the platform that follows a fleet's presence, as the worker puts it together. */
export async function createPresenceWorld(db: Database, clock: Clock, intervalSeconds: number) {
  const bus = new LocalBus();
  const tenancy = createTenancy({ db, clock });
  const devices = createDevices({ db, clock, bus, tenancy });
  const sealer = createSealer(Buffer.alloc(32, 3));
  const logger = createLogger({ level: "silent" });
  const alerts = createAlerts({ db, clock, bus, sealer, logger });
  const settings = { heartbeatIntervalSeconds: intervalSeconds, maxDevices: 10_000_000 };
  await tenancy.tenants.create({ id: TENANT, name: TENANT, settings }, SYSTEM_ACTOR);
  const watch = createPresenceWatch({ clock, devices, alerts });
  let seq = 0;

  return {
    devices,
    alerts,
    watch,
    /** What the worker does every second. */
    async pass(): Promise<void> {
      await watch.begin();
      const now = new Date(clock.now());
      for (const tenant of await db.tenantsWith("due_presence", now)) await watch.expire(tenant);
      for (const tenant of await db.tenantsWith("presence_alerts", now))
        await watch.resolve(tenant);
      await watch.end();
      for (const tenant of await db.tenantsWith("due_health", now)) await devices.judgeDue(tenant);
    },
    /** Heartbeats of devices by their numbers, received now. */
    async beat(numbers: readonly number[]): Promise<void> {
      const receivedAt = clock.now();
      seq += 1;
      for (let from = 0; from < numbers.length; from += BATCH) {
        await devices.recordHeartbeats(
          numbers.slice(from, from + BATCH).map((number) => ({
            tenantId: TENANT,
            deviceId: deviceId(number),
            receivedAt,
            heartbeat: {
              ...{ ts: receivedAt, seq, bootId: "boot", uptimeSeconds: 1 },
              firmware: { version: "1.0.0", hash: HASH, slot: "a" },
            },
          })),
        );
      }
    },
  };
}

export function deviceId(number: number): string {
  return `d-${String(number).padStart(7, "0")}`;
}

/** Devices that were heard, spread over the interval before `nowMs`, and are well. */
export async function seedHeard(
  ownerUrl: string,
  count: number,
  { nowMs, intervalSeconds }: { nowMs: number; intervalSeconds: number },
): Promise<void> {
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  try {
    await client.query(
      `insert into devices (tenant_id, id, product, hardware_revision, region, created_at)
       select $1, 'd-' || lpad(n::text, 7, '0'), 'hub', 'a', 'r' || n % 8, now()
       from generate_series(0, $2::int - 1) n`,
      [TENANT, count],
    );
    await client.query(
      `update device_states set presence = 'online', health = 'healthy', firmware_version = '1.0.0',
         firmware_sha256 = $2, boot_id = 'boot', last_seen_at = heard, last_heartbeat_at = heard,
         presence_deadline_at = heard + make_interval(secs => 1.5 * $4::float8)
       from (select device_id as id, $3::timestamptz - make_interval(secs =>
               $4::float8 * substr(device_id, 3)::int / $5::float8) as heard
             from device_states where tenant_id = $1) h
       where tenant_id = $1 and device_id = h.id`,
      [TENANT, HASH, new Date(nowMs), intervalSeconds, count],
    );
    await client.query("vacuum analyze");
  } finally {
    await client.end();
  }
}
