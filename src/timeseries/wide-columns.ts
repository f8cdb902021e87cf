import { Keywords, Longs } from "./column-builders.ts";
import { orderByKey } from "./key-order.ts";
import { NativeWriter } from "./native-block.ts";
import { WIDE_SLOTS } from "./readable.ts";

/** Slots of a row, as the columns of one INSERT: few widths, for each is an INSERT of its own. */
const WIDTHS = [4, 8, 16, WIDE_SLOTS];

/** Rows of the table `telemetry_wide` on their way to the store, column by column. */
export class WideColumns {
  #rows = 0;
  #width = WIDTHS[0] as number;
  readonly #tenants = new Keywords();
  readonly #devices = new Keywords();
  readonly #products = new Keywords();
  readonly #layouts = new Keywords();
  readonly #ts = new Longs();
  readonly #seq = new Longs();
  readonly #slots = Array.from({ length: WIDE_SLOTS }, () => new Longs());
  /** 1 where a row has nothing in a slot, as Native format wants it; by slot. */
  readonly #empty = Array.from({ length: WIDE_SLOTS }, () => new Uint8Array(0));

  get rows(): number {
    return this.#rows;
  }

  /** Begins a row; `set` fills it. */
  begin(
    tenantId: string,
    deviceId: string,
    product: string,
    layout: string,
    ts: number,
    seq: number,
  ): void {
    const row = this.#rows++;
    this.#tenants.set(row, tenantId);
    this.#devices.set(row, deviceId);
    this.#products.set(row, product);
    this.#layouts.set(row, layout);
    this.#ts.set(row, ts);
    this.#seq.set(row, seq);
    for (let slot = 0; slot < this.#width; slot += 1) this.#clear(slot, row);
  }

  /** A value of the row that was begun last; slots are counted from 1. */
  set(slot: number, scaled: number): void {
    while (slot > this.#width) this.#widen();
    const row = this.#rows - 1;
    (this.#slots[slot - 1] as Longs).set(row, scaled);
    (this.#empty[slot - 1] as Uint8Array)[row] = 0;
  }

  /** Table and columns of the INSERT. */
  target(): string {
    const slots = Array.from({ length: this.#width }, (_, index) => `i${index + 1}`);
    return `telemetry_wide (tenant_id, device_id, product, ts, seq, layout, ${slots.join(", ")})`;
  }

  /** One block in Native format, sorted by the table's key where that is cheap and asked for. */
  encode({ isSorted }: { isSorted: boolean }): Buffer {
    const rows = this.#rows;
    const key = [this.#tenants, this.#devices, this.#products];
    const order = isSorted ? orderByKey(rows, key, this.#ts) : undefined;
    const writer = new NativeWriter(1_024 + rows * (24 + this.#width * 9));
    writer.varint(6 + this.#width);
    writer.varint(rows);
    const column = (name: string, type: string) => {
      writer.string(name);
      writer.string(type);
    };
    const keywords = (name: string, values: Keywords) => {
      column(name, "LowCardinality(String)");
      values.encode(writer, rows, order);
    };
    keywords("tenant_id", this.#tenants);
    keywords("device_id", this.#devices);
    keywords("product", this.#products);
    column("ts", "DateTime64(3, 'UTC')");
    writer.raw(this.#ts.halves(rows, order));
    column("seq", "UInt64");
    writer.raw(this.#seq.halves(rows, order));
    keywords("layout", this.#layouts);
    for (let slot = 0; slot < this.#width; slot += 1) {
      column(`i${slot + 1}`, "Nullable(Int64)");
      writer.raw(inOrder((this.#empty[slot] as Uint8Array).subarray(0, rows), order));
      writer.raw((this.#slots[slot] as Longs).halves(rows, order));
    }
    return writer.bytes();
  }

  clear(): void {
    this.#rows = 0;
    this.#width = WIDTHS[0] as number;
    for (const values of [this.#tenants, this.#devices, this.#products, this.#layouts]) {
      values.clear();
    }
  }

  #clear(slot: number, row: number): void {
    const empty = this.#empty[slot] as Uint8Array;
    if (row < empty.length) empty[row] = 1;
    else {
      const larger = new Uint8Array(Math.max(1_024, empty.length * 2)).fill(1);
      larger.set(empty);
      this.#empty[slot] = larger;
    }
    (this.#slots[slot] as Longs).set(row, 0);
  }

  #widen(): void {
    const width = WIDTHS.find((candidate) => candidate > this.#width) as number;
    for (let slot = this.#width; slot < width; slot += 1) {
      for (let row = 0; row < this.#rows; row += 1) this.#clear(slot, row);
    }
    this.#width = width;
  }
}

function inOrder(bytes: Uint8Array, order: Uint32Array | undefined): Uint8Array {
  if (!order) return bytes;
  const result = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at += 1) result[at] = bytes[order[at] as number] as number;
  return result;
}
