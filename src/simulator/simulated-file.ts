import { type Random, randomInteger } from "../kernel/index.ts";
import type { FileContent } from "./flash-log.ts";
import { PAGE_BYTES, type PagePool } from "./page-pool.ts";

/** Hears of pages that become safe. */
export type OnSafe = (pages: ReadonlyMap<number, Buffer>, sizeBytes: number) => void;

/** Content of a file on a simulated flash: what is safe, and what a power cut may still change. */
export class SimulatedFile {
  readonly #pool: PagePool;
  #safe: (Buffer | undefined)[] = [];
  #safeSize = 0;
  /** Pages written since the last sync. */
  #dirty = new Map<number, Buffer>();
  #size = 0;
  /** Set while the file has a name that is safe. */
  onSafe: OnSafe | undefined;

  constructor(pool: PagePool, content: FileContent = { pages: [], sizeBytes: 0 }) {
    this.#pool = pool;
    this.#safe = content.pages.map((page) => page && pool.share(page));
    this.#safeSize = content.sizeBytes;
    this.#size = content.sizeBytes;
  }

  /** What a power cut leaves in any case. */
  get safeContent(): FileContent {
    return { pages: this.#safe, sizeBytes: this.#safeSize };
  }

  get sizeBytes(): number {
    return this.#size;
  }

  read(offset: number, length: number): Buffer {
    const end = Math.min(offset + length, this.#size);
    if (end <= offset) return Buffer.alloc(0);
    const result = Buffer.alloc(end - offset);
    for (let position = offset; position < end; ) {
      const index = Math.floor(position / PAGE_BYTES);
      const within = position % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - within, end - position);
      const page = this.#dirty.get(index) ?? this.#safe[index];
      page?.copy(result, position - offset, within, within + count);
      position += count;
    }
    return result;
  }

  write(offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.length;
    for (let position = offset; position < end; ) {
      const index = Math.floor(position / PAGE_BYTES);
      const within = position % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - within, end - position);
      const page = this.#writable(index, within + count);
      page.set(bytes.subarray(position - offset, position - offset + count), within);
      position += count;
    }
    this.#size = Math.max(this.#size, end);
  }

  truncate(sizeBytes: number): void {
    if (sizeBytes < this.#size && sizeBytes % PAGE_BYTES !== 0) {
      const index = Math.floor(sizeBytes / PAGE_BYTES);
      this.#writable(index, PAGE_BYTES).fill(0, sizeBytes % PAGE_BYTES);
    }
    for (
      let index = Math.ceil(sizeBytes / PAGE_BYTES);
      index * PAGE_BYTES < this.#size;
      index += 1
    ) {
      this.#dirty.set(index, Buffer.alloc(0));
    }
    this.#size = sizeBytes;
  }

  sync(): void {
    const pages = new Map([...this.#dirty].map(([at, page]) => [at, this.#pool.share(page)]));
    if (pages.size > 0 || this.#size !== this.#safeSize) this.onSafe?.(pages, this.#size);
    for (const [index, page] of pages) this.#safe[index] = page;
    this.#dirty.clear();
    this.#safe.length = Math.min(this.#safe.length, Math.ceil(this.#size / PAGE_BYTES));
    this.#safeSize = this.#size;
  }

  /** Each page that was not synced is as before, as written, or torn in the middle. */
  losePower(random: Random): void {
    for (const [index, page] of this.#dirty) {
      const fate = randomInteger(random, 3);
      if (fate === 0) this.#dirty.delete(index);
      if (fate === 2) this.#dirty.set(index, torn(this.#safe[index], page, random));
    }
    if (randomInteger(random, 2) === 0) this.#size = this.#safeSize;
    this.sync();
  }

  /** A copy of the page that may be changed, long enough to be written up to `end`. */
  #writable(index: number, end: number): Buffer {
    const dirty = this.#dirty.get(index);
    if (dirty && dirty.length >= end) return dirty;
    const before = dirty ?? this.#safe[index];
    const page = Buffer.alloc(Math.max(end, before?.length ?? 0));
    before?.copy(page);
    this.#dirty.set(index, page);
    return page;
  }
}

function torn(before: Buffer | undefined, after: Buffer, random: Random): Buffer {
  const page = Buffer.from(after);
  const cut = randomInteger(random, page.length + 1);
  page.fill(0xff, cut);
  if (before && cut < before.length) before.copy(page, cut, cut);
  return page;
}
