import type { Route } from "./routing.ts";

/** What the channels know of an alert. */
export type Told = "firing" | "acknowledged";

export interface GroupState {
  createdAt: number;
  notifiedAt: number | null;
  notified: Readonly<Record<string, Told>>;
  /** Steps of the escalation that were taken. */
  escalated: number;
  /** Steps whose channels know of the group, also where nothing waits any more. */
  heardSteps: number;
}

export interface MemberState {
  id: string;
  state: "open" | "acknowledged" | "resolved";
  openedAt: number;
  isMuted: boolean;
}

/** What is said, and to whom. */
export interface Saying {
  channels: readonly string[];
  /** All alerts that are active and heard; then those that have ended since. */
  firing: string[];
  resolved: string[];
  /** Whether people have acknowledged all that is active. */
  isAcknowledged: boolean;
  /** Number of the step, from 1, where nobody has reacted. */
  escalation: number | null;
}

export interface FlushPlan {
  sayings: Saying[];
  next: {
    notified: Record<string, Told>;
    notifiedAt: number | null;
    escalated: number;
    heardSteps: number;
  };
  /** Members that nothing more is to be said of. */
  leave: string[];
  /** Null where the group has come to its end. */
  flushAt: number | null;
}

/**
 * What a group of alerts says now, as Alertmanager would: what is new, what has ended, and all of it
 * again after the repeat interval; then what an escalation adds. Pure.
 */
export function planFlush(
  route: Route,
  group: GroupState,
  members: readonly MemberState[],
  nowMs: number,
): FlushPlan {
  const active = members.filter(({ state, isMuted }) => state !== "resolved" && !isMuted);
  const waiting = active.filter(({ state }) => state === "open");
  const ended = members.filter(({ state }) => state === "resolved");
  // Of what nobody was told, nobody is told that it has ended.
  const resolved = ended.filter(({ id }) => Object.hasOwn(group.notified, id)).map(({ id }) => id);
  const firing = active.map(({ id }) => id);
  const isNews = active.some(
    ({ id, state }) => state === "open" && group.notified[id] !== "firing",
  );
  const isDue =
    waiting.length > 0 &&
    group.notifiedAt !== null &&
    nowMs - group.notifiedAt >= route.repeatIntervalMs;
  const isAcknowledged = active.length > 0 && waiting.length === 0;
  // Of several that are acknowledged one after the other it is told when none waits any more.
  const isNewlySeen = isAcknowledged && active.some(({ id }) => group.notified[id] === "firing");
  const says = isNews || isNewlySeen || isDue || resolved.length > 0;
  // Who was called is told that somebody looks after it, and that it has ended; not of each alert.
  const concernsCalled = says && waiting.length === 0;
  const heard = Math.max(group.heardSteps, group.escalated);
  const called = concernsCalled ? route.escalation.slice(0, heard) : [];
  const channels = [...new Set([route, ...called].flatMap((one) => one.channels))];
  const sayings: Saying[] = says
    ? [{ channels, firing, resolved, isAcknowledged, escalation: null }]
    : [];
  const escalated = escalate();

  const kept = members.filter(({ state }) => state !== "resolved");
  const notified: Record<string, Told> = {};
  for (const { id, state, isMuted } of kept) {
    const before = group.notified[id];
    if (isMuted) {
      if (before) notified[id] = before;
    } else if (says) notified[id] = state === "open" ? "firing" : "acknowledged";
    else if (before) notified[id] = before;
  }
  return {
    sayings,
    next: {
      ...{ notified, notifiedAt: says ? nowMs : group.notifiedAt, escalated },
      heardSteps: says && active.length === 0 ? 0 : Math.max(heard, escalated),
    },
    leave: ended.map(({ id }) => id),
    flushAt: kept.length === 0 ? null : nextFlush(),
  };

  function escalate(): number {
    const oldest = Math.min(...waiting.map(({ openedAt }) => openedAt));
    // Acknowledged or at an end: the next time begins at the first step.
    if (waiting.length === 0) return 0;
    let taken = group.escalated;
    for (; taken < route.escalation.length; taken += 1) {
      const step = route.escalation[taken];
      if (!step || nowMs - oldest < step.afterMs) break;
      const saying = { firing, resolved: [], isAcknowledged: false, escalation: taken + 1 };
      sayings.push({ channels: step.channels, ...saying });
    }
    return taken;
  }

  function nextFlush(): number {
    const step = route.escalation[escalated];
    const oldest = Math.min(...waiting.map(({ openedAt }) => openedAt));
    const steps = step && waiting.length > 0 ? [oldest + step.afterMs] : [];
    return Math.max(nowMs + 1, Math.min(nowMs + route.groupIntervalMs, ...steps));
  }
}
