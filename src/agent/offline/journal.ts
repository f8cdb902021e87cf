import { createHash } from "node:crypto";
import type { Storage, StorageFile } from "../ports.ts";

/** Anything that carries a sequence number, which rises from item to item. */
export interface Numbered {
  seq: number;
}

interface Segment {
  name: string;
  sizeBytes: number;
  lastSeq: number;
}

const SEGMENT_BYTES = 64 * 1024;

/**
 * Items on disk until they are acknowledged: append-only segments of checked JSON lines. A power
 * cut loses what was not synced and nothing before it; a whole segment goes when all of it has been
 * acknowledged, so some items may be sent twice, which their sequence numbers make harmless.
 */
export class Journal<Item extends Numbered> {
  readonly #storage: Storage;
  readonly #prefix: string;
  readonly #maxBytes: number;
  #segments: Segment[] = [];
  #open: StorageFile | undefined;
  #working: Promise<unknown> = Promise.resolve();

  constructor(storage: Storage, name: string, maxBytes: number) {
    this.#storage = storage;
    this.#prefix = `${name}-`;
    this.#maxBytes = maxBytes;
  }

  /** Everything that was kept, oldest first. */
  async load(): Promise<Item[]> {
    const names = (await this.#storage.list())
      .filter((name) => name.startsWith(this.#prefix) && name.endsWith(".log"))
      .sort();
    const items: Item[] = [];
    for (const name of names) {
      const content = (await this.#storage.read(name)) ?? new Uint8Array();
      const found = parseLines<Item>(content);
      items.push(...found);
      this.#segments.push({
        name,
        sizeBytes: content.length,
        lastSeq: found.at(-1)?.seq ?? 0,
      });
    }
    return items;
  }

  /** Resolves when the items are on disk. Beyond the bound the oldest segment goes. */
  append(items: readonly Item[]): Promise<void> {
    return this.#serially(async () => {
      const last = items.at(-1);
      if (!last) return;
      const bytes = Buffer.from(items.map(formatLine).join(""));
      const segment = await this.#segmentFor(bytes.length, items[0] as Item);
      const file = this.#open as StorageFile;
      await file.write(segment.sizeBytes, bytes);
      await file.sync();
      segment.sizeBytes += bytes.length;
      segment.lastSeq = last.seq;
      while (this.#sizeBytes() > this.#maxBytes && this.#segments.length > 1) {
        await this.#removeOldest();
      }
    });
  }

  /** Forgets items up to `seq`, a segment at a time. */
  release(seq: number): Promise<void> {
    return this.#serially(async () => {
      while (this.#segments.length > 0 && (this.#segments[0] as Segment).lastSeq <= seq) {
        await this.#removeOldest();
      }
    });
  }

  close(): Promise<void> {
    return this.#serially(() => this.#closeFile());
  }

  #sizeBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }

  /** The segment being written; a new one after a restart, whose end may be torn. */
  async #segmentFor(sizeBytes: number, first: Item): Promise<Segment> {
    const current = this.#segments.at(-1);
    if (this.#open && current && current.sizeBytes + sizeBytes <= SEGMENT_BYTES) return current;
    await this.#closeFile();
    const name = `${this.#prefix}${String(first.seq).padStart(16, "0")}.log`;
    this.#open = await this.#storage.open(name);
    await this.#open.truncate(0);
    await this.#storage.syncDirectory();
    const segment = { name, sizeBytes: 0, lastSeq: first.seq };
    this.#segments.push(segment);
    return segment;
  }

  async #removeOldest(): Promise<void> {
    if (this.#segments.length === 1) await this.#closeFile();
    const oldest = this.#segments.shift();
    if (!oldest) return;
    await this.#storage.remove(oldest.name);
    await this.#storage.syncDirectory();
  }

  async #closeFile(): Promise<void> {
    const file = this.#open;
    this.#open = undefined;
    await file?.close();
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#working.then(work);
    this.#working = done.catch(() => {});
    return done;
  }
}

function formatLine(item: unknown): string {
  const body = JSON.stringify(item);
  return `${digest(body)} ${body}\n`;
}

function parseLines<Item>(content: Uint8Array): Item[] {
  const items: Item[] = [];
  for (const line of Buffer.from(content).toString("utf8").split("\n")) {
    const body = line.slice(9);
    // A torn end: whatever follows was never acknowledged to anyone.
    if (line.length < 10 || line.slice(0, 8) !== digest(body)) break;
    items.push(JSON.parse(body) as Item);
  }
  return items;
}

function digest(body: string): string {
  return createHash("sha256").update(body).digest("hex").slice(0, 8);
}
