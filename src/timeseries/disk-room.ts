import fs from "node:fs";
import type { Logger } from "../kernel/logger.ts";

export interface DiskRoomOptions {
  directory: string;
  logger: Logger;
  minFreeBytes: number;
}

const LOOKED_AT_EVERY_MS = 200;
/** Once full, it is not called free at the first byte more, nor full again at the next. */
const HYSTERESIS = 1.1;

/** Whether a disk has room for what comes in, and a line in the log when that changes. */
export class DiskRoom {
  readonly #options: DiskRoomOptions;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #isFull = false;

  constructor(options: DiskRoomOptions) {
    this.#options = options;
  }

  hasRoom(): boolean {
    const now = performance.now();
    if (now - this.#lookedAt >= LOOKED_AT_EVERY_MS) {
      this.#lookedAt = now;
      this.#look();
    }
    return !this.#isFull;
  }

  #look(): void {
    const { directory, logger, minFreeBytes } = this.#options;
    const { bavail, bsize } = fs.statfsSync(directory);
    const freeBytes = bavail * bsize;
    const isFull = freeBytes < minFreeBytes * (this.#isFull ? HYSTERESIS : 1);
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    const facts = { directory, freeBytes, minFreeBytes };
    if (isFull) logger.error(facts, "the disk is full: devices wait until there is room");
    else logger.info(facts, "there is room on the disk again: what devices send is taken in");
  }
}
