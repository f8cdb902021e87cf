const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "long" });
const EXACT = new Intl.DateTimeFormat("en-GB", {
  dateStyle: "medium",
  timeStyle: "medium",
});

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export function formatNumber(value: number): string {
  return NUMBER.format(value);
}

/** Three significant digits, exponent form where plain digits would mislead. */
export function formatFigure(value: number): string {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "–";
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(1);
  if (size >= 1e6) return COMPACT.format(value);
  return new Intl.NumberFormat("en", { maximumSignificantDigits: 3 }).format(value);
}

/** Labels of an axis: of as many digits as tell the ticks apart, at least three. */
export function formatTicks(ticks: readonly number[]): string[] {
  const [first = 0, second = first] = ticks;
  const tolerated = Math.abs(second - first) / 100;
  let digits = 3;
  const isExact = (tick: number) => Math.abs(Number(tick.toPrecision(digits)) - tick) <= tolerated;
  while (digits < 12 && !ticks.every(isExact)) digits += 1;
  if (digits === 3) return ticks.map(formatFigure);
  const isLarge = ticks.some((tick) => Math.abs(tick) >= 1e6);
  const { format } = new Intl.NumberFormat("en", {
    maximumSignificantDigits: digits,
    ...(isLarge ? { notation: "compact" } : {}),
  });
  return ticks.map((tick) => format(tick));
}

export function formatPercent(share: number): string {
  if (!Number.isFinite(share)) return "–";
  const percent = share * 100;
  return `${percent < 10 ? Number(percent.toFixed(1)) : Math.round(percent)} %`;
}

export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

/** The two largest units: `3 d 4 h`, `12 min 5 s`. */
export function formatDuration(ms: number): string {
  const rest = Math.max(0, ms);
  if (rest < SECOND) return `${Math.round(rest)} ms`;
  if (rest < MINUTE) return `${NUMBER.format(rest / SECOND)} s`;
  const parts: [number, string][] = [
    [Math.floor(rest / DAY), "d"],
    [Math.floor((rest % DAY) / HOUR), "h"],
    [Math.floor((rest % HOUR) / MINUTE), "min"],
    [Math.floor((rest % MINUTE) / SECOND), "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
}

export function formatRelative(time: number, now: number): string {
  const difference = time - now;
  const size = Math.abs(difference);
  // Clocks differ a little: what lies a few seconds ahead has just been.
  if (size < 5 * SECOND || (difference > 0 && size < MINUTE)) return "just now";
  if (size < MINUTE) return RELATIVE.format(Math.round(difference / SECOND), "second");
  if (size < HOUR) return RELATIVE.format(Math.round(difference / MINUTE), "minute");
  if (size < DAY) return RELATIVE.format(Math.round(difference / HOUR), "hour");
  return RELATIVE.format(Math.round(difference / DAY), "day");
}

export function formatExact(time: number): string {
  return EXACT.format(time);
}

/** `fell-back` -> `Fell back`. */
export function humanize(word: string): string {
  const spaced = word.replaceAll("-", " ");
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

/** `1 device`, `5 devices`. */
export function plural(count: number, noun: string): string {
  return `${formatNumber(count)} ${noun}${count === 1 ? "" : "s"}`;
}
