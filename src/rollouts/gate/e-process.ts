/**
 * Tests that stay valid however often one looks (Ville's inequality), as pure steps over plain data.
 *
 * The null hypothesis "the new firmware is no worse" is bet against with one stake for each
 * alternative θ; `E`, the mean of the stakes, exceeds 1/α with a chance of at most α, ever.
 */

/**
 * Alternatives, "θ times the rate", with the share of the first stake that each is given. Most of it
 * lies where stopping pays: three times worse, which widening waits to rule out, and ten.
 */
const ALTERNATIVES: readonly { theta: number; logTheta: number; share: number }[] = [
  { theta: 2, share: 0.03 },
  { theta: 3, share: 0.33 },
  { theta: 4, share: 0.06 },
  { theta: 6, share: 0.08 },
  { theta: 10, share: 0.44 },
  { theta: 20, share: 0.04 },
  { theta: 50, share: 0.01 },
  { theta: 200, share: 0.01 },
].map((alternative) => ({ ...alternative, logTheta: Math.log(alternative.theta) }));

/** Logarithms of the stakes, in the order of the alternatives, and of the likelihood ratio. */
export interface Process {
  logStakes: number[];
  /** Log of the likelihood ratio of "`rateRatio` times worse" against "no worse". */
  logRatio: number;
}

export function freshProcess(): Process {
  return { logStakes: ALTERNATIVES.map(() => 0), logRatio: 0 };
}

/**
 * One look at events of two groups: each event is a coin toss "did it come from the treated?" that
 * shows heads with `nullShare`, the treated group's share of the device-hours, if nothing is worse.
 */
export function weighTosses(
  process: Process,
  toss: { treated: number; control: number; nullShare: number },
  rateRatio: number,
): Process {
  const { treated, control, nullShare } = toss;
  if (treated === 0 && control === 0) return process;
  const gain = (theta: number, logTheta: number) =>
    treated * logTheta - (treated + control) * Math.log(theta * nullShare + 1 - nullShare);
  return advance(process, gain, rateRatio);
}

/** One look at trials of which a good firmware fails at most the share `tolerated`. */
export function weighTrials(
  process: Process,
  trials: { failures: number; successes: number; tolerated: number },
  rateRatio: number,
): Process {
  const { failures, successes, tolerated } = trials;
  const gain = (theta: number) => {
    // A share is at most one; an alternative beyond that says "nearly always".
    const share = Math.max(tolerated, Math.min(theta * tolerated, 0.99));
    return (
      failures * Math.log(share / tolerated) + successes * Math.log((1 - share) / (1 - tolerated))
    );
  };
  return advance(process, gain, rateRatio);
}

/** Alternatives of the sign test, "the treated device is the worse one with this chance". */
const SIGNS: readonly { chance: number; share: number }[] = [
  { chance: 0.55, share: 0.2 },
  { chance: 0.6, share: 0.25 },
  { chance: 0.7, share: 0.25 },
  { chance: 0.8, share: 0.2 },
  { chance: 0.95, share: 0.1 },
];

/**
 * Pairs of a treated device and one of the control, each device in one pair at most, drawn by lot:
 * if nothing is worse, the treated one is the worse with a chance of a half at most, whatever the
 * figures are distributed like. `logStakes` is the state, empty at first.
 */
export function weighSigns(
  logStakes: readonly number[],
  { worse, better }: { worse: number; better: number },
): number[] {
  return SIGNS.map(
    ({ chance }, index) =>
      (logStakes[index] ?? 0) + worse * Math.log(2 * chance) + better * Math.log(2 * (1 - chance)),
  );
}

export function logSignEvidence(logStakes: readonly number[]): number {
  const highest = Math.max(0, ...logStakes);
  const sum = SIGNS.reduce(
    (total, { share }, index) => total + share * Math.exp((logStakes[index] ?? 0) - highest),
    0,
  );
  return highest + Math.log(sum);
}

function advance(
  process: Process,
  gain: (theta: number, logTheta: number) => number,
  rateRatio: number,
): Process {
  return {
    logStakes: process.logStakes.map((stake, index) => {
      const { theta, logTheta } = ALTERNATIVES[index] as (typeof ALTERNATIVES)[number];
      return stake + gain(theta, logTheta);
    }),
    logRatio: process.logRatio + gain(rateRatio, Math.log(rateRatio)),
  };
}

/** Log of E, the mean of the stakes. */
export function logEvidence(process: Process): number {
  const highest = Math.max(...process.logStakes);
  let sum = 0;
  process.logStakes.forEach((stake, index) => {
    sum += (ALTERNATIVES[index] as { share: number }).share * Math.exp(stake - highest);
  });
  return highest + Math.log(sum);
}
