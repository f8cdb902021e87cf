import { misuse } from "./cli-error.ts";

const UNITS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `15m`, `2h`, `7d` in milliseconds; undefined for what is no such span. */
export function spanMsOf(text: string): number | undefined {
  const relative = /^(\d{1,6})([smhd])$/.exec(text);
  return relative ? Number(relative[1]) * (UNITS[relative[2] ?? ""] ?? 0) : undefined;
}

/** ISO 8601 as it is; `15m` as milliseconds since the epoch. */
export function momentOf(text: string, nowMs = Date.now()): string {
  const spanMs = spanMsOf(text);
  return spanMs === undefined ? text : String(nowMs - spanMs);
}

/** Reads an option: ISO 8601, a day, or a span such as `7d` before (or after) now; gives ISO 8601. */
export function momentOption(name: string, side: "before" | "after") {
  return (text: string): string => {
    const spanMs = spanMsOf(text);
    const distance = side === "after" ? (spanMs ?? 0) : -(spanMs ?? 0);
    const isDate = isDay(text.slice(0, 10));
    const moment =
      spanMs === undefined ? (isDate ? Date.parse(text) : Number.NaN) : Date.now() + distance;
    if (Number.isNaN(moment)) {
      throw misuse(
        `${name} takes a time such as 2027-01-31T12:00:00Z, 2027-01-31 or 7d, not "${text}"`,
      );
    }
    return new Date(moment).toISOString();
  };
}

/** Date.parse takes numbers for years, and the 31st of February for the 3rd of March. */
function isDay(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return false;
  const moment = Date.parse(text);
  return !Number.isNaN(moment) && new Date(moment).toISOString().startsWith(text);
}
