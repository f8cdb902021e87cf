/** Samples of one series in the order of their times. */
export interface Samples {
  times: number[];
  values: number[];
  /** In rollups: of how many points each value is the sum. */
  counts?: number[];
}

/**
 * What a function of a range makes of the samples `from` to `to` (excluded) of a window, which begins
 * after `start` and ends with `end`. Undefined where Prometheus gives no sample.
 */
export type WindowFunction = (
  samples: Samples,
  from: number,
  to: number,
  window: Window & { parameter: number },
) => number | undefined;

/** Milliseconds since the epoch. */
export interface Window {
  start: number;
  end: number;
  /** The step that it is looked at for: its end, but for an offset. */
  moment: number;
}

export const WINDOW_FUNCTIONS: Record<string, WindowFunction> = {
  rate: (samples, from, to, window) => extrapolated(samples, from, to, window, true, true),
  increase: (samples, from, to, window) => extrapolated(samples, from, to, window, true, false),
  delta: (samples, from, to, window) => extrapolated(samples, from, to, window, false, false),
  irate: (samples, from, to) => lastTwo(samples, from, to, true),
  idelta: (samples, from, to) => lastTwo(samples, from, to, false),
  avg_over_time: ({ values, counts }, from, to) =>
    sum(values, from, to) / (counts ? sum(counts, from, to) : to - from),
  min_over_time: ({ values }, from, to) => fold(values, from, to, lesser),
  max_over_time: ({ values }, from, to) => fold(values, from, to, greater),
  sum_over_time: ({ values }, from, to) => sum(values, from, to),
  count_over_time: ({ counts }, from, to) => (counts ? sum(counts, from, to) : to - from),
  last_over_time: ({ values }, _from, to) => values[to - 1],
  present_over_time: () => 1,
  stddev_over_time: ({ values }, from, to) => deviation(values.slice(from, to)),
  stdvar_over_time: ({ values }, from, to) => deviation(values.slice(from, to)) ** 2,
  changes: ({ values }, from, to) =>
    turns(values, from, to, (before, now) => !Object.is(now + 0, before + 0)),
  resets: ({ values }, from, to) => turns(values, from, to, (before, now) => now < before),
  deriv: (samples, from, to) => trend(samples, from, to, samples.times[from] as number)?.slope,
  predict_linear: (samples, from, to, { moment, parameter }) => {
    const line = trend(samples, from, to, moment);
    return line && line.value + line.slope * parameter;
  },
  quantile_over_time: ({ values }, from, to, { parameter }) =>
    quantile(values.slice(from, to), parameter),
};

/** Functions that look at no more than the edges of a window. */
const OF_EDGES = ["last_over_time", "present_over_time", "irate", "idelta"];

/** How many values a function looks at in a window of so many. */
export function workOf(name: string, count: number): number {
  if (OF_EDGES.includes(name)) return 1;
  return name === "quantile_over_time" ? sortingWork(count) : count;
}

export function sortingWork(count: number): number {
  return count * Math.ceil(Math.log2(count + 1));
}

/** What is no number gives way to any that is. */
export function lesser(left: number, right: number): number {
  return right < left || Number.isNaN(left) ? right : left;
}

export function greater(left: number, right: number): number {
  return right > left || Number.isNaN(left) ? right : left;
}

/** Where the number of a function stands among its arguments. */
export const NUMBER_AT: Record<string, 0 | 1> = { quantile_over_time: 0, predict_linear: 1 };

export const COUNTER_FUNCTIONS = ["rate", "increase", "delta", "irate", "idelta"];

/**
 * Prometheus' own arithmetic: the difference between first and last sample, with what a counter held
 * before each restart, stretched to the edges of the window where the samples come close to them.
 */
