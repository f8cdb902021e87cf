/** Below this many peers a cohort says nothing, and a device is compared with its own past alone. */
export const MIN_PEERS = 20;

export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >>> 1;
  if (sorted.length === 0) return Number.NaN;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/** Probability of `count` or more events where `expected` are expected (Poisson). */
export function poissonTail(count: number, expected: number): number {
  let term = Math.exp(-expected);
  let below = 0;
  for (let index = 0; index < count; index += 1) {
    below += term;
    term *= expected / (index + 1);
  }
  if (below < 1 - 1e-9) return Math.max(0, 1 - below);
  // So far out, the first terms of the tail itself are the better sum.
  return term + (term * expected) / (count + 1);
}

/** Restarts in a day that are anybody's business. */
const MIN_RESTARTS = 3;
const RESTART_SURPRISE = 1e-3;
/** Restarts that a lone device may have in a day. */
const USUAL_RESTARTS = 0.1;

/**
 * Whether a device restarts far more often than its peers in the same day. A rollout restarts them
 * all, and is therefore nothing special.
 */
export function restartsTooOften(
  own: number,
  peers: { devices: number; restarts: number },
): boolean {
  if (own < MIN_RESTARTS) return false;
  const known = peers.devices >= MIN_PEERS;
  // Few peers say when something has restarted them all, and nothing of how seldom that is.
  const expected = known
    ? (peers.restarts + USUAL_RESTARTS) / peers.devices
    : Math.max(USUAL_RESTARTS, (peers.restarts + USUAL_RESTARTS) / (peers.devices + 1));
  return poissonTail(own, Math.max(expected, USUAL_RESTARTS / 10)) < RESTART_SURPRISE;
}
