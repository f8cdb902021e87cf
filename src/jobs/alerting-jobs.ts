import { ALERTS_KEPT_MS } from "../alerts/index.ts";
import type { Database } from "../db/index.ts";
import type { Clock } from "../kernel/index.ts";
import type { Job } from "./ticker.ts";

export interface AlertingDeps {
  clock: Clock;
  alerts: {
    dispatch(tenantId: string): Promise<unknown>;
    flush(tenantId: string): Promise<unknown>;
    forgetOld(tenantId: string): Promise<unknown>;
  };
  alertRules: { evaluateDue(tenantId: string): Promise<unknown> };
}

type ForTenants = (
  what: Parameters<Database["tenantsWith"]>[0],
  work: (tenantId: string) => Promise<unknown>,
  dueAt?: number,
) => Promise<void>;

/** From a rule's look at the fleet to the message that somebody reads. */
export function alertingJobs(
  { clock, alerts, alertRules }: AlertingDeps,
  forTenants: ForTenants,
): Job[] {
  return [
    {
      name: "alert-rules",
      everyMs: 1_000,
      run: () => forTenants("due_alert_rules", (tenantId) => alertRules.evaluateDue(tenantId)),
    },
    {
      name: "alert-dispatch",
      everyMs: 500,
      async run() {
        await forTenants("undispatched_alerts", (tenantId) => alerts.dispatch(tenantId));
        await forTenants("due_alert_groups", (tenantId) => alerts.flush(tenantId));
      },
    },
    {
      name: "old-alerts",
      everyMs: 3_600_000,
      run: () =>
        forTenants(
          "old_alerts",
          (tenantId) => alerts.forgetOld(tenantId),
          clock.now() - ALERTS_KEPT_MS,
        ),
    },
  ];
}
