import type { Alerts } from "../alerts/index.ts";
import { type Database, isUniqueViolation, type Tx } from "../db/index.ts";
import { compileFleetQuery } from "../devices/index.ts";
import { AppError, type Clock, isUuid, messageOf, timeOrderedId } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter, histogram } from "../kernel/metrics.ts";
import type { Actor } from "../tenancy/index.ts";
import { holds, nextStates, reportsOf, type Sample } from "./evaluation.ts";
import { type FactSources, readSamples } from "./facts.ts";
import { type AlertRuleDocument, checkRule, conditionOf, DEFAULTS } from "./rule-document.ts";
import * as store from "./rule-store.ts";

const evaluations = counter("vautn_alert_rule_evaluations_total", "Evaluations of alert rules", [
  "outcome",
]);
const durations = histogram(
  "vautn_alert_rule_seconds",
  "Duration of one evaluation of an alert rule",
  [0.005, 0.02, 0.1, 0.5, 2, 10, 60],
);

const MAX_RULES = 200;
const BATCH = 50;
/** Longer than an evaluation may take: a rule whose worker died is due again after it. */
const LEASE_MS = 120_000;
/** Samples that a preview shows. */
const SHOWN_SAMPLES = 200;

export interface RuleView {
  id: string;
  spec: AlertRuleDocument;
  state: "firing" | "pending" | "inactive" | "disabled" | "failing";
  firing: number;
  pending: number;
  evaluatedAt: Date | null;
  lastError: string | null;
  createdAt: Date;
  createdBy: string;
  updatedAt: Date;
  updatedBy: string;
}

export interface RulePreview {
  /** Figures in all, and those that fulfil the condition now. */
  samples: number;
  holding: number;
  /** Whether one alert would speak for all of them. */
  isCollapsed: boolean;
  items: { key: string; value: number; holds: boolean; labels: Record<string, string> }[];
}

/** What raises alerts by a tenant's own word. */
export interface AlertRules {
  create(tenantId: string, spec: AlertRuleDocument, actor: Actor): Promise<RuleView>;
  list(tenantId: string): Promise<RuleView[]>;
  get(tenantId: string, id: string): Promise<RuleView>;
  replace(
    tenantId: string,
    id: string,
    spec: AlertRuleDocument,
    actor: Actor,
    precondition?: (rule: RuleView) => void,
  ): Promise<RuleView>;
  /** Its alerts are resolved with it. */
  delete(tenantId: string, id: string): Promise<void>;
  /** What a rule would see now; nothing is raised. */
  preview(tenantId: string, spec: AlertRuleDocument): Promise<RulePreview>;
  /** Evaluates what is due; returns how many rules that were. */
  evaluateDue(tenantId: string): Promise<number>;
}

export interface AlertRulesDeps {
  db: Database;
  clock: Clock;
  logger: Logger;
  alerts: Pick<Alerts, "raise" | "resolve" | "refresh">;
  facts: FactSources;
}

export function createAlertRules(deps: AlertRulesDeps): AlertRules {
  const { db, clock, alerts } = deps;
  const find = async (tx: Tx, tenantId: string, id: string) => {
    const row = isUuid(id) ? await store.lockRule(tx, tenantId, id) : undefined;
    if (!row) throw new AppError("not-found", "there is no such rule");
    return row;
  };
  const resolveAll = async (tx: Tx, tenantId: string, id: string) => {
    for (const key of (await store.openAlertsOf(tx, tenantId, id)).keys()) {
      await alerts.resolve(tenantId, key, tx);
    }
  };

  return {
    create(tenantId, spec, actor) {
      checkRule(spec, compileFleetQuery);
      return db.tenant(tenantId, async (tx) => {
        if ((await store.listRules(tx, tenantId)).length >= MAX_RULES) {
          throw new AppError("quota-exceeded", `a tenant has at most ${MAX_RULES} rules`);
        }
        const now = new Date(clock.now());
        const id = timeOrderedId(now.getTime());
        await named(spec.name, () =>
          store.insertRule(tx, tenantId, { id, spec, by: actor.name, now }),
        );
        return viewOf(await find(tx, tenantId, id));
      });
    },

    async list(tenantId) {
      return (await db.tenant(tenantId, (tx) => store.listRules(tx, tenantId))).map(viewOf);
    },

    get: (tenantId, id) => db.tenant(tenantId, async (tx) => viewOf(await find(tx, tenantId, id))),

    async replace(tenantId, id, spec, actor, precondition) {
      checkRule(spec, compileFleetQuery);
      return db.tenant(tenantId, async (tx) => {
        const before = await find(tx, tenantId, id);
        precondition?.(viewOf(before));
        const now = new Date(clock.now());
        await named(spec.name, () =>
          store.replaceRule(tx, tenantId, { id, spec, by: actor.name, now }),
        );
        // Another question: what was known of the old one's answer says nothing.
        const isOther =
          JSON.stringify([before.spec.source, before.spec.condition]) !==
          JSON.stringify([spec.source, spec.condition]);
        if (isOther || spec.enabled === false) {
          await resolveAll(tx, tenantId, id);
          await store.writeStates(tx, tenantId, id, []);
          const counts = { firing: 0, pending: 0 };
          await store.settleRule(tx, tenantId, id, { lastError: null, counts, nextAt: now });
        }
        return viewOf(await find(tx, tenantId, id));
      });
    },

    delete: (tenantId, id) =>
      db.tenant(tenantId, async (tx) => {
        await find(tx, tenantId, id);
        await resolveAll(tx, tenantId, id);
        await store.deleteRule(tx, tenantId, id);
      }),

    async preview(tenantId, spec) {
      checkRule(spec, compileFleetQuery);
      const samples = await readSamples(deps.facts, tenantId, spec, clock.now());
      const condition = conditionOf(spec);
      const items = samples.map(({ key, value, labels }) => ({
        ...{ key, value, labels },
        holds: holds(value, condition, false),
      }));
      items.sort((left, right) => Number(right.holds) - Number(left.holds));
      const holding = items.filter((item) => item.holds).length;
      return {
        samples: samples.length,
        holding,
        isCollapsed: holding > (spec.collapseAbove ?? DEFAULTS.collapseAbove),
        items: items.slice(0, SHOWN_SAMPLES),
      };
    },

    async evaluateDue(tenantId) {
      const now = clock.now();
      const lease = new Date(now + LEASE_MS);
      const due = await db.tenant(tenantId, (tx) =>
        store.claimDueRules(tx, tenantId, { now: new Date(now), lease, limit: BATCH }),
      );
      for (const rule of due) await evaluate(deps, tenantId, rule);
      return due.length;
    },
  };
}

