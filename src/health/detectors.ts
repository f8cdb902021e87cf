import { type Clock, messageOf } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter, gauge } from "../kernel/metrics.ts";
import type { NewPoints, Watermark } from "../telemetry/index.ts";
import { SeriesSlab } from "./series-slab.ts";
import { type AlertChange, TenantWatch } from "./tenant-watch.ts";

export interface DetectorsDeps {
  telemetry: {
    pointsSince(tenantId: string, watermark: Watermark, limit: number): Promise<NewPoints>;
  };
  alerts: {
    raise(tenantId: string, report: AlertReport): Promise<unknown>;
    resolve(tenantId: string, key: string): Promise<unknown>;
  };
  clock: Clock;
  logger: Logger;
  tenantsToWatch(): Promise<readonly string[]>;
  /** Device id -> its cohort (product, hardware, region, firmware); without it, all are peers. */
  cohorts?(tenantId: string): Promise<ReadonlyMap<string, string>>;
  /** Length of the slices of time in which devices are compared. */
  slotMs?: number;
}

export interface AlertReport {
  key: string;
  kind: string;
  severity: "info" | "warning" | "critical";
  title: string;
  subjectKind: string;
  subjectId: string;
  details: Record<string, unknown>;
}

export interface Detectors {
  /** Looks at what came in since the last time and raises or resolves alerts. */
  runOnce(): Promise<{ points: number; raised: number; resolved: number }>;
}

const DEFAULT_SLOT_MS = 60_000;
/** On its first run the detector learns from this much of the past, silently. */
const WARM_UP_MS = 24 * 3_600_000;
const POINTS_PER_READ = 20_000;
const READS_PER_RUN = 10;
const MAX_SERIES = 500_000;
const MAX_TENANTS = 10_000;
const COHORTS_EVERY_MS = 60_000;

const examined = counter("vautn_detector_points_total", "Points that the detectors looked at");
const found = counter("vautn_detector_alerts_total", "Alerts by the detectors", ["change"]);
const series = gauge("vautn_detector_series", "Series that the detectors follow");

interface Followed {
  watch: TenantWatch;
  watermark: Watermark;
  cohortsReadAt: number;
}

/** Follows every tenant's telemetry and alerts on what is unusual for a device and for its peers. */
export function createDetectors(deps: DetectorsDeps): Detectors {
  const { clock, logger } = deps;
  const slab = new SeriesSlab(MAX_SERIES);
  const followed = new Map<string, Followed>();
  const slotMs = deps.slotMs ?? DEFAULT_SLOT_MS;

  return {
    async runOnce() {
      const total = { points: 0, raised: 0, resolved: 0 };
      for (const tenantId of (await deps.tenantsToWatch()).slice(0, MAX_TENANTS)) {
        try {
          const done = await runTenant(tenantId);
          total.points += done.points;
          total.raised += done.raised;
          total.resolved += done.resolved;
        } catch (error) {
          // One tenant's trouble is not the next one's; the watermark stays where it was.
          logger.warn({ tenantId, error: messageOf(error) }, "the detectors could not run");
        }
      }
      series.set(slab.size);
      return total;
    },
  };

  async function runTenant(tenantId: string) {
    const state = follow(tenantId);
    const done = { points: 0, raised: 0, resolved: 0 };
    if (deps.cohorts && clock.now() - state.cohortsReadAt >= COHORTS_EVERY_MS) {
      state.watch.setCohorts(await deps.cohorts(tenantId));
      state.cohortsReadAt = clock.now();
    }
    for (let read = 0; read < READS_PER_RUN; read += 1) {
      const next = await deps.telemetry.pointsSince(tenantId, state.watermark, POINTS_PER_READ);
      const changes = state.watch.take(next.points);
      state.watermark = next.watermark;
      done.points += next.points.length;
      examined.inc(next.points.length);
      for (const change of changes) await carryOut(tenantId, change, done);
      if (next.points.length < POINTS_PER_READ) break;
    }
    return done;
  }

  async function carryOut(
    tenantId: string,
    change: AlertChange,
    done: { raised: number; resolved: number },
  ): Promise<void> {
    found.inc({ change: change.kind });
    if (change.kind === "raise") {
      await deps.alerts.raise(tenantId, change.report);
      done.raised += 1;
    } else {
      await deps.alerts.resolve(tenantId, change.key);
      done.resolved += 1;
    }
  }

  function follow(tenantId: string): Followed {
    let state = followed.get(tenantId);
    if (!state) {
      const now = clock.now();
      state = {
        watch: new TenantWatch({ tenantId, slab, slotMs, liveFrom: now - slotMs }),
        watermark: { receivedAt: now - WARM_UP_MS, deviceId: "", metric: "", ts: 0 },
        cohortsReadAt: Number.NEGATIVE_INFINITY,
      };
      followed.set(tenantId, state);
    }
    return state;
  }
}
