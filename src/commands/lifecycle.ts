import type { CommandStatus, RetryCause } from "./types.ts";

/** How far along a command is; a report that would take it back is an echo of an old one. */
const PROGRESS: Record<CommandStatus, number> = {
  waiting: 0,
  queued: 0,
  delivered: 1,
  accepted: 2,
  running: 3,
  succeeded: 4,
  failed: 4,
  rejected: 4,
  expired: 4,
  "timed-out": 4,
  replaced: 4,
  cancelled: 4,
};
const FINAL = 4;

export const COMMAND_STATUSES = Object.keys(PROGRESS) as CommandStatus[];

/** Ends that the platform has set without the device's word. */
const SET_BY_US: readonly CommandStatus[] = ["expired", "timed-out", "replaced", "cancelled"];

export function isFinalStatus(status: CommandStatus): boolean {
  return PROGRESS[status] === FINAL;
}

/** What a device's report does to its command. */
export type ResultEffect = "advance" | "progress" | "finish" | "record-late" | "ignore";

/**
 * The effect of a report on a command in state `current`. Reports may come twice and in any order:
 * only progress counts, and a running command may say more about itself. After an end that the
 * platform has set, the report is kept and no more.
 */
export function effectOfResult(current: CommandStatus, reported: CommandStatus): ResultEffect {
  if (SET_BY_US.includes(current)) return "record-late";
  if (current === "running" && reported === "running") return "progress";
  if (PROGRESS[reported] <= PROGRESS[current]) return "ignore";
  return isFinalStatus(reported) ? "finish" : "advance";
}

/** What happens to a command by itself when its moment has come. */
export type DueOutcome =
  | { act: "release" }
  | { act: "end"; status: "expired" | "timed-out"; error: string | null }
  | { act: "wait" };

export interface DueFacts {
  status: CommandStatus;
  expiresAtMs: number;
  /** When the present phase has taken too long. */
  deadlineAtMs: number | null;
  /** When a new attempt is queued. */
  releaseAtMs: number | null;
}

const PHASE_ERRORS: Partial<Record<CommandStatus, string>> = {
  queued: "it was not delivered in time",
  delivered: "the device did not accept it in time",
  accepted: "the device did not finish it in time",
  running: "the device did not finish it in time",
};

/** Expiry comes before everything else: what has expired is neither released nor timed out. */
export function outcomeWhenDue(facts: DueFacts, nowMs: number): DueOutcome {
  const { status, expiresAtMs, deadlineAtMs, releaseAtMs } = facts;
  if (isFinalStatus(status)) return { act: "wait" };
  if (status === "waiting") {
    // One that waits for the pace of its batch has no moment of its own, and does not age.
    if (releaseAtMs === null || releaseAtMs > nowMs) return { act: "wait" };
    return expiresAtMs <= nowMs ? expired() : { act: "release" };
  }
  if (expiresAtMs <= nowMs) return expired();
  if (deadlineAtMs === null || deadlineAtMs > nowMs) return { act: "wait" };
  return { act: "end", status: "timed-out", error: PHASE_ERRORS[status] ?? null };
}

function expired(): DueOutcome {
  return { act: "end", status: "expired", error: null };
}

export interface RetryFacts {
  attempt: number;
  maxAttempts: number;
  retryOn: readonly string[];
  retrySeconds: number;
  expiresAtMs: number;
}

/**
 * When a new attempt follows upon this end, or undefined. The order as a whole keeps its expiry: an
 * attempt that could only begin after it is not made.
 */
export function retryAt(facts: RetryFacts, end: CommandStatus, nowMs: number): number | undefined {
  if (!facts.retryOn.includes(end as RetryCause)) return undefined;
  if (facts.attempt >= facts.maxAttempts) return undefined;
  const at = nowMs + facts.retrySeconds * 1_000;
  return at < facts.expiresAtMs ? at : undefined;
}
