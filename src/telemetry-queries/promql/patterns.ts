import { setImmediate as turn } from "node:timers/promises";
import { RE2JS } from "re2js";
import { AppError } from "../../kernel/index.ts";
import { PromqlError } from "./error.ts";

/** Of all patterns of one query: a repetition counts for what it is written out. */
export const MAX_PATTERN_SIZE = 100_000;
const MAX_REPEATS = 1_000;
/** A class of Unicode is made of hundreds of ranges. */
const CLASS_SIZE = 200;
const KEPT = 50;
const kept = new Map<string, RE2JS>();

/** How large a pattern is at most when its repetitions are written out, as its machine has them. */
export function patternSize(pattern: string): number {
  let repeats = 1;
  for (const [, least, most] of pattern.matchAll(/\{(\d+)(?:,(\d*))?\}/g)) {
    repeats = Math.min(MAX_REPEATS, repeats * Math.max(1, Number(least), Number(most || 0)));
  }
  const classes = pattern.match(/\\[pP]/g)?.length ?? 0;
  return (pattern.length + classes * CLASS_SIZE) * repeats;
}

/**
 * RE2, as in Prometheus: its time is linear in what it reads, and in the size of the pattern. Throws what
 * the library throws where the pattern is wrong.
 */
export function compiled(pattern: string): RE2JS {
  const known = kept.get(pattern);
  if (known) return known;
  if (patternSize(pattern) > MAX_PATTERN_SIZE) {
    throw new PromqlError("the regular expression is too large", 0);
  }
  const made = RE2JS.compile(pattern);
  const [oldest] = kept.keys();
  if (kept.size >= KEPT && oldest !== undefined) kept.delete(oldest);
  kept.set(pattern, made);
  return made;
}

const TURN_MS = 20;
const MAX_MS = 3_000;
const LOOKED_AT_ONCE = 16;

/**
 * Does `each` with every item, in turns: a large pattern takes half a millisecond a text. Throws
 * `query-too-expensive` after three seconds of it.
 */
export async function inTurns<Item>(
  items: readonly Item[],
  each: (item: Item) => void,
): Promise<void> {
  let spent = 0;
  let since = performance.now();
  for (const [index, item] of items.entries()) {
    each(item);
    if (index % LOOKED_AT_ONCE > 0) continue;
    const ms = performance.now() - since;
    if (ms < TURN_MS) continue;
    spent += ms;
    if (spent > MAX_MS) {
      const hint = "write plainer ones, or name what is meant";
      throw new AppError("query-too-expensive", `the regular expressions take too long: ${hint}`);
    }
    await turn();
    since = performance.now();
  }
}
