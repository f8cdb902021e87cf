import { type Random, randomInteger } from "../../../src/kernel/random.ts";
import { TENANT, type World } from "./world.ts";

export interface Image {
  version: string;
  hash: string;
  counter: number;
}

/** What the fleet's devices are, and what they have on flash. */
export interface Unit {
  index: number;
  id: string;
  hardware: string;
  running: Image;
  other: Image | null;
  /** Security counter below which it starts nothing any more. */
  floor: number;
  boot: number;
  sequence: number;
  isOnline: boolean;
  /** The update that it is about, and whether it can still be stopped. */
  busy: { updateId: string; canStop: boolean } | null;
  /** What goes on when it is back on line. */
  waiting: (() => void)[];
  /** Bricked devices come back from repair with what they were made with. */
  isBricked: boolean;
}

const REGIONS = ["eu", "us", "ap"];
const ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"];
const HARDWARE = ["a", "a", "a", "a", "b", "b", "c"];

/** A fleet of three hardware revisions, 200 sites and four time zones, all on the first image. */
export async function createUnits(
  world: World,
  size: number,
  first: Image,
  random: Random,
): Promise<Unit[]> {
  const units = Array.from({ length: size }, (_, index): Unit => {
    const hardware = HARDWARE[randomInteger(random, HARDWARE.length)] as string;
    return {
      index,
      id: `y-${String(index).padStart(6, "0")}`,
      hardware,
      running: first,
      other: null,
      floor: first.counter,
      boot: 0,
      sequence: 0,
      isOnline: true,
      busy: null,
      waiting: [],
      isBricked: false,
    };
  });
  const at = new Date(world.clock.now());
  await world.owner.query(
    `insert into devices (tenant_id, id, product, hardware_revision, region, tags, created_at)
     select $1, u.id, 'hub', u.hardware, u.region,
            jsonb_build_object('site', u.site, 'timezone', u.zone), $2
     from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
       as u(id, hardware, region, site, zone)`,
    [
      TENANT,
      at,
      units.map((unit) => unit.id),
      units.map((unit) => unit.hardware),
      units.map((unit) => REGIONS[unit.index % REGIONS.length]),
      units.map((unit) => `site-${unit.index % 200}`),
      units.map((unit) => ZONES[unit.index % ZONES.length]),
    ],
  );
  await world.owner.query(
    `update device_states set presence = 'online', connected = true, firmware_version = $2,
       firmware_sha256 = $3, last_heartbeat_at = $4, last_seen_at = $4, formats = '{full}'
     where tenant_id = $1`,
    [TENANT, first.version, first.hash, at],
  );
  await world.owner.query("analyze devices, device_states");
  return units;
}

/** As the gateway and the watch over presence write it, for many devices at once. */
export async function writeOnline(world: World, units: readonly Unit[]): Promise<void> {
  if (units.length === 0) return;
  await world.owner.query(
    `update device_states s set connected = u.online,
       presence = case when u.online then 'online' else 'offline' end,
       last_seen_at = $2, last_heartbeat_at = case when u.online then $2 else last_heartbeat_at end
     from unnest($3::text[], $4::bool[]) as u(id, online)
     where s.tenant_id = $1 and s.device_id = u.id`,
    [
      TENANT,
      new Date(world.clock.now()),
      units.map((unit) => unit.id),
      units.map((unit) => unit.isOnline),
    ],
  );
}
