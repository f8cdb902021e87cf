import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import {
  listMetrics,
  MAX_METRICS,
  type MetricRow,
  setMetric,
  storeFeedback,
} from "./metric-rules-store.ts";

/** A score from here on is an alert: on quiet series, less than one in a month of minutes. */
export const ALERT_SCORE = 0.6;
/** How far people's words may move it: an anomaly can be made neither mute nor a nuisance. */
const LEAST_SCORE = 0.55;
const MOST_SCORE = 0.85;
const UP = 0.02;
const DOWN = 0.01;
/** Stands for every metric without a rule of its own. */
const EVERY = "*";

export interface MetricRule {
  metric: string;
  enabled: boolean;
  /** The score from which on a value is an alert. */
  threshold: number;
  useful: number;
  notUseful: number;
}

/** What the detectors follow, and from which score on they speak. */
export interface MetricRules {
  of(metric: string): { enabled: boolean; threshold: number };
}

/** All metrics, at the usual score. */
export const USUAL_RULES: MetricRules = { of: () => ({ enabled: true, threshold: ALERT_SCORE }) };

/** Alerts that were of no use raise the score that one takes, useful ones lower it half as much. */
export function thresholdOf({ useful, notUseful }: { useful: number; notUseful: number }): number {
  const wanted = ALERT_SCORE + UP * notUseful - DOWN * useful;
  return Math.round(100 * Math.min(MOST_SCORE, Math.max(LEAST_SCORE, wanted))) / 100;
}

export function compileRules(rows: readonly MetricRow[]): MetricRules {
  const known = new Map(rows.map((row) => [row.metric, row]));
  const others = known.get(EVERY)?.enabled ?? true;
  return {
    of(metric) {
      const row = known.get(metric);
      if (!row) return { enabled: others, threshold: ALERT_SCORE };
      return { enabled: row.enabled ?? others, threshold: thresholdOf(row) };
    },
  };
}

export interface MetricRulesDeps<Actor extends { name: string }> {
  db: Database;
  clock: Clock;
  alerts: {
    get(tenantId: string, id: string): Promise<{ kind: string; details: Record<string, unknown> }>;
  };
  audit: {
    record(
      tx: Tx,
      tenantId: string,
      entry: {
        actor: Actor;
        action: string;
        targetKind: string;
        targetId: string;
        outcome: "done";
        details: Record<string, unknown>;
      },
    ): Promise<unknown>;
  };
}

/** What people say about the detectors: which metrics matter, and which alerts did. */
export interface MetricRuleBook<Actor> {
  list(tenantId: string): Promise<MetricRule[]>;
  rules(tenantId: string): Promise<MetricRules>;
  set(tenantId: string, rule: { metric: string; enabled: boolean }, actor: Actor): Promise<void>;
  /** `not-found` for an alert that is none of the detectors'. */
  feedback(tenantId: string, alertId: string, useful: boolean, actor: Actor): Promise<MetricRule>;
}

export function createMetricRules<Actor extends { name: string }>(
  deps: MetricRulesDeps<Actor>,
): MetricRuleBook<Actor> {
  const { db, clock } = deps;
  const read = (tenantId: string) => db.tenant(tenantId, listMetrics);
  const by = (actor: Actor) => ({ name: actor.name, at: new Date(clock.now()) });
  const list = async (tenantId: string) => {
    const rows = await read(tenantId);
    const rules = compileRules(rows);
    return rows.map(({ metric, useful, notUseful }) => {
      return { metric, ...rules.of(metric), useful, notUseful };
    });
  };

  return {
    list,

    rules: async (tenantId) => compileRules(await read(tenantId)),

    set: (tenantId, rule, actor) =>
      db.tenant(tenantId, async (tx) => {
        if (!(await setMetric(tx, tenantId, rule, by(actor)))) {
          throw new AppError("quota-exceeded", `at most ${MAX_METRICS} metrics have a rule`);
        }
        await deps.audit.record(tx, tenantId, {
          ...{ actor, action: "anomaly.set", targetKind: "metric", targetId: rule.metric },
          outcome: "done",
          details: { enabled: rule.enabled },
        });
      }),

    async feedback(tenantId, alertId, useful, actor) {
      const { details } = await deps.alerts.get(tenantId, alertId);
      const { metric } = details;
      if (typeof metric !== "string") {
        throw new AppError(
          "conflict",
          "this alert is none of the detectors': there is nothing to tune",
        );
      }
      await db.tenant(tenantId, async (tx) => {
        await storeFeedback(tx, tenantId, { alertId, metric, useful }, by(actor));
        await deps.audit.record(tx, tenantId, {
          ...{ actor, action: "anomaly.feedback", targetKind: "alert", targetId: alertId },
          outcome: "done",
          details: { metric, useful },
        });
      });
      return (await list(tenantId)).find((rule) => rule.metric === metric) as MetricRule;
    },
  };
}
