/** Looks are taken every ten minutes; one that comes a little late leaves no gap. */
const LEAST_GAP_MS = 25 * 60_000;
const USUAL_STEPS = 2.5;

/**
 * Moments in the order of time, cut where nobody looked: while the platform was down nothing is known,
 * and a line through it would say that nothing changed.
 */
export function unbroken<Moment extends { at: string }>(moments: readonly Moment[]): Moment[][] {
  const steps = moments.slice(1).map(({ at }, index) => {
    return Date.parse(at) - Date.parse(moments[index]?.at ?? at);
  });
  const usual = [...steps].sort((left, right) => left - right)[steps.length >>> 1] ?? 0;
  const gap = Math.max(LEAST_GAP_MS, USUAL_STEPS * usual);
  const runs: Moment[][] = [];
  moments.forEach((moment, index) => {
    const isCut = index === 0 || (steps[index - 1] ?? 0) > gap;
    if (isCut) runs.push([moment]);
    else runs.at(-1)?.push(moment);
  });
  return runs;
}
