import { Doubles, Keywords, Longs } from "./column-builders.ts";
import { MAX_BLOCK_BYTES } from "./journal-record.ts";
import { orderByKey } from "./key-order.ts";
import { encodeNativeBlocks, NativeWriter } from "./native-block.ts";
import { TABLES, type TextRow } from "./tables.ts";
import { WideColumns } from "./wide-columns.ts";

/** Rows for one INSERT, encoded. */
export interface EncodedRows {
  target: string;
  rows: number;
  block: Buffer;
}

export interface NumbersOfMoment {
  /** Milliseconds since the epoch; safe and not negative, as `seq` is. */
  ts: number;
  seq: number;
  names: readonly string[];
  values: Float64Array;
  /** How many of them. */
  count: number;
}

const NAMES = TABLES.telemetry.map(({ name }) => name).join(", ");
const TEXT_NAMES = TABLES.telemetry_texts.map(({ name }) => name).join(", ");

/**
 * Points on their way to the store, column by column as they come: an object for each of a hundred
 * thousand values a second would cost more than storing them does.
 */
export class PointColumns {
  #rows = 0;
  #isShifted = false;
  readonly #tenants = new Keywords();
  readonly #devices = new Keywords();
  readonly #metrics = new Keywords();
  readonly #ts = new Longs();
  readonly #seq = new Longs();
  readonly #shift = new Longs();
  readonly #values = new Doubles();
  readonly wide = new WideColumns();
  readonly #texts: TextRow[] = [];

  /** Rows of all tables. */
  get rows(): number {
    return this.#rows + this.wide.rows + this.#texts.length;
  }

  /**
   * Times are milliseconds since the epoch; times and sequence numbers are safe and not negative.
   * `shiftMs` is what was added to the time that the device gave.
   */
  add(
    tenantId: string,
    deviceId: string,
    metric: string,
    ts: number,
    seq: number,
    value: number,
    shiftMs = 0,
  ): void {
    const row = this.#rows++;
    this.#tenants.set(row, tenantId);
    this.#devices.set(row, deviceId);
    this.#metrics.set(row, metric);
    this.#ts.set(row, ts);
    this.#seq.set(row, seq);
    this.#values.set(row, value);
    if (shiftMs !== 0 && !this.#isShifted) {
      this.#isShifted = true;
      for (let earlier = 0; earlier < row; earlier += 1) this.#shift.set(earlier, 0);
    }
    if (this.#isShifted) this.#shift.set(row, shiftMs);
  }

  /** Numbers of one moment: the first `count` of `names` and `values`, and at least one. */
  addSample(
    { tenantId, deviceId }: { tenantId: string; deviceId: string },
    { ts, seq, names, values, count }: NumbersOfMoment,
  ): void {
    const row = this.#rows;
    this.#rows += count;
    this.#tenants.fill(row, count, tenantId);
    this.#devices.fill(row, count, deviceId);
    for (let at = 0; at < count; at += 1) this.#metrics.set(row + at, names[at] as string);
    this.#ts.fill(row, count, ts);
    this.#seq.fill(row, count, seq);
    this.#values.setAll(row, values, count);
    if (this.#isShifted) this.#shift.fill(row, count, 0);
  }

  addText(row: TextRow): void {
    this.#texts.push(row);
  }

  /**
   * Blocks in Native format for the tables that rows go to. Sorted by the tables' keys, where that is
   * cheap: of use if a block is an INSERT of its own, and none if it is put behind others.
   */
  encode(options: { isSorted: boolean } = { isSorted: false }): EncodedRows[] {
    const encoded: EncodedRows[] = [];
    if (this.#rows > 0) {
      const names = this.#isShifted ? `${NAMES}, shift_ms` : NAMES;
      const target = `telemetry (${names})`;
      encoded.push({ target, rows: this.#rows, block: this.#encodeNarrow(options) });
    }
    const { wide } = this;
    if (wide.rows > 0) {
      encoded.push({ target: wide.target(), rows: wide.rows, block: wide.encode(options) });
    }
    const { length } = this.#texts;
    if (length > 0) {
      const target = `telemetry_texts (${TEXT_NAMES})`;
      for (const part of encodeNativeBlocks(TABLES.telemetry_texts, this.#texts, MAX_BLOCK_BYTES)) {
        encoded.push({ target, ...part });
      }
    }
    return encoded;
  }

  /** Empties it, for the next points. */
  clear(): void {
    this.#rows = 0;
    this.#isShifted = false;
    for (const keywords of [this.#tenants, this.#devices, this.#metrics]) keywords.clear();
    this.wide.clear();
    this.#texts.length = 0;
  }

  #encodeNarrow({ isSorted }: { isSorted: boolean }): Buffer {
    const rows = this.#rows;
    const key = [this.#tenants, this.#devices, this.#metrics];
    const order = isSorted ? orderByKey(rows, key, this.#ts) : undefined;
    const writer = new NativeWriter(1_024 + rows * (this.#isShifted ? 40 : 32));
    writer.varint(TABLES.telemetry.length + (this.#isShifted ? 1 : 0));
    writer.varint(rows);
    for (const column of TABLES.telemetry) {
      writer.string(column.name);
      writer.string(column.type);
      this.#encodeColumn(writer, column.key, order);
    }
    if (this.#isShifted) {
      writer.string("shift_ms");
      writer.string("Int64");
      writer.raw(this.#shift.halves(rows, order));
    }
    return writer.bytes();
  }

  #encodeColumn(writer: NativeWriter, key: string, order: Uint32Array | undefined): void {
    const rows = this.#rows;
    const keywords = { tenantId: this.#tenants, deviceId: this.#devices, metric: this.#metrics }[
      key
    ];
    if (keywords) keywords.encode(writer, rows, order);
    else if (key === "value") writer.raw(this.#values.values(rows, order));
    else writer.raw((key === "ts" ? this.#ts : this.#seq).halves(rows, order));
  }
}
