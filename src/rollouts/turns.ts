/** Ordinals from the first to before the second. */
export type Range = readonly [number, number];

/**
 * The part of a list whose turn it is: another one each time that `everyMs` has gone by, round and
 * round, so that who is at the head of a long list and never answers keeps nobody else waiting.
 */
export function turnOf(
  nowMs: number,
  everyMs: number,
  { first, past, span }: { first: number; past: number; span: number },
): Range[] {
  const size = past - first;
  if (size <= 0) return [];
  if (size <= span) return [[first, past]];
  const start = first + ((Math.floor(nowMs / everyMs) * span) % size);
  const end = start + span;
  return end <= past
    ? [[start, end]]
    : [
        [start, past],
        [first, first + end - past],
      ];
}
