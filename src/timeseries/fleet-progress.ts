import { FLEET_TABLES, ROLLUP_LEVELS, type RollupLevel } from "./readable.ts";
import { NOTHING_YET, type Progress } from "./rollup-progress.ts";

/** Up to which pass of the devices' rollups the buckets of a fleet have seen them. */
export interface FleetKnown {
  /** All buckets. */
  all: number;
  /** Buckets from `from` on, milliseconds since the epoch: recent ones, and those of a look back. */
  recent: { from: number; pass: number };
  back: { from: number; pass: number };
}

export function fleetKnown(progress: Progress, level: RollupLevel): FleetKnown {
  const state = (name: "fleet" | "late" | "back") =>
    progress.get(`${name}-${level}`) ?? NOTHING_YET;
  const [recent, back] = [state("fleet"), state("back")];
  return {
    all: state("late").sourcePass,
    recent: { from: recent.receivedUntil, pass: recent.sourcePass },
    back: { from: back.receivedUntil, pass: back.sourcePass },
  };
}

const COLUMNS = "count, min, max, sum, last, last_ts, sketch";
const at = (name: string) => `toDateTime(intDiv({${name}:Int64}, 1000), 'UTC')`;

/** With more buckets than these the devices' rows alone are read. */
export const MAX_CHANGED = 5_000;

/** Conditions on the devices' rollups that the fleet's own rows have not seen, and their parameters. */
export function unseenByFleet({ all, recent, back }: FleetKnown) {
  const seen = `greatest({fleetAll:UInt64},
    if(ts >= ${at("fleetRecentFrom")}, {fleetRecent:UInt64}, 0),
    if(ts >= ${at("fleetBackFrom")}, {fleetBack:UInt64}, 0))`;
  return {
    where: ["pass > {fleetAll:UInt64}", `pass > ${seen}`],
    params: {
      fleetAll: all,
      ...{ fleetRecentFrom: recent.from, fleetRecent: Math.max(all, recent.pass) },
      ...{ fleetBackFrom: back.from, fleetBack: Math.max(all, back.pass) },
    },
  };
}

/**
 * Buckets of all devices from the fleet's own rows, and those of `changed` (seconds since the epoch, the
 * parameter of that name) from the devices'. `where` speaks of what both have: tenant, metric and time.
 * Where nothing has changed the devices' rows are not mentioned: FINAL would read them before it finds none.
 */
export function fleetSource(
  level: RollupLevel,
  final: boolean,
  where: string,
  changed: readonly number[],
): string {
  const suffix = final ? " final" : "";
  const fleet = FLEET_TABLES[ROLLUP_LEVELS.indexOf(level)] as string;
  const rows = (table: string, condition: string) =>
    `select tenant_id, metric, ts, ${COLUMNS} from ${table}${suffix} where ${where}${condition}`;
  if (changed.length === 0) return `(${rows(fleet, "")})`;
  const devices = `telemetry_${level}`;
  if (changed.length > MAX_CHANGED) return `(${rows(devices, "")})`;
  const buckets = "arrayMap(at -> toDateTime(at, 'UTC'), {changed:Array(UInt32)})";
  return `(${rows(fleet, ` and ts not in ${buckets}`)}
    union all ${rows(devices, ` and ts in ${buckets}`)})`;
}
