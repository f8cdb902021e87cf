import type { Random } from "../../kernel/index.ts";

/**
 * Delay before the next attempt: uniform in [0, base · 2^attempt), bounded by the cap. Full jitter
 * spreads a fleet that lost its platform at one moment.
 */
export function fullJitter(
  random: Random,
  attempt: number,
  bounds: { baseMs: number; capMs: number },
): number {
  const ceiling = Math.min(bounds.capMs, bounds.baseMs * 2 ** Math.min(attempt, 30));
  return Math.floor(random.next() * ceiling);
}
