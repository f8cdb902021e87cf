/** Days for which points, and their rollups by the minute, the hour and the day, are kept. */
export interface KeptDays {
  points: number;
  minutes: number;
  hours: number;
  days: number;
}

/** `pattern` is a metric's name, in which `*` stands for any text. */
export type RetentionRule = { pattern: string } & KeptDays;

/** How long a tenant keeps what. The first rule whose pattern fits a metric counts. */
export interface RetentionPolicy {
  all: KeptDays;
  rules: readonly RetentionRule[];
}

const PATTERN = /^[A-Za-z0-9_*][A-Za-z0-9_.:/*-]*$/;
export const MAX_RETENTION_RULES = 50;
export const MAX_KEPT_DAYS = 3_650;

export function isMetricPattern(text: string): boolean {
  return text.length <= 128 && PATTERN.test(text) && !text.includes("**");
}

/** Linear in what it reads: a star takes as little as it can, and is never tried again. */
export function fitsPattern(metric: string, pattern: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop();
  if (last === undefined) return metric === pattern;
  if (!metric.startsWith(first)) return false;
  let at = first.length;
  for (const piece of rest) {
    const found = metric.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return metric.length >= at + last.length && metric.endsWith(last);
}

export function keptDaysOf({ all, rules }: RetentionPolicy, metric: string): KeptDays {
  return rules.find(({ pattern }) => fitsPattern(metric, pattern)) ?? all;
}

/**
 * Why days do not go together, or undefined. A late point has the buckets that it falls into computed
 * anew from what is there: what buckets are made from is never kept longer than they are.
 */
export function keptDaysFault({ points, minutes, hours, days }: KeptDays): string | undefined {
  for (const [name, value] of Object.entries({ points, minutes, hours, days })) {
    if (!Number.isInteger(value) || value < 1 || value > MAX_KEPT_DAYS) {
      return `${name}: needs a whole number of days from 1 to ${MAX_KEPT_DAYS}`;
    }
  }
  if (minutes < points) return "minutes: rollups are kept at least as long as their points";
  if (hours < minutes) return "hours: kept at least as long as the rollups by the minute";
  if (days < hours) return "days: kept at least as long as the rollups by the hour";
  return undefined;
}
