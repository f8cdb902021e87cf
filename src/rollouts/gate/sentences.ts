import type { GateFacts } from "./types.ts";

const HOUR_MS = 3_600_000;
const NOUNS: Readonly<Record<string, string>> = {
  crash: "Crashes",
  silence: "Silences",
  "error-log": "Devices with error logs",
  disconnect: "Lost connections",
};

/** What both arms have shown of a metric, in words. */
export function describeEvidence(metric: string, facts: GateFacts): string {
  if (metric === "update-failure") {
    const ended = facts.updates.failed + facts.updates.succeeded;
    return `${facts.updates.failed} of ${plural(ended, "update")} did not end well`;
  }
  const totals = facts.evidence[metric];
  const noun = NOUNS[metric] ?? metric;
  if (!totals) return `${noun}: none`;
  if (metric.startsWith("telemetry.") || metric.startsWith("query.")) {
    const { treated, control } = totals;
    const pairs = treated.events + control.events;
    return `${metric} was worse on the updated device in ${treated.events} of ${plural(pairs, "pair")}`;
  }
  const { treated, control } = totals;
  return (
    `${noun}: ${treated.events} on updated devices in ${hours(treated.exposureMs)}, ` +
    `${control.events} on the others in ${hours(control.exposureMs)}`
  );
}

function hours(exposureMs: number): string {
  return `${figure(exposureMs / HOUR_MS)} device-hours`;
}

/** A number with the digits that a person needs. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "∞";
  const size = Math.abs(value);
  if (size >= 1e6) return value.toExponential(1);
  if (size >= 100 || Number.isInteger(value))
    return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");
  return String(Number(value.toPrecision(3)));
}

export function plural(count: number, noun: string, many = `${noun}s`): string {
  return `${figure(count)} ${count === 1 ? noun : many}`;
}

/** `95 s`, `12 min`, `31 h`, `7 d`. */
export function duration(seconds: number): string {
  if (seconds < 120) return `${Math.ceil(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${figure(Math.round(seconds / 360) / 10)} h`;
  return `${figure(Math.round(seconds / 8_640) / 10)} d`;
}
