import { type Clock, messageOf } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter, gauge } from "../kernel/metrics.ts";
import type { NewPoints, Watermark } from "../telemetry/index.ts";
import type { AlertReport } from "./alert-reports.ts";
import type { MetricRules } from "./metric-rules.ts";
import type { SnapshotStore } from "./snapshot-store.ts";
import {
  type AlertsSnapshot,
  decodeAlerts,
  decodeSnapshot,
  encodeSnapshot,
  type Snapshot,
} from "./snapshots.ts";
import { type AlertChange, type Cohort, TenantWatch } from "./tenant-watch.ts";
import type { WatchShares } from "./watch-shares.ts";

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
  /** With whom each device is compared. */
  cohorts(tenantId: string): Promise<ReadonlyMap<string, Cohort>>;
  /** Which metrics are followed, and from which score on. */
  rules?(tenantId: string): Promise<MetricRules>;
  snapshots: SnapshotStore;
  /** How the tenants are divided among several workers; without it all of them are followed here. */
  shares?: WatchShares;
  /** Length of the slices of time in which devices are compared. */
  slotMs?: number;
}

export interface Detectors {
  /** Looks at what came in since the last time and raises or resolves alerts. */
  runOnce(): Promise<{ points: number; raised: number; resolved: number }>;
  /** Keeps what is known for the next start. */
  stop(): Promise<void>;
}

const DEFAULT_SLOT_MS = 60_000;
/** On its first run the detector learns from this much of the past, silently. */
const WARM_UP_MS = 24 * 3_600_000;
const POINTS_PER_READ = 20_000;
const READS_PER_RUN = 10;
/** Series of one tenant, and of all of them. */
const MAX_TENANT_SERIES = 200_000;
const MAX_SERIES = 500_000;
const MAX_TENANTS = 10_000;
const COHORTS_EVERY_MS = 60_000;
/** What comes after the last save is read again after a crash. */
const SAVE_EVERY_MS = 300_000;
/** An alert that has been raised or resolved is kept sooner, so that it is not told twice. */
const SAVE_AFTER_CHANGE_MS = 30_000;

const examined = counter("vautn_detector_points_total", "Points that the detectors looked at");
const found = counter("vautn_detector_alerts_total", "Alerts by the detectors", ["change"]);
const series = gauge("vautn_detector_series", "Series that the detectors follow");

interface Followed {
  watch: TenantWatch;
  watermark: Watermark;
  cohortsReadAt: number;
  savedAt: number;
  /** Changes that the watch has made and the alerts have not heard of yet. */
  pending: AlertChange[];
  unsaved: "nothing" | "points" | "alerts";
}