async function evaluate(
  deps: AlertRulesDeps,
  tenantId: string,
  rule: store.RuleRow,
): Promise<void> {
  const { db, clock, logger } = deps;
  const stop = durations.startTimer();
  const everyMs = (rule.spec.everySeconds ?? DEFAULTS.everySeconds) * 1_000;
  try {
    const nowMs = clock.now();
    const samples = await readSamples(deps.facts, tenantId, rule.spec, nowMs);
    await db.tenant(tenantId, (tx) => settle(deps, tx, tenantId, rule, samples, nowMs));
    evaluations.inc({ outcome: "done" });
  } catch (error) {
    // What cannot be asked is not answered with "all is well": alerts stay as they are.
    evaluations.inc({ outcome: "failed" });
    logger.warn({ tenantId, ruleId: rule.id, err: error }, "an alert rule could not be evaluated");
    const nextAt = new Date(clock.now() + everyMs);
    await db.tenant(tenantId, (tx) =>
      store.settleRule(tx, tenantId, rule.id, { lastError: messageOf(error), nextAt }),
    );
  } finally {
    stop();
  }
}

/** What is remembered and what is raised become true together. */
async function settle(
  { alerts, clock }: AlertRulesDeps,
  tx: Tx,
  tenantId: string,
  claimed: store.RuleRow,
  samples: readonly Sample[],
  nowMs: number,
): Promise<void> {
  const rule = await store.lockRule(tx, tenantId, claimed.id);
  // Changed, switched off or deleted meanwhile: the figures answer another question.
  if (!rule?.enabled || rule.updated_at.getTime() !== claimed.updated_at.getTime()) return;
  const { id, spec } = rule;
  const before = await store.readStates(tx, tenantId, id);
  const evaluatedAt = rule.evaluated_at?.getTime() ?? null;
  const states = nextStates(spec, before, samples, { nowMs, evaluatedAt });
  await store.writeStates(tx, tenantId, id, states);
  const open = await store.openAlertsOf(tx, tenantId, id);
  const subjects = new Map(samples.map(({ key, subject }) => [key, subject]));
  const isCollapsed = open.has(`rule:${id}`);
  const reports = reportsOf(id, spec, states, { subjects, isCollapsed });
  for (const { key, title, details, ...report } of reports) {
    const shown = open.get(key);
    if (shown === undefined) {
      const { severity, annotations = {} } = spec;
      const kind = "rule";
      await alerts.raise(
        tenantId,
        { ...report, ...{ key, title, details, kind, severity, annotations, ruleId: id } },
        tx,
      );
    } else if (shown !== title) await alerts.refresh(tenantId, key, { title, details }, tx);
  }
  const wanted = new Set(reports.map(({ key }) => key));
  for (const key of open.keys()) if (!wanted.has(key)) await alerts.resolve(tenantId, key, tx);
  const firing = states.filter(({ state }) => state === "firing").length;
  const everyMs = (spec.everySeconds ?? DEFAULTS.everySeconds) * 1_000;
  await store.settleRule(tx, tenantId, id, {
    evaluatedAt: new Date(nowMs),
    lastError: null,
    counts: { firing, pending: states.length - firing },
    nextAt: new Date(clock.now() + everyMs),
  });
}

async function named(name: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new AppError("already-exists", `there is a rule "${name}" already`);
  }
}

function viewOf(row: store.RuleRow): RuleView {
  const { firing, pending } = row;
  const active = firing > 0 ? "firing" : pending > 0 ? "pending" : "inactive";
  return {
    ...{ id: row.id, spec: row.spec, firing, pending },
    state: row.enabled ? (row.last_error === null ? active : "failing") : "disabled",
    evaluatedAt: row.evaluated_at,
    lastError: row.last_error,
    createdAt: row.created_at,
    createdBy: row.created_by,
    updatedAt: row.updated_at,
    updatedBy: row.updated_by,
  };
}
