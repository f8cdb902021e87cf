/** Rates of rare events with their confidence, and the comparison of two. Pure. */

/** Two-sided 95 %. */
const Z = 1.959964;
const PER_HOURS = 1_000;

export interface Exposure {
  /** Events, at most one a device and day: whoever crashes all day long is one broken device. */
  events: number;
  deviceHours: number;
}

export interface Rate extends Exposure {
  /** Events in a thousand device-hours; null without any exposure. */
  rate: number | null;
  low: number | null;
  high: number | null;
}

/**
 * A Poisson rate with Byar's approximation of the exact interval (Breslow & Day, Statistical Methods
 * in Cancer Research II, 1987, §2.3): within a percent of it from one event on.
 */
export function rateOf({ events, deviceHours }: Exposure): Rate {
  if (deviceHours <= 0) return { events, deviceHours, rate: null, low: null, high: null };
  const scale = PER_HOURS / deviceHours;
  const cube = (count: number, z: number) =>
    count <= 0 ? 0 : count * (1 - 1 / (9 * count) + z / (3 * Math.sqrt(count))) ** 3;
  return {
    events,
    deviceHours,
    rate: events * scale,
    low: Math.max(0, cube(events, -Z)) * scale,
    high: cube(events + 1, Z) * scale,
  };
}

export interface RateComparison {
  /** How many times the source's rate the target's is; null where the source has no events. */
  ratio: number | null;
  low: number;
  /** Null where nothing bounds it. */
  high: number | null;
  verdict: "better" | "worse" | "no-difference-shown" | "too-little-to-say";
}

/** Fewer events than this in both together say nothing. */
const FEWEST_EVENTS = 5;

/**
 * Two Poisson rates: given their sum, the target's events are binomial with share r·T/(r·T + S)
 * (Przyborowski & Wilenski, 1940); Wilson's score interval (1927) of that share bounds r.
 */
export function compareRates(target: Exposure, source: Exposure): RateComparison {
  const events = target.events + source.events;
  if (target.deviceHours <= 0 || source.deviceHours <= 0 || events === 0) {
    return { ratio: null, low: 0, high: null, verdict: "too-little-to-say" };
  }
  const odds = source.deviceHours / target.deviceHours;
  const share = target.events / events;
  const spread = Z * Math.sqrt((share * (1 - share)) / events + Z ** 2 / (4 * events ** 2));
  const bound = (sign: number) =>
    Math.min(
      1,
      Math.max(0, (share + Z ** 2 / (2 * events) + sign * spread) / (1 + Z ** 2 / events)),
    );
  const ratioOf = (part: number) => (part >= 1 - 1e-12 ? null : (part / (1 - part)) * odds);
  const low = ratioOf(bound(-1)) ?? 0;
  const high = ratioOf(bound(1));
  const enough = events >= FEWEST_EVENTS;
  const verdict = !enough
    ? "too-little-to-say"
    : low > 1
      ? "worse"
      : high !== null && high < 1
        ? "better"
        : "no-difference-shown";
  return { ratio: source.events === 0 ? null : ratioOf(share), low, high, verdict };
}
