import { type NativeWriter, wholeNumber } from "./native-block.ts";

const FIRST_CAPACITY = 1_024;

/** A column of 64-bit whole numbers, as two halves each. Values are safe integers. */
export class Longs {
  #halves = new Uint32Array(FIRST_CAPACITY * 2);

  set(row: number, value: number): void {
    if (row * 2 >= this.#halves.length) {
      const larger = new Uint32Array(Math.max(this.#halves.length * 2, (row + 1) * 2));
      larger.set(this.#halves);
      this.#halves = larger;
    }
    wholeNumber(this.#halves, row, value);
  }

  /** The same number in `count` rows. */
  fill(row: number, count: number, value: number): void {
    // The last one first: then there is room for all.
    this.set(row + count - 1, value);
    const halves = this.#halves;
    const low = halves[(row + count - 1) * 2] as number;
    const high = halves[(row + count - 1) * 2 + 1] as number;
    for (let at = row * 2; at < (row + count) * 2; at += 2) {
      halves[at] = low;
      halves[at + 1] = high;
    }
  }

  halves(rows: number): Uint32Array {
    return this.#halves.subarray(0, rows * 2);
  }
}

/** A column of numbers. */
export class Doubles {
  #values = new Float64Array(FIRST_CAPACITY);

  set(row: number, value: number): void {
    if (row >= this.#values.length) {
      const larger = new Float64Array(Math.max(this.#values.length * 2, row + 1));
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[row] = value;
  }

  /** The first `count` of `values`. */
  setAll(row: number, values: Float64Array, count: number): void {
    this.set(row + count - 1, values[count - 1] as number);
    for (let index = 0; index < count; index += 1) {
      this.#values[row + index] = values[index] as number;
    }
  }

  values(rows: number): Float64Array {
    return this.#values.subarray(0, rows);
  }
}

/** A column of texts that repeat: each once, and its place for each row. */
export class Keywords {
  readonly #places = new Map<string, number>();
  #indexes = new Uint32Array(FIRST_CAPACITY);
  #last: string | undefined;
  #lastPlace = 0;

  set(row: number, text: string): void {
    if (text !== this.#last) {
      let place = this.#places.get(text);
      if (place === undefined) {
        place = this.#places.size;
        this.#places.set(text, place);
      }
      this.#last = text;
      this.#lastPlace = place;
    }
    if (row >= this.#indexes.length) {
      const larger = new Uint32Array(Math.max(this.#indexes.length * 2, row + 1));
      larger.set(this.#indexes);
      this.#indexes = larger;
    }
    this.#indexes[row] = this.#lastPlace;
  }

  /** The same text in `count` rows. */
  fill(row: number, count: number, text: string): void {
    this.set(row + count - 1, text);
    this.#indexes.fill(this.#lastPlace, row, row + count);
  }

  encode(writer: NativeWriter, rows: number): void {
    writer.dictionary(this.#places.keys(), this.#places.size, this.#indexes.subarray(0, rows));
  }

  clear(): void {
    this.#places.clear();
    this.#last = undefined;
  }
}
