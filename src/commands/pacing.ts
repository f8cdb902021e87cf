import type { Pace } from "./types.ts";

/** How soon a batch is looked at again whose commands must end before others begin. */
const LOOK_AGAIN_MS = 500;

/** Most that one look releases; the rest follows at once. */
export const RELEASE_CHUNK = 1_000;

export interface PaceFacts {
  pace: Pace;
  /** Commands that wait for their release. */
  waiting: number;
  /** Commands between their release and their end. */
  underWay: number;
}

/** How many commands go out now, and when to look again (null: nothing waits any more). */
export function nextRelease(
  { pace, waiting, underWay }: PaceFacts,
  nowMs: number,
): { count: number; againAtMs: number | null } {
  const room = pace.concurrency === undefined ? waiting : pace.concurrency - underWay;
  const size = pace.batchSize ?? RELEASE_CHUNK;
  const count = Math.max(0, Math.min(waiting, room, size, RELEASE_CHUNK));
  if (count >= waiting) return { count, againAtMs: null };
  const interval = (pace.intervalSeconds ?? 0) * 1_000;
  // Without an interval only the concurrency holds commands back: look soon whether some ended.
  const delay = interval > 0 && count > 0 ? interval : count === RELEASE_CHUNK ? 0 : LOOK_AGAIN_MS;
  return { count, againAtMs: nowMs + delay };
}
