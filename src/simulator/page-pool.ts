import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

export const PAGE_BYTES = 16 * 1024;
const MAX_PAGES = 4_096;

/**
 * Pages by their content, so that hundreds of simulated flashes that hold the same image hold it
 * once: in memory, and in a folder where there is one. Pages handed in and out are never changed.
 */
export class PagePool {
  readonly #pages = new Map<string, Buffer>();
  readonly #digests = new WeakMap<Buffer, string>();
  readonly #directory: string | undefined;
  /** Pages that the folder is known to hold. */
  readonly #kept = new Set<string>();

  constructor(directory?: string) {
    this.#directory = directory;
  }

  /** A page with this content; the same one for everybody, as long as there is room. */
  share(page: Buffer): Buffer {
    if (page.length !== PAGE_BYTES) return page;
    const digest = this.#digestOf(page);
    const known = this.#pages.get(digest);
    if (known) return known;
    if (this.#pages.size < MAX_PAGES) this.#pages.set(digest, page);
    return page;
  }

  /** Keeps a page in the folder; resolves with the name under which `load` finds it again. */
  keep(page: Buffer): string {
    const digest = this.#digestOf(page);
    if (this.#kept.has(digest)) return digest;
    const file = this.#locate(digest);
    if (!fs.existsSync(file)) {
      fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
      fs.writeFileSync(`${file}.new`, page, { flush: true });
      fs.renameSync(`${file}.new`, file);
    }
    this.#kept.add(digest);
    return digest;
  }

  /** A page that was kept; throws where the folder does not hold it as it was. */
  load(digest: string): Buffer {
    const known = this.#pages.get(digest);
    if (known) return known;
    const page = fs.readFileSync(this.#locate(digest));
    if (this.#digestOf(page) !== digest) throw new Error(`the page ${digest} is damaged`);
    this.#kept.add(digest);
    return this.share(page);
  }

  /** Removes from the folder what nobody has kept or loaded since this pool was made. */
  sweep(): void {
    const directory = this.#directory;
    if (!directory || !fs.existsSync(directory)) return;
    for (const shelf of fs.readdirSync(directory)) {
      for (const name of fs.readdirSync(path.join(directory, shelf))) {
        if (!this.#kept.has(name)) fs.rmSync(path.join(directory, shelf, name), { force: true });
      }
    }
  }

  #locate(digest: string): string {
    if (!this.#directory) throw new Error("this pool has no folder");
    if (!/^[0-9a-f]{64}$/.test(digest)) throw new Error(`"${digest}" names no page`);
    return path.join(this.#directory, digest.slice(0, 2), digest);
  }

  #digestOf(page: Buffer): string {
    const known = this.#digests.get(page);
    if (known) return known;
    const digest = createHash("sha256").update(page).digest("hex");
    this.#digests.set(page, digest);
    return digest;
  }
}
