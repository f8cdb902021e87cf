import type { Bus } from "../bus/index.ts";
import type { Database } from "../db/index.ts";
import { INCIDENTS_KEPT_MS, TIMELINE_KEPT_MS } from "../devices/index.ts";
import { COLLECTION_GRACE_MS } from "../firmware/index.ts";
import type { Clock } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { type AlertingDeps, alertingJobs } from "./alerting-jobs.ts";
import { type CertificateWatchDeps, createCertificateWatch } from "./certificate-watch.ts";
import { type LanedJob, startLanedTicker } from "./laned-ticker.ts";
import { createPresenceWatch, type PresenceWatchDeps } from "./presence-watch.ts";
import { moveJob, type RetentionJobsDeps, retentionJob } from "./retention-jobs.ts";
import { type RollupJobsDeps, rollupJobs } from "./rollup-jobs.ts";
import { createRootListWatch, type RootListWatchDeps } from "./root-list-watch.ts";
import { createTenantLanes, type TenantLanes } from "./tenant-lanes.ts";
import { type Job, startTicker } from "./ticker.ts";

/** The parts of the modules that background work calls. */
export interface JobsDeps {
  db: Database;
  clock: Clock;
  bus: Bus;
  logger: Logger;
  devices: PresenceWatchDeps["devices"] & {
    forgetIncidents(tenantId: string, now: number): Promise<number>;
    judgeDue(tenantId: string): Promise<unknown>;
    fleet: { remember(tenantId: string): Promise<unknown> };
    forgetTimeline(tenantId: string, now: number): Promise<number>;
  };
  commands: { expireDue(tenantId: string, now: number): Promise<unknown> };
  firmware: {
    requeueInterruptedDeltas(): Promise<unknown>;
    buildNextDelta(tenantId: string): Promise<boolean>;
    uploads: { expire(tenantId: string): Promise<unknown> };
    collection: {
      collectArtifacts(tenantId: string): Promise<unknown>;
      collectBlobs(): Promise<unknown>;
    } & RetentionJobsDeps["firmware"]["collection"];
    renewMetadata(tenantId: string): Promise<unknown>;
    stop(): Promise<void>;
  };
  rollouts: { tick(tenantId: string, now: number): Promise<unknown> };
  alerts: PresenceWatchDeps["alerts"] &
    CertificateWatchDeps["alerts"] & {
      /** How many were due. */
      deliverDue(tenantId: string): Promise<number>;
      notifyDue(tenantId: string): Promise<number>;
    } & AlertingDeps["alerts"];
  alertRules: AlertingDeps["alertRules"];
  identity: CertificateWatchDeps["identity"] & {
    forgetOldStandings(): Promise<void>;
    acme: { renewIfDue(): Promise<void> };
    pki: RootListWatchDeps["pki"];
  };
  rotationCampaigns: { tick(tenantId: string): Promise<void> };
  detectors: { runOnce(): Promise<unknown>; stop(): Promise<void> };
  timeseries: RollupJobsDeps["timeseries"] & RetentionJobsDeps["timeseries"];
  tenancy: RetentionJobsDeps["tenancy"] & {
    usage: { measure(tenantId: string): Promise<void> };
  };
  auditStreams: { deliverDue(tenantId: string): Promise<unknown> };
  tenantData: { deleteDue(): Promise<number>; sweepGone(): Promise<number> };
  auditCheckpoints: {
    sign(tenantId: string): Promise<unknown>;
    forgetOld(tenantId: string): Promise<unknown>;
  };
}

export interface Jobs {
  stop(): Promise<void>;
}

/** A chain that moves is signed this often, so that so much of its end at most is not. */
const AUDIT_SIGNED_EVERY_MS = 3_600_000;
/** A look at the whole fleet costs the fleet: a second for a million devices. */
const HISTORY_EVERY_MS = 600_000;
/** What is younger no tenant's setting deletes. */
const AUDIT_KEPT_MS = 90 * 86_400_000;

/** Tenants whose rollouts are moved on at once: planning for a large fleet takes a while. */
const ROLLOUT_LANES = 4;
/** Tenants of whom a delta is being built at once; of each it is one. */
const DELTA_LANES = 3;

/** Tenants whose receivers are told of something at once: it is waiting for them, and little else. */
const TELLING_LANES = 32;

