import {
  at,
  begin,
  MAX_RUN,
  Mode,
  modeOf,
  moveOrigin,
  originOf,
  Part,
  Place,
  readPart,
  WARM_UP,
  writePart,
} from "./series-state.ts";

/** Rises of the warm-up, without one fall, by which a series is taken for a total that only grows. */
const RISES = 0.8 * WARM_UP;
/** Falls that a total may have: restarts of what counts it. */
const USUAL_RESETS = 3;
const RESET_SHARE = 0.02;
/** Seconds begin anew here: a float holds all below it exactly. */
const TURN_SECONDS = 2 ** 24;

/**
 * What a total that only grows is judged by is how fast it grows. Follows whether this series is one;
 * undefined where `value` only moves where it stands (a beginning, a reset) and is not to be scored.
 */
export function judgedValue(
  state: Float32Array,
  base: number,
  timestampMs: number,
  value: number,
): number | undefined {
  const mode = modeOf(state, base);
  if (mode === Mode.value) return value - originOf(state, base);
  if (mode === Mode.counter) return rateOf(state, base, timestampMs, value);
  const count = at(state, base + Place.count);
  const x = value - originOf(state, base);
  if (count < WARM_UP) {
    const step = Math.fround(x) - at(state, base + Place.previous);
    if (count > 0 && step !== 0) {
      writePart(state, base + Place.kind, Part.mode, step < 0 ? Mode.value : mode + 1);
    }
    return x;
  }
  if (mode < RISES) {
    writePart(state, base + Place.kind, Part.mode, Mode.value);
    return x;
  }
  begin(state, base, value, Mode.counter);
  state[base + Place.seconds] = secondsOf(timestampMs);
  return undefined;
}

/** The growth for each second since the newest value, which `value` becomes. */
function rateOf(
  state: Float32Array,
  base: number,
  timestampMs: number,
  value: number,
): number | undefined {
  const grown = value - originOf(state, base);
  if (grown < 0) {
    const kind = base + Place.kind;
    const resets = Math.min(readPart(state, kind, Part.run) + 1, MAX_RUN);
    writePart(state, kind, Part.run, resets);
    // What falls again and again is no total after all.
    if (resets > USUAL_RESETS + RESET_SHARE * at(state, base + Place.count)) {
      begin(state, base, value, Mode.value);
    }
  }
  const seconds = secondsOf(timestampMs);
  const passed = elapsed(at(state, base + Place.seconds), seconds);
  moveOrigin(state, base, value);
  state[base + Place.seconds] = seconds;
  return grown < 0 ? undefined : grown / passed;
}

function secondsOf(timestampMs: number): number {
  return ((Math.floor(timestampMs / 1_000) % TURN_SECONDS) + TURN_SECONDS) % TURN_SECONDS;
}

/** At least one: two values within a second are taken for one second apart. */
export function elapsed(before: number, now: number): number {
  const passed = now - before;
  return Math.max(1, passed < -TURN_SECONDS / 2 ? passed + TURN_SECONDS : passed);
}
