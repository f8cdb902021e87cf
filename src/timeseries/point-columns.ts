import { NativeWriter, wholeNumber } from "./native-block.ts";
import { TABLES } from "./tables.ts";

const FIRST_CAPACITY = 1_024;

/**
 * Points on their way to the store, column by column as they come: an object for each of a hundred
 * thousand values a second would cost more than storing them does.
 */
export class PointColumns {
  #rows = 0;
  #capacity = FIRST_CAPACITY;
  readonly #tenants = new Keywords();
  readonly #devices = new Keywords();
  readonly #metrics = new Keywords();
  #ts = new Uint32Array(FIRST_CAPACITY * 2);
  #seq = new Uint32Array(FIRST_CAPACITY * 2);
  #values = new Float64Array(FIRST_CAPACITY);

  get rows(): number {
    return this.#rows;
  }

  /** Times are milliseconds since the epoch; times and sequence numbers are safe and not negative. */
  add(
    tenantId: string,
    deviceId: string,
    metric: string,
    ts: number,
    seq: number,
    value: number,
  ): void {
    if (this.#rows === this.#capacity) this.#grow();
    const row = this.#rows++;
    this.#tenants.set(row, tenantId);
    this.#devices.set(row, deviceId);
    this.#metrics.set(row, metric);
    wholeNumber(this.#ts, row, ts);
    wholeNumber(this.#seq, row, seq);
    this.#values[row] = value;
  }

  /** One block of the table `telemetry` in Native format. */
  encode(): Buffer {
    const rows = this.#rows;
    const writer = new NativeWriter(1_024 + rows * 32);
    writer.varint(TABLES.telemetry.length);
    writer.varint(rows);
    for (const { name, key, type } of TABLES.telemetry) {
      writer.string(name);
      writer.string(type);
      this.#encodeColumn(writer, key);
    }
    return writer.bytes();
  }

  /** Empties it, for the next points. */
  clear(): void {
    this.#rows = 0;
    for (const keywords of [this.#tenants, this.#devices, this.#metrics]) keywords.clear();
  }

  #encodeColumn(writer: NativeWriter, key: string): void {
    const rows = this.#rows;
    const keywords = { tenantId: this.#tenants, deviceId: this.#devices, metric: this.#metrics }[
      key
    ];
    if (keywords) keywords.encode(writer, rows);
    else if (key === "value") writer.raw(this.#values.subarray(0, rows));
    else writer.raw((key === "ts" ? this.#ts : this.#seq).subarray(0, rows * 2));
  }

  #grow(): void {
    this.#capacity *= 2;
    for (const keywords of [this.#tenants, this.#devices, this.#metrics]) {
      keywords.grow(this.#capacity);
    }
    const [ts, seq, values] = [this.#ts, this.#seq, this.#values];
    this.#ts = new Uint32Array(this.#capacity * 2);
    this.#seq = new Uint32Array(this.#capacity * 2);
    this.#values = new Float64Array(this.#capacity);
    this.#ts.set(ts);
    this.#seq.set(seq);
    this.#values.set(values);
  }
}

/** A column of texts that repeat: each once, and its place for each row. */
class Keywords {
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
    this.#indexes[row] = this.#lastPlace;
  }

  encode(writer: NativeWriter, rows: number): void {
    writer.dictionary(this.#places.keys(), this.#places.size, this.#indexes.subarray(0, rows));
  }

  clear(): void {
    this.#places.clear();
    this.#last = undefined;
  }

  grow(capacity: number): void {
    const indexes = this.#indexes;
    this.#indexes = new Uint32Array(capacity);
    this.#indexes.set(indexes);
  }
}