/** Follows every tenant's telemetry and alerts on what is unusual for a device and for its peers. */
export function createDetectors(deps: DetectorsDeps): Detectors {
  const { clock, logger } = deps;
  const followed = new Map<string, Followed>();
  const slotMs = deps.slotMs ?? DEFAULT_SLOT_MS;

  return {
    async runOnce() {
      const total = { points: 0, raised: 0, resolved: 0 };
      const tenants = (await deps.tenantsToWatch()).slice(0, MAX_TENANTS);
      const wanted = (await deps.shares?.divide(tenants, clock.now())) ?? new Set(tenants);
      for (const [tenantId, state] of followed) {
        if (!wanted.has(tenantId)) await handOver(tenantId, state, tenants.includes(tenantId));
      }
      for (const tenantId of tenants) {
        if (!wanted.has(tenantId)) continue;
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
      series.set(seriesInUse());
      return total;
    },

    async stop() {
      for (const [tenantId, state] of followed) await keep(tenantId, state);
      await deps.shares?.leave();
    },
  };

  /** Another worker goes on where this one ends. */
  async function handOver(tenantId: string, state: Followed, exists: boolean): Promise<void> {
    followed.delete(tenantId);
    if (exists) await keep(tenantId, state);
    await deps.shares?.giveUp(tenantId);
  }

  /** With changes untold the last save is the better one: what follows it is read again. */
  async function keep(tenantId: string, state: Followed): Promise<void> {
    if (state.unsaved === "nothing" || state.pending.length > 0) return;
    await save(tenantId, state).catch((error) => {
      logger.warn({ tenantId, error: messageOf(error) }, "the detectors could not be kept");
    });
  }

  async function runTenant(tenantId: string) {
    const state = followed.get(tenantId) ?? (await follow(tenantId));
    const done = { points: 0, raised: 0, resolved: 0 };
    await carryOut(tenantId, state, done);
    if (clock.now() - state.cohortsReadAt >= COHORTS_EVERY_MS) {
      state.watch.setCohorts(await deps.cohorts(tenantId));
      if (deps.rules) state.watch.setRules(await deps.rules(tenantId));
      state.cohortsReadAt = clock.now();
    }
    for (let read = 0; read < READS_PER_RUN; read += 1) {
      const next = await deps.telemetry.pointsSince(tenantId, state.watermark, POINTS_PER_READ);
      state.pending.push(...state.watch.take(next.points, clock.now()));
      state.watermark = next.watermark;
      done.points += next.points.length;
      examined.inc(next.points.length);
      if (next.points.length > 0 && state.unsaved === "nothing") state.unsaved = "points";
      await carryOut(tenantId, state, done);
      if (next.points.length < POINTS_PER_READ) break;
    }
    state.pending.push(...state.watch.settle(clock.now()));
    await carryOut(tenantId, state, done);
    const age = clock.now() - state.savedAt;
    const due = state.unsaved === "alerts" ? SAVE_AFTER_CHANGE_MS : SAVE_EVERY_MS;
    if (state.unsaved !== "nothing" && age >= due) await save(tenantId, state);
    return done;
  }

  /** What fails stays pending, for the watch takes it for told. */
  async function carryOut(
    tenantId: string,
    state: Followed,
    done: { raised: number; resolved: number },
  ): Promise<void> {
    for (let change = state.pending[0]; change; change = state.pending[0]) {
      if (change.kind === "raise") {
        await deps.alerts.raise(tenantId, change.report);
        done.raised += 1;
      } else {
        await deps.alerts.resolve(tenantId, change.key);
        done.resolved += 1;
      }
      found.inc({ change: change.kind });
      state.pending.shift();
      state.unsaved = "alerts";
    }
  }

  async function follow(tenantId: string): Promise<Followed> {
    const now = clock.now();
    const maxSeries = Math.max(0, Math.min(MAX_TENANT_SERIES, MAX_SERIES - seriesInUse()));
    const state: Followed = {
      watch: new TenantWatch({ maxSeries, slotMs, liveFrom: now - slotMs }),
      watermark: { receivedAt: now - WARM_UP_MS, deviceId: "", metric: "", ts: 0 },
      cohortsReadAt: Number.NEGATIVE_INFINITY,
      savedAt: now,
      pending: [],
      unsaved: "nothing",
    };
    const { kept, alerts } = await load(tenantId);
    if (kept?.watch.slotMs === slotMs) {
      // After a long stop the last day is read again, and is nobody's news any more.
      const isRecent = kept.watermark.receivedAt > state.watermark.receivedAt;
      const liveFrom = isRecent ? kept.watch.liveFrom : now - slotMs;
      state.watch.restore({ ...kept.watch, liveFrom });
      if (isRecent) state.watermark = kept.watermark;
    } else if (alerts) state.watch.restoreAlerts(alerts);
    followed.set(tenantId, state);
    return state;
  }

  async function load(tenantId: string): Promise<{ kept?: Snapshot; alerts?: AlertsSnapshot }> {
    const bytes = await deps.snapshots.load(tenantId);
    if (!bytes) return {};
    try {
      const kept = await decodeSnapshot(bytes);
      if (kept) return { kept };
      const alerts = await decodeAlerts(bytes);
      return alerts ? { alerts } : {};
    } catch (error) {
      logger.warn({ tenantId, error: messageOf(error) }, "what the detectors knew is unreadable");
      return {};
    }
  }

  async function save(tenantId: string, state: Followed): Promise<void> {
    // Held up for longer than the lease, this is the past of what another worker knows by now.
    if (deps.shares?.holds(tenantId, clock.now()) === false) return;
    const { watermark } = state;
    const bytes = await encodeSnapshot({ watermark, watch: state.watch.snapshot() });
    await deps.snapshots.save(tenantId, bytes, new Date(clock.now()));
    state.savedAt = clock.now();
    state.unsaved = "nothing";
  }

  function seriesInUse(): number {
    return [...followed.values()].reduce((sum, { watch }) => sum + watch.series, 0);
  }
}
