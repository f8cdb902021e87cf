import { expectedValue, presentScore, STATE_LENGTH, scoreNext } from "./series-detector.ts";

const FIRST_CAPACITY = 1_024;
/** A series that has not been heard of for so long gives its place to another one. */
const STALE_MS = 14 * 86_400_000;
/** How often a full slab looks for such series. */
const RECLAIM_EVERY_MS = 3_600_000;

/** The states of many series as they are kept over a restart. */
export interface SlabSnapshot {
  names: string[];
  /** Time of each series' newest value. */
  seen: number[];
  /** `STATE_LENGTH` floats for each name, in its order. */
  states: Float32Array;
}

/** The states of many series in one block of memory, found by name. */
export class SeriesSlab {
  readonly #maxSeries: number;
  #places = new Map<string, number>();
  #seen: number[] = [];
  #states = new Float32Array(FIRST_CAPACITY * STATE_LENGTH);
  #newest = Number.NEGATIVE_INFINITY;
  #reclaimedAt = Number.NEGATIVE_INFINITY;

  constructor(maxSeries: number) {
    this.#maxSeries = maxSeries;
  }

  get size(): number {
    return this.#places.size;
  }

  /** Score of the next value of series `name`; undefined where there is no room for another series. */
  score(name: string, timestampMs: number, value: number): number | undefined {
    this.#newest = Math.max(this.#newest, timestampMs);
    const place = this.#places.get(name) ?? this.#claim(name);
    if (place === undefined) return undefined;
    this.#seen[place] = timestampMs;
    return scoreNext(this.#states, place * STATE_LENGTH, timestampMs, value);
  }

  /** How unusual the newest value of `name` is, reported or not. */
  present(name: string): number {
    const place = this.#places.get(name);
    return place === undefined ? 0 : presentScore(this.#states, place * STATE_LENGTH);
  }

  /** What the newest value of `name` was expected to be; undefined for a series that is not known. */
  expected(name: string): number | undefined {
    const place = this.#places.get(name);
    return place === undefined ? undefined : expectedValue(this.#states, place * STATE_LENGTH);
  }

  /** Everything that is not stale. */
  snapshot(): SlabSnapshot {
    const living = [...this.#places].filter(([, place]) => !this.#isStale(place));
    const states = new Float32Array(living.length * STATE_LENGTH);
    for (const [index, [, place]] of living.entries()) {
      const from = place * STATE_LENGTH;
      states.set(this.#states.subarray(from, from + STATE_LENGTH), index * STATE_LENGTH);
    }
    return {
      names: living.map(([name]) => name),
      seen: living.map(([, place]) => this.#seen[place] as number),
      states,
    };
  }

  /** Takes the place of everything that is known, as far as there is room. */
  restore({ names, seen, states }: SlabSnapshot): void {
    const kept = names.slice(0, this.#maxSeries);
    this.#places = new Map(kept.map((name, place) => [name, place]));
    this.#seen = seen.slice(0, kept.length);
    this.#newest = this.#seen.reduce((newest, at) => Math.max(newest, at), this.#newest);
    this.#states = new Float32Array(Math.max(kept.length, FIRST_CAPACITY) * STATE_LENGTH);
    this.#states.set(states.subarray(0, kept.length * STATE_LENGTH));
  }

  #claim(name: string): number | undefined {
    if (this.#places.size >= this.#maxSeries && !this.#reclaim()) return undefined;
    const place = this.#places.size;
    this.#places.set(name, place);
    const end = (place + 1) * STATE_LENGTH;
    if (end > this.#states.length) {
      const larger = new Float32Array(this.#states.length * 2);
      larger.set(this.#states);
      this.#states = larger;
    }
    this.#states.fill(0, place * STATE_LENGTH, end);
    return place;
  }

  /** Makes room by forgetting stale series; whether there is some now. */
  #reclaim(): boolean {
    if (this.#newest - this.#reclaimedAt < RECLAIM_EVERY_MS) return false;
    this.#reclaimedAt = this.#newest;
    this.restore(this.snapshot());
    return this.#places.size < this.#maxSeries;
  }

  #isStale(place: number): boolean {
    return (this.#seen[place] as number) < this.#newest - STALE_MS;
  }
}
