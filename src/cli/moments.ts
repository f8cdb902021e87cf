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
