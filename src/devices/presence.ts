import type { Presence, PresenceSettings } from "./types.ts";

/** Heartbeat intervals after which a device that says nothing is late. */
export const LATE_AFTER_INTERVALS = 1.5;

/** When a device that was just heard becomes late. */
export function lateAt(heardAtMs: number, settings: PresenceSettings): number {
  return heardAtMs + LATE_AFTER_INTERVALS * settings.heartbeatIntervalSeconds * 1_000;
}

/** When a device that was last heard then is offline; never before it is late. */
export function offlineAt(heardAtMs: number, settings: PresenceSettings): number {
  const missed = Math.max(settings.offlineAfterMissed, LATE_AFTER_INTERVALS);
  return heardAtMs + missed * settings.heartbeatIntervalSeconds * 1_000;
}

/**
 * The step that falls due for a silent device: late first, offline when the silence has lasted.
 * `deadlineAt` is when the next one falls due, null when there is none.
 */
export function nextPresence(
  current: Presence,
  lastSeenAtMs: number | null,
  settings: PresenceSettings,
  nowMs: number,
): { presence: Presence; deadlineAt: number | null } {
  if (current === "never") return { presence: "never", deadlineAt: null };
  const offline = lastSeenAtMs === null ? nowMs : offlineAt(lastSeenAtMs, settings);
  return current === "offline" || offline <= nowMs
    ? { presence: "offline", deadlineAt: null }
    : { presence: "late", deadlineAt: offline };
}