function extrapolated(
  { times, values }: Samples,
  from: number,
  to: number,
  { start, end }: { start: number; end: number },
  isCounter: boolean,
  isRate: boolean,
): number | undefined {
  if (to - from < 2) return undefined;
  const [firstTime, lastTime] = [times[from], times[to - 1]] as [number, number];
  const first = values[from] as number;
  let growth = (values[to - 1] as number) - first;
  if (isCounter) {
    for (let index = from + 1; index < to; index += 1) {
      const before = values[index - 1] as number;
      if ((values[index] as number) < before) growth += before;
    }
  }
  const sampled = lastTime - firstTime;
  const between = sampled / (to - from - 1);
  let toStart = firstTime - start;
  let toEnd = end - lastTime;
  if (toStart >= between * 1.1) toStart = between / 2;
  // A counter is not thought to have been below nought.
  if (isCounter && growth > 0 && first >= 0)
    toStart = Math.min(toStart, sampled * (first / growth));
  if (toEnd >= between * 1.1) toEnd = between / 2;
  const stretched = growth * ((sampled + toStart + toEnd) / sampled);
  return isRate ? stretched / ((end - start) / 1000) : stretched;
}

function lastTwo({ times, values }: Samples, from: number, to: number, isRate: boolean) {
  if (to - from < 2) return undefined;
  const [before, last] = [values[to - 2], values[to - 1]] as [number, number];
  if (!isRate) return last - before;
  const growth = last < before ? last : last - before;
  return growth / (((times[to - 1] as number) - (times[to - 2] as number)) / 1000);
}

function turns(
  values: readonly number[],
  from: number,
  to: number,
  counts: (before: number, now: number) => boolean,
): number {
  let count = 0;
  for (let index = from + 1; index < to; index += 1) {
    if (counts(values[index - 1] as number, values[index] as number)) count += 1;
  }
  return count;
}

const undefinedTrend = { slope: Number.NaN, value: Number.NaN };

/** The straight line of the least squares: its value at a moment, and what it rises by in a second. */
function trend({ times, values }: Samples, from: number, to: number, at: number) {
  if (to - from < 2) return undefined;
  const count = to - from;
  const first = values[from] as number;
  if (turns(values, from, to, (before, now) => now !== before) === 0) {
    return Number.isFinite(first) ? { slope: 0, value: first } : undefinedTrend;
  }
  let [sumX, sumY, sumXX, sumXY] = [0, 0, 0, 0];
  for (let index = from; index < to; index += 1) {
    const x = ((times[index] as number) - at) / 1000;
    const y = values[index] as number;
    sumX += x;
    sumY += y;
    sumXX += x * x;
    sumXY += x * y;
  }
  const slope = (sumXY - (sumX * sumY) / count) / (sumXX - (sumX * sumX) / count);
  return { slope, value: sumY / count - (slope * sumX) / count };
}

function fold(
  values: readonly number[],
  from: number,
  to: number,
  choose: (left: number, right: number) => number,
): number {
  let result = values[from] as number;
  for (let index = from + 1; index < to; index += 1) {
    result = choose(result, values[index] as number);
  }
  return result;
}

function sum(values: readonly number[], from: number, to: number): number {
  let total = 0;
  for (let index = from; index < to; index += 1) total += values[index] as number;
  return total;
}

export function deviation(values: readonly number[]): number {
  const mean = sum(values, 0, values.length) / values.length;
  const squares = values.map((value) => (value - mean) ** 2);
  return Math.sqrt(sum(squares, 0, squares.length) / values.length);
}

/** With a straight line between two values, as Prometheus has it. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0 || Number.isNaN(q)) return Number.NaN;
  if (q < 0) return Number.NEGATIVE_INFINITY;
  if (q > 1) return Number.POSITIVE_INFINITY;
  const sorted = new Float64Array(values).sort();
  // What is no number is sorted to the end, and counts as the least.
  let last = sorted.length;
  while (last > 0 && Number.isNaN(sorted[last - 1])) last -= 1;
  const at = (place: number) => sorted[(place + last) % sorted.length] as number;
  const place = q * (sorted.length - 1);
  const [low, high] = [at(Math.floor(place)), at(Math.ceil(place))];
  return low + (high - low) * (place - Math.floor(place));
}
