import type { Clock } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import { alertsForCertificates, type CertificateConcerns } from "./certificate-alerts.ts";
import type { AlertReport } from "./presence-alerts.ts";

export interface CertificateWatchDeps {
  clock: Clock;
  identity: { radar: { concerns(tenantId: string): Promise<CertificateConcerns> } };
  alerts: {
    raise(tenantId: string, report: AlertReport): Promise<unknown>;
    resolve(tenantId: string, key: string): Promise<unknown>;
  };
}

/** An alert that says the same is raised again after this time only. */
const REPEAT_MS = 24 * 3_600_000;
const MAX_REMEMBERED = 30_000;

/** Looks after a tenant's certificates: what should be known is an alert, and ends with its cause. */
export function createCertificateWatch({ clock, identity, alerts }: CertificateWatchDeps) {
  const said = new TtlCache<string>({ clock, ttlMs: REPEAT_MS, maxEntries: MAX_REMEMBERED });
  return async function watch(tenantId: string): Promise<void> {
    const concerns = await identity.radar.concerns(tenantId);
    const { raise, resolve } = alertsForCertificates(concerns, clock.now());
    for (const report of raise) {
      const key = `${tenantId} ${report.key}`;
      const text = `${report.severity} ${report.title}`;
      // Each raising counts as an occurrence: what has not changed has not occurred again.
      if (said.get(key) === text) continue;
      await alerts.raise(tenantId, report);
      said.set(key, text);
    }
    for (const key of resolve) {
      await alerts.resolve(tenantId, key);
      said.delete(`${tenantId} ${key}`);
    }
  };
}