/** Starts all background work: each job looks only at tenants that have something due. */
export async function startJobs(deps: JobsDeps): Promise<Jobs> {
  const { db, clock, bus } = deps;
  // A restart of the platform is no fault of the devices: their deadlines start anew.
  const presence = createPresenceWatch(deps);
  await presence.begin();
  await deps.firmware.requeueInterruptedDeltas();

  const watchCertificates = createCertificateWatch(deps);
  const rolloutLanes = createTenantLanes({
    ...{ name: "rollouts", atOnce: ROLLOUT_LANES, clock, logger: deps.logger },
    work: async (tenantId) => void (await deps.rollouts.tick(tenantId, clock.now())),
    ended: (someWait) => someWait && rolloutTicker.wake(),
  });
  const deltaLanes = createTenantLanes({
    ...{ name: "deltas", atOnce: DELTA_LANES, clock, logger: deps.logger },
    async work(tenantId) {
      const built = await deps.firmware.buildNextDelta(tenantId);
      if (built) bus.publish("rollout._.deltas", {});
      return built;
    },
    ended: (hasMore) => hasMore && deltaTicker.wake(),
  });
  const jobs: Job[] = [
    {
      name: "presence",
      everyMs: 1_000,
      async run() {
        await presence.begin();
        try {
          await forTenants("due_presence", (tenantId) => presence.expire(tenantId));
        } catch (error) {
          // Trouble of single tenants is not the platform's absence.
          if (error instanceof AggregateError) await presence.end();
          throw error;
        }
        await presence.end();
      },
    },
    {
      name: "health",
      everyMs: 1_000,
      run: () => forTenants("due_health", (tenantId) => deps.devices.judgeDue(tenantId)),
    },
    {
      name: "presence-alerts",
      everyMs: 2_000,
      run: () => forTenants("presence_alerts", (tenantId) => presence.resolve(tenantId)),
    },
    {
      name: "commands",
      everyMs: 500,
      run: () =>
        forTenants("due_commands", (tenantId) => deps.commands.expireDue(tenantId, clock.now())),
    },
    {
      name: "expired-uploads",
      everyMs: 60_000,
      run: () =>
        forTenants("expired_uploads", (tenantId) => deps.firmware.uploads.expire(tenantId)),
    },
    {
      // Timestamps are short-lived on purpose: signed anew long before they end.
      name: "metadata",
      everyMs: 60_000,
      run: () => forTenants("due_metadata", (tenantId) => deps.firmware.renewMetadata(tenantId)),
    },
    {
      name: "blob-collection",
      everyMs: 3_600_000,
      async run() {
        const { collection } = deps.firmware;
        await forTenants(
          "unused_artifacts",
          (tenantId) => collection.collectArtifacts(tenantId),
          clock.now() - COLLECTION_GRACE_MS,
        );
        await collection.collectBlobs();
      },
    },
    ...alertingJobs(deps, forTenants),
    ...auditJobs(),
    {
      name: "tenant-deletions",
      everyMs: 10_000,
      async run() {
        await deps.tenantData.deleteDue();
      },
    },
    {
      name: "gone-tenants",
      everyMs: 3_600_000,
      run: async () => void (await deps.tenantData.sweepGone()),
    },
    {
      name: "use",
      everyMs: 300_000,
      async run() {
        for (const { id } of await deps.tenancy.tenants.list()) {
          await deps.tenancy.usage.measure(id);
        }
      },
    },
    {
      name: "old-incidents",
      everyMs: 3_600_000,
      run: () =>
        forTenants(
          "old_incidents",
          (tenantId) => deps.devices.forgetIncidents(tenantId, clock.now()),
          clock.now() - INCIDENTS_KEPT_MS,
        ),
    },
    {
      name: "fleet-history",
      everyMs: 30_000,
      run: () =>
        forTenants(
          "stale_history",
          (tenantId) => deps.devices.fleet.remember(tenantId),
          clock.now() - HISTORY_EVERY_MS,
        ),
    },
    {
      name: "old-timeline",
      everyMs: 3_600_000,
      run: () =>
        forTenants(
          "old_timeline",
          (tenantId) => deps.devices.forgetTimeline(tenantId, clock.now()),
          clock.now() - TIMELINE_KEPT_MS,
        ),
    },
    {
      name: "rotation-campaigns",
      everyMs: 1_000,
      run: () =>
        forTenants("running_campaigns", (tenantId) => deps.rotationCampaigns.tick(tenantId)),
    },
    {
      name: "certificates",
      everyMs: 60_000,
      run: () => forTenants("certificates", watchCertificates),
    },
    {
      name: "old-standings",
      everyMs: 3_600_000,
      run: () => deps.identity.forgetOldStandings(),
    },
    { name: "root-list", everyMs: 3_600_000, run: createRootListWatch(deps.identity, deps.logger) },
    { name: "acme", everyMs: 5_000, run: () => deps.identity.acme.renewIfDue() },
    ...rollupJobs(deps),
    retentionJob(deps),
    moveJob(deps),
    { name: "detectors", everyMs: 5_000, run: async () => void (await deps.detectors.runOnce()) },
  ];
  const inLanes = (what: "due_rollouts" | "open_deltas", lanes: TenantLanes, everyMs: number) => ({
    ...{ name: what === "due_rollouts" ? "rollouts" : "deltas", everyMs },
    run: async () => lanes.begin(await db.tenantsWith(what, new Date(clock.now()))),
  });
  const rolloutTicker = startTicker(inLanes("due_rollouts", rolloutLanes, 500), deps);
  const deltaTicker = startTicker(inLanes("open_deltas", deltaLanes, 250), deps);
  const telling: LanedJob[] = [
    {
      ...{ name: "webhooks", everyMs: 1_000, atOnce: TELLING_LANES },
      due: () => db.tenantsWith("due_deliveries", new Date(clock.now())),
      work: async (tenantId) => (await deps.alerts.deliverDue(tenantId)) > 0,
    },
    {
      ...{ name: "alert-notifications", everyMs: 500, atOnce: TELLING_LANES },
      due: () => db.tenantsWith("due_notifications", new Date(clock.now())),
      work: async (tenantId) => (await deps.alerts.notifyDue(tenantId)) > 0,
    },
    {
      ...{ name: "audit-streams", everyMs: 1_000, atOnce: TELLING_LANES },
      due: () => db.tenantsWith("due_audit_streams", new Date(clock.now())),
      work: async (tenantId) => {
        await deps.auditStreams.deliverDue(tenantId);
        return false;
      },
    },
  ];
  const tickers = [
    ...[rolloutTicker, deltaTicker],
    ...jobs.map((job) => startTicker(job, deps)),
    ...telling.map((job) => startLanedTicker(job, deps)),
  ];
  const unsubscribe = bus.subscribe("rollout.>", () => rolloutTicker.wake());
  return {
    async stop() {
      unsubscribe();
      await Promise.all(tickers.map((ticker) => ticker.stop()));
      await deps.detectors.stop();
      await deps.firmware.stop();
      await Promise.all([rolloutLanes.idle(), deltaLanes.idle()]);
    },
  };

  /** One tenant's trouble holds up no other; the job counts as failed all the same. */
  async function forTenants(
    what: Parameters<Database["tenantsWith"]>[0],
    work: (tenantId: string) => Promise<unknown>,
    dueAt = clock.now(),
  ): Promise<void> {
    const errors: unknown[] = [];
    for (const tenantId of await db.tenantsWith(what, new Date(dueAt))) {
      try {
        await work(tenantId);
      } catch (error) {
        deps.logger.warn({ tenantId, what, err: error }, "a job failed for a tenant");
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, `${errors.length} tenants: ${what}`);
  }

  function auditJobs(): Job[] {
    const { auditCheckpoints } = deps;
    return [
      {
        name: "audit-checkpoints",
        everyMs: 60_000,
        run: () =>
          forTenants(
            "unsigned_audit",
            (tenantId) => auditCheckpoints.sign(tenantId),
            clock.now() - AUDIT_SIGNED_EVERY_MS,
          ),
      },
      {
        name: "old-audit",
        everyMs: 3_600_000,
        run: () =>
          forTenants(
            "old_audit",
            (tenantId) => auditCheckpoints.forgetOld(tenantId),
            clock.now() - AUDIT_KEPT_MS,
          ),
      },
    ];
  }
}
