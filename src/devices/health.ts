import type { DeviceStatus, Health, HealthReason, Presence } from "./types.ts";

/** Broken connections within about an hour from which on a link counts as flapping, and until. */
export const FLAPPING_DROPS = 4;
export const CALM_DROPS = 2;
/** The count of broken connections falls to a third in this time. */
export const DROPS_FADE_MS = 3_600_000;
/** So that a link which has flapped for days is believed again within hours. */
export const MAX_DROPS = 20;
/** Incidents of the last day speak about a device. */
export const INCIDENTS_COUNT_MS = 86_400_000;
/** Crashes in a day that are no accident any more. */
const CRASH_LOOP = 3;

/** Incidents of one kind within the last day. */
export interface IncidentCount {
  kind: string;
  count: number;
  firstAt: number;
  lastAt: number;
}

export interface HealthFacts {
  presence: Presence;
  presenceChangedAt: number | null;
  status: DeviceStatus;
  lastSeenAt: number | null;
  asleepUntil: number | null;
  /** Broken connections, faded to the present. */
  linkDrops: number;
  /** Whether the link counted as flapping when it was judged last. */
  wasFlapping: boolean;
  incidents: readonly IncidentCount[];
  /** Alerts about this device that are not resolved. */
  alerts: readonly { kind: string; title: string; openedAt: number }[];
}

export interface HealthVerdict {
  health: Health;
  reasons: HealthReason[];
  /** When the passing of time alone may change it. */
  dueAt: number | null;
}

const SEVERITY: Record<string, number> = { healthy: 0, degraded: 1, failing: 2, offline: 3 };

interface Finding {
  health: Exclude<Health, "unknown">;
  code: string;
  message: string;
  sinceMs: number;
}

/** What the facts say about a device, with every reason named. Pure. */
export function judgeHealth(facts: HealthFacts, nowMs: number): HealthVerdict {
  if (facts.presence === "never") return { health: "unknown", reasons: [], dueAt: null };
  const findings = [
    ...presenceFindings(facts, nowMs),
    ...incidentFindings(facts),
    ...linkFindings(facts, nowMs),
    ...alertFindings(facts),
  ].sort((left, right) => (SEVERITY[right.health] ?? 0) - (SEVERITY[left.health] ?? 0));
  return {
    health: findings[0]?.health ?? "healthy",
    reasons: findings.map(({ code, message, sinceMs }) => ({
      code,
      message,
      since: new Date(sinceMs).toISOString(),
    })),
    dueAt: nextChange(facts, nowMs),
  };
}

function presenceFindings(facts: HealthFacts, nowMs: number): Finding[] {
  const { presence, lastSeenAt, asleepUntil } = facts;
  const sinceMs = facts.presenceChangedAt ?? lastSeenAt ?? nowMs;
  const seen = lastSeenAt === null ? "" : `; last heard at ${moment(lastSeenAt)}`;
  if (presence === "offline") {
    return [
      { health: "offline", code: "silent", message: `missed its heartbeats${seen}`, sinceMs },
    ];
  }
  if (presence === "late") {
    return [
      { health: "degraded", code: "late", message: `a heartbeat is overdue${seen}`, sinceMs },
    ];
  }
  if (asleepUntil === null || asleepUntil <= nowMs) return [];
  const message = `asleep until ${moment(asleepUntil)}, as it has announced`;
  return [{ health: "healthy", code: "asleep", message, sinceMs: lastSeenAt ?? nowMs }];
}

function incidentFindings({ incidents }: HealthFacts): Finding[] {
  return incidents.flatMap(({ kind, count, firstAt, lastAt }): Finding[] => {
    const last = `the last at ${moment(lastAt)}`;
    const found = (health: "degraded" | "failing", code: string, message: string): Finding[] => [
      { health, code, message, sinceMs: firstAt },
    ];
    switch (kind) {
      case "crash":
        return count >= CRASH_LOOP
          ? found("failing", "crash-loop", `crashed ${count} times within a day, ${last}`)
          : found("degraded", "crashed", `crashed ${times(count)} within a day, ${last}`);
      case "self-test-failed":
        return found("failing", "self-test-failed", `failed its self-test at ${moment(lastAt)}`);
      case "fallback":
        return found("degraded", "fell-back", `fell back to its other slot at ${moment(lastAt)}`);
      default:
        return [];
    }
  });
}

function linkFindings({ linkDrops, wasFlapping }: HealthFacts, nowMs: number): Finding[] {
  if (linkDrops < (wasFlapping ? CALM_DROPS : FLAPPING_DROPS)) return [];
  const message = `its connection broke about ${Math.round(linkDrops)} times within an hour`;
  return [{ health: "degraded", code: "link-flapping", message, sinceMs: nowMs }];
}

/** What the detectors have found; silence is known already. */
function alertFindings({ alerts }: HealthFacts): Finding[] {
  return alerts.flatMap(({ kind, title, openedAt }): Finding[] => {
    if (kind === "restarts") {
      return [{ health: "failing", code: "restart-loop", message: title, sinceMs: openedAt }];
    }
    if (kind === "anomaly") {
      return [{ health: "degraded", code: "anomaly", message: title, sinceMs: openedAt }];
    }
    return [];
  });
}

/** An incident is a day old, a link has been calm, a sleep ends. */
function nextChange(facts: HealthFacts, nowMs: number): number | null {
  const { incidents, linkDrops, asleepUntil } = facts;
  const moments = incidents.map(({ firstAt }) => firstAt + INCIDENTS_COUNT_MS);
  if (linkDrops >= CALM_DROPS) {
    moments.push(nowMs + DROPS_FADE_MS * Math.log(linkDrops / CALM_DROPS) + 1_000);
  }
  if (asleepUntil !== null) moments.push(asleepUntil);
  const later = moments.filter((at) => at > nowMs);
  return later.length === 0 ? null : Math.min(...later);
}

function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}

function moment(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
