import type { ClickHouseClient } from "@clickhouse/client";
import { FLEET_TABLES, ROLLUP_LEVELS, type RollupLevel } from "./readable.ts";
import { NOTHING_YET, type Progress, readProgress } from "./rollup-progress.ts";

/** Up to which pass of the devices' rollups the buckets of a fleet have seen them. */
export interface FleetKnown {
  /** All buckets. */
  all: number;
  /** Buckets from `from` on, milliseconds since the epoch: recent ones, and those of a look back. */
  recent: { from: number; pass: number };
  back: { from: number; pass: number };
}

const KNOWN_FOR_MS = 1_000;

/** How far the rollups of fleets have come, at most a second old: what is older is only read from devices' rows. */
export class FleetProgress {
  readonly #client: ClickHouseClient;
  #known: Progress = new Map();
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(client: ClickHouseClient) {
    this.#client = client;
  }

  async of(level: RollupLevel): Promise<FleetKnown> {
    const now = performance.now();
    if (now - this.#readAt >= KNOWN_FOR_MS) {
      this.#known = await readProgress(this.#client);
      this.#readAt = now;
    }
    const state = (name: "fleet" | "late" | "back") =>
      this.#known.get(`${name}-${level}`) ?? NOTHING_YET;
    const [recent, back] = [state("fleet"), state("back")];
    return {
      all: state("late").sourcePass,
      recent: { from: recent.receivedUntil, pass: recent.sourcePass },
      back: { from: back.receivedUntil, pass: back.sourcePass },
    };
  }
}

const COLUMNS = "count, min, max, sum, last, last_ts, sketch";
const at = (name: string) => `toDateTime(intDiv({${name}:Int64}, 1000), 'UTC')`;

/** The parameters of `fleetSource`. */
export function fleetParams({ all, recent, back }: FleetKnown): Record<string, number> {
  return {
    fleetAll: all,
    ...{ fleetRecentFrom: recent.from, fleetRecent: Math.max(all, recent.pass) },
    ...{ fleetBackFrom: back.from, fleetBack: Math.max(all, back.pass) },
  };
}

/**
 * Buckets of all devices as far as the fleet's own rows are up to date, and of the others the devices' rows.
 * `where` speaks of the tenant, the metric and the time, which both have.
 */
export function fleetSource(level: RollupLevel, final: boolean, where: string): string {
  const table = `telemetry_${level}`;
  const fleet = FLEET_TABLES[ROLLUP_LEVELS.indexOf(level)] as string;
  const suffix = final ? " final" : "";
  const seen = `greatest({fleetAll:UInt64},
    if(ts >= ${at("fleetRecentFrom")}, {fleetRecent:UInt64}, 0),
    if(ts >= ${at("fleetBackFrom")}, {fleetBack:UInt64}, 0))`;
  const changed = `(select distinct ts from ${table}
    where ${where} and pass > {fleetAll:UInt64} and pass > ${seen})`;
  const select = `select tenant_id, metric, ts, ${COLUMNS}`;
  return `(${select} from ${fleet}${suffix} where ${where} and ts not in ${changed}
    union all ${select} from ${table}${suffix} where ${where} and ts in ${changed})`;
}
