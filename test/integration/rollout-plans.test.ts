import { sql } from "kysely";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRolloutFleet, type RolloutFleet } from "../support/rollout-fleet.ts";

const DEVICES = 20_000;

let f: RolloutFleet;
let id: string;

/** A fleet large enough that reading it from end to end would cost something. */
beforeAll(async () => {
  f = await createRolloutFleet({ devices: 1 });
  const client = new pg.Client({ connectionString: f.superuserUrl });
  await client.connect();
  await client.query(
    `insert into devices (tenant_id, id, product, hardware_revision, region, created_at)
     select $1, 'x-' || n, 'hub', 'a', 'eu', now() from generate_series(1, $2::int) n`,
    [f.tenant, DEVICES],
  );
  await client.query(
    `update device_states set presence = 'online', firmware_version = '1.0.0',
       firmware_sha256 = $2 where tenant_id = $1`,
    [f.tenant, f.first.imageSha256],
  );
  await client.query("analyze");
  id = await f.create((await f.publish("1.1.0")).id, {
    disruption: { atMost: 1 },
    window: { from: "00:00", to: "12:00" },
  });
  await client.query("analyze");
  await client.end();
});

afterAll(() => f.close());

const HOT: Record<string, () => ReturnType<typeof sql>> = {
  "the next devices": () => sql`
    select device_id from rollout_devices
    where tenant_id = ${f.tenant} and rollout_id = ${id} and state = 'pending'
      and stage_index <= 1 order by stage_index, ordinal limit 500`,
  "overdue devices": () => sql`
    select device_id from rollout_devices
    where tenant_id = ${f.tenant} and rollout_id = ${id} and phase_deadline_at <= now()
    order by phase_deadline_at limit 500`,
  "rollouts with overdue devices": () => sql`
    select distinct rollout_id from rollout_devices
    where tenant_id = ${f.tenant} and phase_deadline_at <= now() limit 100`,
  "devices that are busy": () => sql`
    select site, count(*) from rollout_devices
    where tenant_id = ${f.tenant} and rollout_id = ${id} and phase_deadline_at is not null
    group by site`,
  "the first zone": () => sql`
    select min(zone) from rollout_devices where tenant_id = ${f.tenant} and rollout_id = ${id}
      and state = 'pending' and zone is not null`,
  "devices to try again": () => sql`
    select device_id from rollout_devices where tenant_id = ${f.tenant} and rollout_id = ${id}
      and state in ('failed', 'fell-back', 'rejected', 'silent') and finished_at <= now()
    order by finished_at limit 500`,
  "devices on a stepping stone": () => sql`
    select device_id from rollout_devices where tenant_id = ${f.tenant} and rollout_id = ${id}
      and state = 'succeeded' and hops_left > 0 order by device_id limit 500`,
  "what a device is to do": () => sql`
    select rollout_id from rollout_devices where tenant_id = ${f.tenant} and device_id = 'x-77'
      and state in ('offered', 'downloading', 'installing', 'rebooting', 'confirming')`,
  "devices by their updates": () => sql`
    select device_id from rollout_devices where tenant_id = ${f.tenant} and state <> 'pending'
      and update_id = any(array['00000000-0000-4000-8000-000000000000'::uuid])`,
  "all updates of a device": () => sql`
    select update_id from rollout_devices d
    join rollouts r on r.tenant_id = d.tenant_id and r.id = d.rollout_id
    where d.tenant_id = ${f.tenant} and d.device_id = 'x-77' order by r.created_at desc limit 50`,
  "offers that nobody was told of": () => sql`
    select device_id from rollout_devices where tenant_id = ${f.tenant} and rollout_id = ${id}
      and state = 'offered' and phase_deadline_at is null and ordinal >= 0 and ordinal < 5000
    order by ordinal`,
  "canaries that are silent": () => sql`
    select count(*) from rollout_devices where tenant_id = ${f.tenant} and rollout_id = ${id}
      and stage_index = 0 and is_absent and state in ('confirming', 'succeeded')
      and excluded_reason is null`,
  "devices for a pair": () => sql`
    select m.device_id from rollout_stages g
    join rollout_devices m on m.tenant_id = g.tenant_id and m.rollout_id = g.rollout_id
      and m.stage_index = g.stage_index and m.ordinal >= 500 and m.ordinal < 1500
    where g.tenant_id = ${f.tenant} and g.rollout_id = ${id} and m.state = 'pending'
    order by m.ordinal`,
  "a page of those that wait": () => sql`
    select device_id from rollout_devices where tenant_id = ${f.tenant} and rollout_id = ${id}
      and state = 'pending' and (stage_index, ordinal) > (1, 700)
    order by stage_index, ordinal limit 101`,
  "a page of those that have begun": () => sql`
    select device_id from rollout_devices where tenant_id = ${f.tenant} and rollout_id = ${id}
      and state <> 'pending' and (stage_index, ordinal) > (1, 700)
    order by stage_index, ordinal limit 101`,
  "the last place": () => sql`
    select max(ordinal) from rollout_devices where tenant_id = ${f.tenant} and rollout_id = ${id}
      and stage_index = 1 and state = 'pending'`,
  "lost connections": () => sql`
    select device_id from device_states where tenant_id = ${f.tenant}
      and disconnected_at > now() order by disconnected_at limit 5000`,
};

describe("a rollout of many devices", () => {
  it.each(Object.keys(HOT))("finds %s by an index", async (what) => {
    const plan = await f.db.tenant(f.tenant, async (tx) => {
      const query = (HOT[what] as (typeof HOT)[string])();
      const { rows } = await sql<Record<string, string>>`explain ${query}`.execute(tx);
      return rows.map((row) => Object.values(row)[0]).join("\n");
    });
    expect(plan).toMatch(/Index/);
    // Of rollouts and their stages there are so few here that reading them all is the quickest.
    expect(plan).not.toMatch(/Seq Scan on (?!rollouts |rollout_stages )/);
  });
});
