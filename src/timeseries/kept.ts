import { type KeptDays, keptDaysOf, type RetentionPolicy } from "../protocol/index.ts";

/** Which of a tenant's tables: points as they came, or the rollups of one level. */
export type KeptLevel = keyof KeptDays;

export const LEVEL_TABLES = {
  minutes: ["telemetry_1m", "telemetry_fleet_1m"],
  hours: ["telemetry_1h", "telemetry_fleet_1h"],
  days: ["telemetry_1d", "telemetry_fleet_1d"],
} as const satisfies Partial<Record<KeptLevel, readonly string[]>>;

/** Moments in milliseconds since the epoch before which nothing is kept. */
export interface Horizons {
  /** An expression in SQL: the moment for the metric that `metric` names. */
  of(metric: string): string;
  params: Record<string, string | number>;
  /** Of all metrics. */
  earliest: number;
  latest: number;
}

const DAY_MS = 86_400_000;

/** Up to which moment rows of a level are out of date; `from` is now, or the beginning of a day. */
export function horizonsOf(policy: RetentionPolicy, level: KeptLevel, from: number): Horizons {
  const moment = (days: number) => from - days * DAY_MS;
  const rules = policy.rules.map((rule, index) => ({
    pattern: likePattern(rule.pattern),
    isExact: !rule.pattern.includes("*"),
    name: `keptPattern${index}`,
    horizon: `kept${index}`,
    moment: moment(rule[level]),
  }));
  const moments = [moment(policy.all[level]), ...rules.map((rule) => rule.moment)];
  const params: Horizons["params"] = { keptAll: moments[0] as number };
  for (const [index, rule] of rules.entries()) {
    params[rule.name] = rule.isExact ? (policy.rules[index]?.pattern ?? "") : rule.pattern;
    params[rule.horizon] = rule.moment;
  }
  return {
    of(metric) {
      if (rules.length === 0) return "{keptAll:Int64}";
      const branches = rules.map(
        ({ name, horizon, isExact }) =>
          `${metric} ${isExact ? "=" : "like"} {${name}:String}, {${horizon}:Int64}`,
      );
      return `multiIf(${branches.join(", ")}, {keptAll:Int64})`;
    },
    params,
    earliest: Math.min(...moments),
    latest: Math.max(...moments),
  };
}

/** The moment for one metric. */
export function horizonOf(
  policy: RetentionPolicy,
  level: KeptLevel,
  metric: string,
  now: number,
): number {
  return now - keptDaysOf(policy, metric)[level] * DAY_MS;
}

/** Conditions that leave out what is not kept any longer, though it may not be removed yet. */
export function whereKept(
  policy: RetentionPolicy,
  level: KeptLevel,
  now: number,
): { where: string[]; params: Record<string, string | number> } {
  const horizons = horizonsOf(policy, level, now);
  const earliest = "ts >= fromUnixTimestamp64Milli({keptFrom:Int64})";
  const each = `ts >= fromUnixTimestamp64Milli(${horizons.of("metric")})`;
  const params = { ...horizons.params, keptFrom: horizons.earliest };
  return { where: policy.rules.length === 0 ? [earliest] : [earliest, each], params };
}

/** What `*` is to us, `%` is to SQL; `_`, which names may have, stands for itself. */
function likePattern(pattern: string): string {
  return pattern.replaceAll("_", "\\_").replaceAll("*", "%");
}
