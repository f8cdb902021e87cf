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

  /** Whether the number of one row is less than that of another. */
  isLess(row: number, other: number): boolean {
    const halves = this.#halves;
    const high = (halves[row * 2 + 1] as number) - (halves[other * 2 + 1] as number);
    return high < 0 || (high === 0 && (halves[row * 2] as number) < (halves[other * 2] as number));
  }

  /** All rows, in the order given or else as they came. */
  halves(rows: number, order?: Uint32Array): Uint32Array {
    if (!order) return this.#halves.subarray(0, rows * 2);
    const halves = new Uint32Array(rows * 2);
    for (let at = 0; at < rows; at += 1) {
      const row = order[at] as number;
      halves[at * 2] = this.#halves[row * 2] as number;
      halves[at * 2 + 1] = this.#halves[row * 2 + 1] as number;
    }
    return halves;
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

  /** All rows, in the order given or else as they came. */
  values(rows: number, order?: Uint32Array): Float64Array {
    if (!order) return this.#values.subarray(0, rows);
    const values = new Float64Array(rows);
    for (let at = 0; at < rows; at += 1) values[at] = this.#values[order[at] as number] as number;
    return values;
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

  /** How many texts there are. */
  get count(): number {
    return this.#places.size;
  }

  isSame(row: number, other: number): boolean {
    return this.#indexes[row] === this.#indexes[other];
  }

  /** The rows of `order` by their texts; those of one text stay in the order they have. */
  sorted(order: Uint32Array): Uint32Array {
    const { size } = this.#places;
    if (size < 2) return order;
    const texts = [...this.#places.keys()];
    const ranks = new Uint32Array(size);
    for (const [rank, text] of [...texts].sort(byCodeUnits).entries()) {
      ranks[this.#places.get(text) as number] = rank;
    }
    const indexes = this.#indexes;
    const starts = new Uint32Array(size + 1);
    for (let at = 0; at < order.length; at += 1) {
      const rank = ranks[indexes[order[at] as number] as number] as number;
      starts[rank + 1] = (starts[rank + 1] as number) + 1;
    }
    for (let rank = 1; rank < size; rank += 1) {
      starts[rank] = (starts[rank] as number) + (starts[rank - 1] as number);
    }
    const result = new Uint32Array(order.length);
    for (let at = 0; at < order.length; at += 1) {
      const row = order[at] as number;
      const rank = ranks[indexes[row] as number] as number;
      const place = starts[rank] as number;
      result[place] = row;
      starts[rank] = place + 1;
    }
    return result;
  }

  /** All rows, in the order given or else as they came. */
  encode(writer: NativeWriter, rows: number, order?: Uint32Array): void {
    let indexes = this.#indexes.subarray(0, rows);
    if (order) {
      indexes = new Uint32Array(rows);
      for (let at = 0; at < rows; at += 1) {
        indexes[at] = this.#indexes[order[at] as number] as number;
      }
    }
    writer.dictionary(this.#places.keys(), this.#places.size, indexes);
  }

  clear(): void {
    this.#places.clear();
    this.#last = undefined;
  }
}

function byCodeUnits(one: string, other: string): number {
  return one < other ? -1 : 1;
}
