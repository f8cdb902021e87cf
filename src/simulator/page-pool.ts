import { createHash } from "node:crypto";

export const PAGE_BYTES = 16 * 1024;
const MAX_PAGES = 4_096;

/**
 * Full pages by their content, so that hundreds of simulated flashes that hold the same image hold
 * it once. Pages handed in and out are never changed.
 */
export class PagePool {
  readonly #pages = new Map<string, Buffer>();

  /** A page with this content; the same one for everybody, as long as there is room. */
  share(page: Buffer): Buffer {
    if (page.length !== PAGE_BYTES) return page;
    const digest = createHash("sha1").update(page).digest("base64");
    const known = this.#pages.get(digest);
    if (known) return known;
    if (this.#pages.size < MAX_PAGES) this.#pages.set(digest, page);
    return page;
  }
}
