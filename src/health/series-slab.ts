import { presentScore, STATE_LENGTH, scoreNext } from "./series-detector.ts";

const FIRST_CAPACITY = 1_024;

/** The states of many series in one block of memory, found by name. */
export class SeriesSlab {
  readonly #maxSeries: number;
  readonly #places = new Map<string, number>();
  #states = new Float32Array(FIRST_CAPACITY * STATE_LENGTH);

  constructor(maxSeries: number) {
    this.#maxSeries = maxSeries;
  }

  get size(): number {
    return this.#places.size;
  }

  /** Score of the next value of series `name`; undefined where there is no room for another series. */
  score(name: string, timestampMs: number, value: number): number | undefined {
    let place = this.#places.get(name);
    if (place === undefined) {
      if (this.#places.size >= this.#maxSeries) return undefined;
      place = this.#places.size * STATE_LENGTH;
      this.#places.set(name, place);
      if (place + STATE_LENGTH > this.#states.length) this.#grow();
    }
    return scoreNext(this.#states, place, timestampMs, value);
  }

  /** How unusual the newest value of `name` is, reported or not. */
  present(name: string): number {
    const place = this.#places.get(name);
    return place === undefined ? 0 : presentScore(this.#states, place);
  }

  #grow(): void {
    const larger = new Float32Array(this.#states.length * 2);
    larger.set(this.#states);
    this.#states = larger;
  }
}
