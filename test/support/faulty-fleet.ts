import { type Random, seededRandom } from "../../src/kernel/index.ts";

/**
 * Made-up series of the shapes that devices' figures have, and the faults that befall them. Sizes are
 * in terms of the shape's own noise, so that what is asked is the same of each. The same ones for the
 * same seeds.
 */
export const SHAPES = [
  "noise",
  "daily",
  "weekdays",
  "walk",
  "counts",
  "counter",
  "sawtooth",
  "duty",
  "rare",
  "heavy",
  "quantised",
  "gaps",
  "summertime",
  "constant",
] as const;
export const FAULTS = [
  "spike",
  "dip",
  "shift",
  "drift",
  "louder",
  "stuck",
  "dropout",
  "train",
  "phase",
] as const;
/** What makes no difference to a shape, or less than what it does by itself. */
export const NO_FAULT = new Set([
  ...["noise", "walk", "gaps", "rare", "constant", "heavy", "counter"].map((it) => `${it} phase`),
  ...["dip", "drift", "dropout", "stuck"].map((fault) => `rare ${fault}`),
  ...["constant stuck", "heavy dip"],
]);
export type Shape = (typeof SHAPES)[number];
export type Fault = (typeof FAULTS)[number];

export interface Points {
  ts: Float64Array;
  values: Float64Array;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A Monday. */
const START_MS = Date.UTC(2026, 2, 16);

export function gaussian(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

/** A value of `shape` at a time, and the size of its usual noise. */
function shapeOf(shape: Shape, random: Random): { next(ts: number): number; noise: number } {
  const noise = () => gaussian(random);
  const dayAt = (ts: number) => Math.sin((2 * Math.PI * (ts % DAY_MS)) / DAY_MS);
  let held = 0;
  let total = Math.floor(random.next() * 1e5);
  const cycle = (20 + random.next() * 40) * 60_000;
  switch (shape) {
    case "noise":
    case "gaps":
      return { noise: 1, next: () => 20 + noise() };
    case "daily":
      return { noise: 1, next: (ts) => 20 + 5 * dayAt(ts) + noise() };
    case "summertime":
      // Local time: from the sixteenth day on everything is an hour earlier.
      return {
        noise: 1,
        next: (ts) =>
          20 + 8 * Math.max(0, dayAt(ts + (ts >= START_MS + 16 * DAY_MS ? HOUR_MS : 0))) + noise(),
      };
    case "weekdays":
      return {
        noise: 0.6,
        next: (ts) => {
          const isWeekday = Math.floor((ts - START_MS) / DAY_MS) % 7 < 5;
          return 20 + (isWeekday ? 8 : 1) * Math.max(0, dayAt(ts)) + 0.6 * noise();
        },
      };
    case "walk":
      return {
        noise: 1.5,
        next: () => {
          held = 0.98 * held + 0.3 * noise();
          return 20 + held + 0.3 * noise();
        },
      };
    case "counts":
      return { noise: 2, next: (ts) => Math.max(0, Math.round(4 + 2 * dayAt(ts) + 2 * noise())) };
    case "counter":
      // Grows by itself and starts again at zero, as a reboot would have it.
      return {
        noise: 40,
        next: () => {
          total = random.next() < 1 / 3_000 ? 0 : total + Math.max(0, 40 + 10 * noise());
          return total;
        },
      };
    case "sawtooth":
      // A battery that empties by day and is filled, a disk that fills and is tidied.
      return {
        noise: 0.5,
        next: (ts) => 90 - ((ts / HOUR_MS) % 18) * 3 + 0.5 * noise(),
      };
    case "duty":
      // A compressor that runs for a third of each cycle.
      return {
        noise: 1,
        next: (ts) => (ts % cycle < cycle / 3 ? 40 : 5) + noise(),
      };
    case "rare":
      // Mostly nothing, at times a little.
      return { noise: 4, next: () => (random.next() < 0.02 ? 5 + 10 * random.next() : 0) };
    case "heavy":
      return { noise: 8, next: () => 10 * Math.exp(0.6 * noise()) };
    case "quantised":
      return { noise: 0.5, next: (ts) => Math.round((20 + dayAt(ts) + 0.3 * noise()) * 2) / 2 };
    default:
      return { noise: 1, next: () => 20 };
  }
}

export interface Plan {
  shape: Shape;
  fault?: Fault;
  seed: number;
  days: number;
  stepMs: number;
  /** Where the fault begins, days after the start. */
  faultDay?: number;
}

/** The points of a series, and when its fault begins (Infinity for none). */
export function faultySeries(plan: Plan): Points & { faultAt: number } {
  const { shape, fault, seed, days, stepMs } = plan;
  const random = seededRandom(
    seed * 977 + SHAPES.indexOf(shape) * 31 + (fault ? FAULTS.indexOf(fault) + 1 : 0),
  );
  const base = shapeOf(shape, random);
  const jitter = random.next();
  const faultAt = fault
    ? START_MS + ((plan.faultDay ?? days * 0.75) + random.next()) * DAY_MS
    : Number.POSITIVE_INFINITY;
  const ts: number[] = [];
  const values: number[] = [];
  let stuckAt: number | undefined;
  for (let at = START_MS; at < START_MS + days * DAY_MS; at += stepMs) {
    const isPhase = fault === "phase" && at >= faultAt;
    const clean = base.next(isPhase ? at + DAY_MS / 2 + 600_000 : at);
    // A line that fails now and then, and now and then for hours.
    if (shape === "gaps" && (random.next() < 0.2 || Math.floor(at / (7 * HOUR_MS)) % 9 === 0))
      continue;
    if (fault === "stuck" && at >= faultAt) stuckAt ??= clean;
    const since = at < faultAt ? -1 : Math.floor((at - faultAt) / stepMs);
    ts.push(at + Math.floor(jitter * 5_000));
    values.push(stuckAt ?? faulty(fault, clean, since, base.noise, random));
  }
  return { ts: Float64Array.from(ts), values: Float64Array.from(values), faultAt };
}

function faulty(
  fault: Fault | undefined,
  value: number,
  since: number,
  noise: number,
  random: Random,
): number {
  if (since < 0) return value;
  switch (fault) {
    case "spike":
      return since < 2 ? value + 12 * noise : value;
    case "dip":
      return since < 3 ? value - 10 * noise : value;
    case "shift":
      return value + 6 * noise;
    case "drift":
      return value + Math.min(12, since * 0.03) * noise;
    case "louder":
      return since < 288 ? value + 4 * noise * gaussian(random) : value;
    case "dropout":
      return since < 30 ? 0 : value;
    case "train":
      return since < 288 && since % 12 === 0 ? value + 8 * noise : value;
    default:
      return value;
  }
}
