import { subjects } from "../bus/index.ts";
import type { DevicesDeps } from "./deps.ts";
import {
  type DueHealth,
  HEALTH_BATCH,
  type Judged,
  setHealthDue,
  takeDueHealth,
  writeHealth,
} from "./device-health-store.ts";
import { judgeHealth } from "./health.ts";
import { deleteOldEntries, readTimeline } from "./timeline-store.ts";
import type { TimelineEntry } from "./types.ts";

/** Batches of one call: the rest comes with the next. */
const MAX_BATCHES = 20;
/** How long a timeline reaches back, and how many entries go at once when they are older. */
export const TIMELINE_KEPT_MS = 90 * 86_400_000;
const FORGET_BATCH = 10_000;

export interface HealthReports {
  /** Judges the devices about which something has changed; returns how many have another health. */
  judgeDue(tenantId: string): Promise<number>;
  /** Something outside of this module, e.g. an alert, speaks about a device. */
  reconsider(tenantId: string, deviceIds: readonly string[]): Promise<void>;
  /** What has happened to a device, the newest first. */
  timeline(
    tenantId: string,
    deviceId: string,
    options: { before: { at: string; id: string } | undefined; limit: number },
  ): Promise<TimelineEntry[]>;
  /** Deletes a batch of what is too old; returns how many. */
  forgetTimeline(tenantId: string, nowMs: number): Promise<number>;
}

export function createHealthReports({ db, clock, bus }: DevicesDeps): HealthReports {
  return {
    async judgeDue(tenantId) {
      let changed = 0;
      for (let batch = 0; batch < MAX_BATCHES; batch += 1) {
        const now = clock.now();
        const judged = await db.tenant(tenantId, async (tx) => {
          const due = await takeDueHealth(tx, tenantId, now);
          const verdicts = due.map((device) => judge(device, now));
          if (verdicts.length > 0) await writeHealth(tx, tenantId, verdicts, now);
          return verdicts;
        });
        for (const { deviceId, health, isChange } of judged) {
          if (!isChange) continue;
          changed += 1;
          bus.publish(subjects.fleet(tenantId), { deviceId, health });
        }
        if (judged.length < HEALTH_BATCH) break;
      }
      return changed;
    },

    async reconsider(tenantId, deviceIds) {
      if (deviceIds.length === 0) return;
      await db.tenant(tenantId, (tx) => setHealthDue(tx, deviceIds, new Date(clock.now())));
    },

    timeline: (tenantId, deviceId, options) =>
      db.tenant(tenantId, (tx) => readTimeline(tx, tenantId, deviceId, options)),

    forgetTimeline: (tenantId, nowMs) =>
      db.tenant(tenantId, (tx) =>
        deleteOldEntries(tx, new Date(nowMs - TIMELINE_KEPT_MS), FORGET_BATCH),
      ),
  };
}

/** A change is another health, or another set of reasons for it; not another wording of one. */
function judge({ deviceId, health: previous, reasons: before, facts }: DueHealth, now: number) {
  const verdict = judgeHealth(facts, now);
  const since = new Map(before.map((reason) => [reason.code, reason.since]));
  const reasons = verdict.reasons.map((reason) =>
    reason.code === "link-flapping"
      ? { ...reason, since: since.get(reason.code) ?? reason.since }
      : reason,
  );
  const codes = (list: readonly { code: string }[]) => list.map(({ code }) => code).join(" ");
  const isChange = verdict.health !== previous || codes(before) !== codes(reasons);
  const judged: Judged = { ...verdict, reasons, deviceId, previous, isChange };
  return judged;
}
