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

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const IMAGE = /\.img$/;
const LIST = ".pages";

/**
 * A simulated flash as a folder: each file is a file, but the slots' images are lists of pages that
 * the pool keeps once for all devices. What was written outlives the death of this process at any
 * moment, since the kernel has it by then; it is not forced to the disk, which 200 devices that
 * sync several times a second would ask of it, so a crash of the host itself may take the last
 * seconds.
 */
export class FlashFolder implements FlashKeeper {
  readonly #directory: string;
  readonly #pool: PagePool;
  /** Page names of each image. */
  readonly #images = new Map<string, string[]>();

  constructor(directory: string, pool: PagePool) {
    this.#directory = directory;
    this.#pool = pool;
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  load(): Map<string, FileContent> {
    const found = new Map<string, FileContent>();
    for (const file of fs.readdirSync(this.#directory)) {
      if (file.endsWith(`${LIST}.new`)) continue; // The list was being replaced.
      if (file.endsWith(LIST)) {
        const name = file.slice(0, -LIST.length);
        found.set(name, this.#loadImage(name));
      } else {
        found.set(file, pagesOf(fs.readFileSync(this.#locate(file))));
      }
    }
    return found;
  }

  link(name: string, { pages, sizeBytes }: FileContent): void {
    const all = new Map(pages.flatMap((page, index) => (page ? [[index, page] as const] : [])));
    if (!IMAGE.test(name)) fs.writeFileSync(this.#locate(name), "", { mode: 0o600 });
    this.#images.delete(name);
    this.write(name, all, sizeBytes);
  }

  write(name: string, pages: ReadonlyMap<number, Buffer>, sizeBytes: number): void {
    if (IMAGE.test(name)) this.#writeImage(name, pages, sizeBytes);
    else this.#writeFile(name, pages, sizeBytes);
  }

  rename(from: string, to: string): void {
    if (IMAGE.test(from) !== IMAGE.test(to)) throw new Error(`${from} cannot become ${to}`);
    fs.renameSync(this.#locate(from), this.#locate(to));
    const list = this.#images.get(from);
    this.#images.delete(from);
    if (list) this.#images.set(to, list);
  }

  remove(name: string): void {
    this.#images.delete(name);
    fs.rmSync(this.#locate(name), { force: true });
  }

  #writeFile(name: string, pages: ReadonlyMap<number, Buffer>, sizeBytes: number): void {
    const handle = fs.openSync(this.#locate(name), "r+");
    try {
      for (const [index, page] of pages) {
        const bytes = padded(page, index, sizeBytes);
        if (bytes.length > 0) fs.writeSync(handle, bytes, 0, bytes.length, index * PAGE_BYTES);
      }
      if (fs.fstatSync(handle).size !== sizeBytes) fs.ftruncateSync(handle, sizeBytes);
    } finally {
      fs.closeSync(handle);
    }
  }

  #writeImage(name: string, pages: ReadonlyMap<number, Buffer>, sizeBytes: number): void {
    const list = this.#images.get(name) ?? [];
    const count = Math.ceil(sizeBytes / PAGE_BYTES);
    for (let index = 0; index < count; index += 1) {
      const page = pages.get(index);
      if (page || list[index] === undefined) {
        list[index] = this.#pool.keep(padded(page ?? Buffer.alloc(0), index, sizeBytes));
      }
    }
    list.length = count;
    this.#images.set(name, list);
    const file = this.#locate(name);
    fs.writeFileSync(`${file}.new`, `${[sizeBytes, ...list].join("\n")}\n`, { mode: 0o600 });
    fs.renameSync(`${file}.new`, file);
  }

  #loadImage(name: string): FileContent {
    const [size, ...list] = fs.readFileSync(this.#locate(name), "utf8").trimEnd().split("\n");
    const sizeBytes = Number(size);
    if (list.length !== Math.ceil(sizeBytes / PAGE_BYTES)) {
      throw new Error(`${this.#locate(name)} is damaged`);
    }
    this.#images.set(name, list);
    return { pages: list.map((digest) => this.#pool.load(digest)), sizeBytes };
  }

  #locate(name: string): string {
    if (!NAME.test(name)) throw new Error(`"${name}" is no file name`);
    return path.join(this.#directory, IMAGE.test(name) ? `${name}${LIST}` : name);
  }
}

function pagesOf(content: Buffer): FileContent {
  const pages: Buffer[] = [];
  for (let offset = 0; offset < content.length; offset += PAGE_BYTES) {
    pages.push(content.subarray(offset, offset + PAGE_BYTES));
  }
  return { pages, sizeBytes: content.length };
}

/** The page as long as the file has it: what it does not say is zeros, what lies beyond is cut. */
function padded(page: Buffer, index: number, sizeBytes: number): Buffer {
  const length = Math.max(0, Math.min(PAGE_BYTES, sizeBytes - index * PAGE_BYTES));
  if (page.length === length) return page;
  const exact = Buffer.alloc(length);
  page.copy(exact);
  return exact;
}
