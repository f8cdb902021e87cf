import type { Presence, PresenceRule } from "./types.ts";

/** Heartbeat intervals after which a device that says nothing is late, on a line without jitter. */
export const LATE_AFTER_INTERVALS = 1.5;
/** A heartbeat beyond so many mean delays is no jitter any more (RFC 6298 takes as many). */
export const JITTER_FACTOR = 4;
/** What jitter may add to the moment when a device is offline: to notice it late helps nobody. */
export const MAX_OFFLINE_GRACE_MS = 1_500;
const DAY_MS = 86_400_000;

/** What is known of a device that says nothing. */
export interface Heard {
  lastSeenAt: number | null;
  /** Until when it has said that it sleeps. */
  asleepUntil?: number | null;
  /** Mean delay of its heartbeats. */
  jitterMs?: number;
}

/** When a device that was just heard becomes late; never after it is offline. */
export function lateAt(heardAtMs: number, rule: PresenceRule, jitterMs = 0): number {
  const intervalMs = 1_000 * rule.heartbeatIntervalSeconds;
  const graceMs = Math.max((LATE_AFTER_INTERVALS - 1) * intervalMs, JITTER_FACTOR * jitterMs);
  return Math.min(heardAtMs + intervalMs + graceMs, offlineAt(heardAtMs, rule, jitterMs));
}

/** When a device that was last heard then is offline. */
export function offlineAt(heardAtMs: number, rule: PresenceRule, jitterMs = 0): number {
  const missed = Math.max(rule.offlineAfterMissed, LATE_AFTER_INTERVALS);
  const graceMs = Math.min(JITTER_FACTOR * jitterMs, MAX_OFFLINE_GRACE_MS);
  return heardAtMs + missed * 1_000 * rule.heartbeatIntervalSeconds + graceMs;
}

/**
 * The step that falls due for a silent device: late first, offline when the silence has lasted while
 * it was awake. `deadlineAt` is when the next one falls due, null when there is none.
 */
export function nextPresence(
  current: Presence,
  heard: Heard,
  rule: PresenceRule,
  nowMs: number,
): { presence: Presence; deadlineAt: number | null } {
  if (current === "never") return { presence: "never", deadlineAt: null };
  if (current === "offline" || heard.lastSeenAt === null) {
    return { presence: "offline", deadlineAt: null };
  }
  const awakeAt = awakeSince(heard, rule, nowMs);
  const late = lateAt(awakeAt, rule, heard.jitterMs);
  const offline = offlineAt(awakeAt, rule, heard.jitterMs);
  if (offline <= nowMs) return { presence: "offline", deadlineAt: null };
  // It may have been given more time meanwhile: it slept, or its product speaks less often now.
  if (late > nowMs) return { presence: current, deadlineAt: late };
  return { presence: "late", deadlineAt: offline };
}

/** Since when it could have been heard, or from when on it can be. */
function awakeSince(heard: Heard, rule: PresenceRule, nowMs: number): number {
  const announced = Math.max(heard.lastSeenAt as number, heard.asleepUntil ?? 0);
  return rule.sleep.reduce((since, window) => {
    const endedAt = lastWindowEnd(window, nowMs);
    return endedAt > announced ? Math.max(since, endedAt) : since;
  }, announced);
}

/** The end of the sleep that a device is in or was in last, milliseconds since the epoch. */
function lastWindowEnd({ from, to }: PresenceRule["sleep"][number], nowMs: number): number {
  const begins = minutesOf(from) * 60_000;
  const lengthMs = (minutesOf(to) * 60_000 - begins + DAY_MS) % DAY_MS;
  const today = Math.floor(nowMs / DAY_MS) * DAY_MS + begins;
  return (today <= nowMs ? today : today - DAY_MS) + lengthMs;
}

function minutesOf(time: string): number {
  const [hours = 0, minutes = 0] = time.split(":").map(Number);
  return 60 * hours + minutes;
}
