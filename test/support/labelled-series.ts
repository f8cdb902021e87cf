import { seededRandom } from "../../src/kernel/index.ts";

/** A made-up series with faults planted at known places. */
export interface LabelledSeries {
  name: string;
  points: { ts: number; value: number }[];
  /** Windows of indices in which a report is right. */
  windows: { from: number; to: number }[];
}

const STEP_MS = 300_000;
const LENGTH = 4_000;
const DAY = 288;
const WINDOW = 100;
const KINDS = ["spike", "shift", "dropout", "drift", "season", "burst"] as const;
const BASES = ["noise", "daily", "weekly", "walk", "counts"] as const;

/** One series for each base and kind of fault and seed: the same ones for the same seeds. */
export function labelledSeries(seeds: readonly number[]): LabelledSeries[] {
  return seeds.flatMap((seed) =>
    BASES.flatMap((base) => KINDS.map((kind) => makeSeries(base, kind, seed))),
  );
}

function makeSeries(
  base: (typeof BASES)[number],
  kind: (typeof KINDS)[number],
  seed: number,
): LabelledSeries {
  const random = seededRandom(seed * 977 + BASES.indexOf(base) * 31 + KINDS.indexOf(kind));
  const noise = () => random.next() + random.next() + random.next() - 1.5;
  const at = 2_000 + Math.floor(random.next() * 1_500);
  let level = 0;
  const points = Array.from({ length: LENGTH }, (_, index) => {
    level = 0.98 * level + noise() * 0.3;
    const clean = baseValue(base, index, level, noise());
    return { ts: index * STEP_MS, value: faulty(kind, clean, index - at, noise()) };
  });
  const from = at - 10;
  return {
    name: `${base} with a ${kind}, seed ${seed}`,
    points,
    windows: [{ from, to: from + WINDOW }],
  };
}

function baseValue(base: (typeof BASES)[number], index: number, level: number, noise: number) {
  const day = Math.sin((2 * Math.PI * index) / DAY);
  switch (base) {
    case "noise":
      return 20 + noise;
    case "daily":
      return 20 + 5 * day + noise;
    case "weekly":
      return 20 + (Math.floor(index / DAY) % 7 < 5 ? 6 : 1) * Math.max(0, day) + noise * 0.6;
    case "walk":
      return 20 + 3 * level + noise * 0.3;
    default:
      return Math.max(0, Math.round(4 + 2 * day + 2 * noise));
  }
}

function faulty(kind: (typeof KINDS)[number], value: number, since: number, noise: number) {
  if (since < 0) return value;
  switch (kind) {
    case "spike":
      return since < 2 ? value + 15 : value;
    case "shift":
      return value + 8;
    case "dropout":
      return since < 20 ? 0 : value;
    case "drift":
      return value + Math.min(12, since * 0.12);
    case "season":
      return since < DAY ? value + 6 * Math.sin(since / 6) : value;
    default:
      return since < 40 ? value + 6 * noise : value;
  }
}
