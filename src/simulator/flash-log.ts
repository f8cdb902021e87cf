import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { PAGE_BYTES, type PagePool } from "./page-pool.ts";

/** Content of a file in pages; a short or missing page reads as zeros up to `sizeBytes`. */
export interface FileContent {
  pages: readonly (Buffer | undefined)[];
  sizeBytes: number;
}

/**
 * Where the safe part of a simulated flash outlives the process: told of each change when it has
 * become safe, and before the agent hears that it has.
 */
export interface FlashKeeper {
  load(): Map<string, FileContent>;
  /** A file has come under this name, with this content. */
  link(name: string, content: FileContent): void;
  /** Pages of a file have become safe. */
  write(name: string, pages: ReadonlyMap<number, Buffer>, sizeBytes: number): void;
  rename(from: string, to: string): void;
  remove(name: string): void;
}

/** One change. Bytes of ordinary files stand in the record, pages of images in the pool. */
type LogRecord =
  | { do: "write"; name: string; sizeBytes: number; bytes?: [offset: number, base64: string][] }
  | { do: "image"; name: string; sizeBytes: number; pages: [index: number, name: string][] }
  | { do: "rename"; from: string; to: string }
  | { do: "remove"; name: string };

interface KeptFile {
  pages: (Buffer | undefined)[];
  sizeBytes: number;
}

const IMAGE = /\.img$/;
const MAX_LOG_BYTES = 1024 * 1024;
/** A log of at least this size is rewritten when it is loaded. */
const TIDY_LOG_BYTES = 64 * 1024;

/**
 * A simulated flash as one file to which each change is appended: whatever moment the process dies
 * at, the next one finds what had become safe by then. The pages of the slots' images are kept once
 * for all devices, in the pool. The kernel has what was appended; it is not forced to the disk,
 * which 200 devices that sync several times a second would ask of it, so a crash of the host itself
 * may take the last seconds. Replacing small files instead would cost a flush each on ext4.
 */
export class FlashLog implements FlashKeeper {
  readonly #file: string;
  readonly #pool: PagePool;
  readonly #files = new Map<string, KeptFile>();
  #sizeBytes = 0;

  constructor(file: string, pool: PagePool) {
    this.#file = file;
    this.#pool = pool;
    fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  }

