import type { Clock } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import { keptDaysOf, type RetentionPolicy } from "../protocol/index.ts";

/** How old points may be when they come in: older ones would be removed at once. */
export interface KeptPoints {
  /** Of the metric that is kept for the shortest time: what is younger is kept in any case. */
  shortestMs: number;
  of(metric: string): number;
}

const KNOWN_FOR_MS = 5_000;
const MAX_TENANTS = 10_000;
const MAX_METRICS = 5_000;
const DAY_MS = 86_400_000;

/** What tenants keep, at once where it is known. A failure to read it leaves what was known. */
export function createKeptPoints(
  clock: Clock,
  policyOf: (tenantId: string) => Promise<RetentionPolicy>,
): (tenantId: string) => KeptPoints | Promise<KeptPoints> {
  const known = new TtlCache<KeptPoints>({
    ...{ clock, ttlMs: KNOWN_FOR_MS, maxEntries: MAX_TENANTS },
  });
  const last = new TtlCache<KeptPoints>({
    ...{ clock, ttlMs: DAY_MS, maxEntries: MAX_TENANTS },
  });
  const load = (tenantId: string) =>
    known.load(tenantId, async () => {
      try {
        const kept = keptPoints(await policyOf(tenantId));
        last.set(tenantId, kept);
        return kept;
      } catch (error) {
        const before = last.get(tenantId);
        if (!before) throw error;
        return before;
      }
    });
  return (tenantId) => known.get(tenantId) ?? load(tenantId);
}

export function keptPoints(policy: RetentionPolicy): KeptPoints {
  const byMetric = new Map<string, number>();
  const days = [policy.all.points, ...policy.rules.map(({ points }) => points)];
  return {
    shortestMs: Math.min(...days) * DAY_MS,
    of(metric) {
      const known = byMetric.get(metric);
      if (known !== undefined) return known;
      const keptMs = keptDaysOf(policy, metric).points * DAY_MS;
      if (byMetric.size < MAX_METRICS) byMetric.set(metric, keptMs);
      return keptMs;
    },
  };
}
