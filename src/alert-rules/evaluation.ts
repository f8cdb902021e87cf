import { type AlertRuleDocument, type Condition, conditionOf, DEFAULTS } from "./rule-document.ts";

/** One figure of the world, as a rule's source gives it. */
export interface Sample {
  /** What it is about: a device's id, a rollout's; empty for the one figure of a fleet. */
  key: string;
  value: number;
  labels: Record<string, string>;
  /** What it is about, for people. */
  subject: { kind: string; id: string };
}

export interface SeriesState {
  key: string;
  state: "pending" | "firing";
  since: number;
  lastTrueAt: number;
  value: number | null;
  labels: Record<string, string>;
  dismissed: boolean;
}

export interface RuleReport {
  key: string;
  title: string;
  subjectKind: string;
  subjectId: string;
  labels: Record<string, string>;
  details: Record<string, unknown>;
}

/** Evaluations that were missed in a row, after which what was pending begins anew. */
const MISSED_EVALUATIONS = 3;
/** Devices that one alert for many of them names. */
const NAMED = 100;

/** Whether a figure fulfils the condition; one that fires is held to the threshold of its end. */
export function holds(value: number, condition: Condition, isFiring: boolean): boolean {
  const { operator, threshold, clearThreshold } = condition;
  const limit = isFiring && clearThreshold !== undefined ? clearThreshold : threshold;
  switch (operator) {
    case ">":
      return value > limit;
    case ">=":
      return value >= limit;
    case "<":
      return value < limit;
    case "<=":
      return value <= limit;
    case "==":
      return value === limit;
    case "!=":
      return value !== limit;
  }
}

/** What a rule remembers after it has looked at `samples`: Prometheus's `for` and `keep_firing_for`. */
export function nextStates(
  spec: AlertRuleDocument,
  states: ReadonlyMap<string, SeriesState>,
  samples: readonly Sample[],
  { nowMs, evaluatedAt }: { nowMs: number; evaluatedAt: number | null },
): SeriesState[] {
  const condition = conditionOf(spec);
  const forMs = (spec.forSeconds ?? DEFAULTS.forSeconds) * 1_000;
  const keepMs = (spec.keepFiringForSeconds ?? DEFAULTS.keepFiringForSeconds) * 1_000;
  const everyMs = (spec.everySeconds ?? DEFAULTS.everySeconds) * 1_000;
  // Nobody has looked for a while: that the condition held all the time is not known.
  const wasAway =
    evaluatedAt === null || nowMs - evaluatedAt > MISSED_EVALUATIONS * everyMs + 10_000;
  const next: SeriesState[] = [];
  const seen = new Set<string>();
  for (const { key, value, labels } of samples) {
    seen.add(key);
    const before = states.get(key);
    const isFiring = before?.state === "firing";
    if (holds(value, condition, isFiring)) {
      const since = before && (isFiring || !wasAway) ? before.since : nowMs;
      const state = isFiring || nowMs - since >= forMs ? "firing" : "pending";
      const dismissed = before?.dismissed ?? false;
      next.push({ key, state, since, lastTrueAt: nowMs, value, labels, dismissed });
    } else if (before && isFiring && nowMs - before.lastTrueAt < keepMs) {
      next.push({ ...before, value, labels });
    }
  }
  for (const before of states.values()) {
    if (seen.has(before.key) || before.state !== "firing") continue;
    const isKept = spec.noData === "keep" || nowMs - before.lastTrueAt < keepMs;
    if (isKept) next.push(before);
  }
  return next;
}

/**
 * The alerts that a rule's states stand for. Many devices at once have one cause, and are one alert;
 * `isCollapsed` says that they were, which lasts until half as many are left.
 */
export function reportsOf(
  ruleId: string,
  spec: AlertRuleDocument,
  states: readonly SeriesState[],
  {
    subjects,
    isCollapsed,
  }: { subjects: ReadonlyMap<string, Sample["subject"]>; isCollapsed: boolean },
): RuleReport[] {
  const firing = states.filter(({ state, dismissed }) => state === "firing" && !dismissed);
  const limit = spec.collapseAbove ?? DEFAULTS.collapseAbove;
  const rule = { ...spec.labels, rule: spec.name };
  const condition = conditionOf(spec);
  if (firing.length > (isCollapsed ? Math.floor(limit / 2) : limit)) {
    const names = firing.map(({ key }) => key).sort();
    const [first] = firing;
    const subject = first && subjects.get(first.key);
    const plural = subject?.kind === "rollout" ? "rollouts" : "devices";
    return [
      {
        key: `rule:${ruleId}`,
        title: `${spec.name}: ${firing.length} ${plural}`,
        subjectKind: "rule",
        subjectId: ruleId,
        labels: { ...commonLabels(firing), ...rule },
        details: {
          source: spec.source,
          condition,
          count: firing.length,
          [plural]: names.slice(0, NAMED),
        },
      },
    ];
  }
  return firing.map(({ key, value, labels, since }) => {
    const subject = subjects.get(key) ?? { kind: key ? "device" : "rule", id: key || ruleId };
    const about = key ? ` of ${subject.kind} ${subject.id}` : "";
    return {
      key: key ? `rule:${ruleId}:${key}` : `rule:${ruleId}`,
      title: `${spec.name}${about}: ${sentence(spec, value, condition)}`,
      subjectKind: subject.kind,
      subjectId: subject.id,
      labels: { ...labels, ...rule },
      details: { source: spec.source, condition, value, since: new Date(since).toISOString() },
    };
  });
}

function sentence(spec: AlertRuleDocument, value: number | null, condition: Condition): string {
  const { source } = spec;
  const figure = value === null ? "no figure" : String(Number(value.toPrecision(4)));
  const limit = `(${condition.operator} ${condition.threshold})`;
  switch (source.kind) {
    case "devices":
      return source.per === "fleet"
        ? `${figure} ${source.measure === "share" ? "of the fleet" : "devices"} ${limit}`
        : `matches ${source.query}`;
    case "metric":
      return `${source.metric} is ${figure} ${limit}`;
    case "logs":
      return `${figure} lines ${limit}`;
    case "certificates":
      return `its certificate ends in ${figure} days`;
    case "rollouts":
      return `for ${figure} seconds by now`;
    case "quota":
      return `${figure} % of ${source.resource} are used ${limit}`;
    case "platform":
      return value !== null && value >= 2 ? "failed" : "degraded";
    case "anomalies":
      return `${figure} open ${limit}`;
  }
}

function commonLabels(states: readonly SeriesState[]): Record<string, string> {
  const [first, ...rest] = states;
  return Object.fromEntries(
    Object.entries(first?.labels ?? {}).filter(([label, value]) =>
      rest.every(({ labels }) => labels[label] === value),
    ),
  );
}