  load(): Map<string, FileContent> {
    this.#files.clear();
    if (!fs.existsSync(this.#file)) return new Map();
    const content = fs.readFileSync(this.#file, "utf8");
    let soundBytes = 0;
    for (const line of content.split("\n")) {
      const body = line.slice(9);
      // A torn end: its change was not told to the agent as safe.
      if (line.length < 10 || line.slice(0, 8) !== digest(body)) break;
      this.#replay(JSON.parse(body) as LogRecord);
      soundBytes += Buffer.byteLength(line) + 1;
    }
    this.#sizeBytes = soundBytes;
    if (soundBytes > TIDY_LOG_BYTES || soundBytes < Buffer.byteLength(content)) this.#tidy();
    return new Map(this.#files);
  }

  link(name: string, content: FileContent): void {
    this.#files.delete(name);
    const pages = content.pages.flatMap((page, index) => (page ? [[index, page] as const] : []));
    this.write(name, new Map(pages), content.sizeBytes);
  }

  write(name: string, pages: ReadonlyMap<number, Buffer>, sizeBytes: number): void {
    this.#append(this.#recordOf(name, pages, sizeBytes));
    this.#put(name, pages, sizeBytes);
    if (this.#sizeBytes > MAX_LOG_BYTES) this.#tidy();
  }

  rename(from: string, to: string): void {
    this.#append({ do: "rename", from, to });
    this.#move(from, to);
  }

  remove(name: string): void {
    this.#append({ do: "remove", name });
    this.#files.delete(name);
  }

  #recordOf(name: string, pages: ReadonlyMap<number, Buffer>, sizeBytes: number): LogRecord {
    const kept = this.#files.get(name);
    if (IMAGE.test(name)) {
      const names = [...pages].map(([index, page]): [number, string] => [
        index,
        this.#pool.keep(page),
      ]);
      return { do: "image", name, sizeBytes, pages: names };
    }
    const bytes = [...pages].flatMap(([index, page]): [number, string][] => {
      const before = kept?.pages[index] ?? Buffer.alloc(0);
      // What is appended to a file changes the end of its last page alone. Where the page has become
      // shorter, zeros take the place of what is gone.
      const same = before.length > page.length ? 0 : equalBytes(before, page);
      const changed = padded(page, before.length).subarray(same);
      if (changed.length === 0) return [];
      return [[index * PAGE_BYTES + same, changed.toString("base64")]];
    });
    return { do: "write", name, sizeBytes, ...(bytes.length > 0 ? { bytes } : {}) };
  }

  #replay(change: LogRecord): void {
    if (change.do === "rename") this.#move(change.from, change.to);
    else if (change.do === "remove") this.#files.delete(change.name);
    else if (change.do === "image") {
      const pages = change.pages.map(([index, name]) => [index, this.#pool.load(name)] as const);
      this.#put(change.name, new Map(pages), change.sizeBytes);
    } else {
      const kept = this.#files.get(change.name);
      const pages = new Map<number, Buffer>();
      for (const [offset, base64] of change.bytes ?? []) {
        const index = Math.floor(offset / PAGE_BYTES);
        const bytes = Buffer.from(base64, "base64");
        const within = offset % PAGE_BYTES;
        const page = Buffer.from(
          padded(kept?.pages[index] ?? Buffer.alloc(0), within + bytes.length),
        );
        bytes.copy(page, within);
        pages.set(index, page);
      }
      this.#put(change.name, pages, change.sizeBytes);
    }
  }

  #put(name: string, pages: ReadonlyMap<number, Buffer>, sizeBytes: number): void {
    const kept = this.#files.get(name);
    const all = [...(kept?.pages ?? [])];
    for (const [index, page] of pages) all[index] = page;
    all.length = Math.min(all.length, Math.ceil(sizeBytes / PAGE_BYTES));
    this.#files.set(name, { pages: all, sizeBytes });
  }

  #move(from: string, to: string): void {
    if (IMAGE.test(from) !== IMAGE.test(to)) throw new Error(`${from} cannot become ${to}`);
    const file = this.#files.get(from);
    this.#files.delete(from);
    if (file) this.#files.set(to, file);
  }

  #append(change: LogRecord): void {
    const line = lineOf(change);
    fs.appendFileSync(this.#file, line, { mode: 0o600 });
    this.#sizeBytes += Buffer.byteLength(line);
  }

  /** Writes the log anew from what it amounts to. */
  #tidy(): void {
    const files = [...this.#files];
    this.#files.clear();
    const lines = files.map(([name, { pages, sizeBytes }]) => {
      const present = pages.flatMap((page, index) => (page ? [[index, page] as const] : []));
      return lineOf(this.#recordOf(name, new Map(present), sizeBytes));
    });
    for (const [name, file] of files) this.#files.set(name, file);
    const text = lines.join("");
    fs.writeFileSync(`${this.#file}.new`, text, { mode: 0o600 });
    fs.renameSync(`${this.#file}.new`, this.#file);
    this.#sizeBytes = Buffer.byteLength(text);
  }
}

function lineOf(change: LogRecord): string {
  const body = JSON.stringify(change);
  return `${digest(body)} ${body}\n`;
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}

/** At least `length` bytes of the page: what it does not say is zeros. */
function padded(page: Buffer, length: number): Buffer {
  if (page.length >= length) return page;
  const longer = Buffer.alloc(length);
  page.copy(longer);
  return longer;
}

/** How many bytes at the beginning of both are the same. */
function equalBytes(one: Buffer, other: Buffer): number {
  const length = Math.min(one.length, other.length);
  let from = 0;
  let to = length;
  while (from < to) {
    const middle = (from + to + 1) >> 1;
    if (one.compare(other, from, middle, from, middle) === 0) from = middle;
    else to = middle - 1;
  }
  return from;
}
