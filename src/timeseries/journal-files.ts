import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { syncDirectory } from "./journal-segment.ts";

const SUFFIX = ".segment";

/** The names of one process's files within the folder of the journals. */
export class JournalFiles {
  readonly #root: string;
  readonly #directory: string;
  /** Of this opening: two processes of one name never write to the same file. */
  readonly #prefix: string;
  #count = 0;

  constructor(root: string, name: string) {
    this.#root = root;
    this.#directory = path.join(root, name);
    // Two containers may have the same ids of processes, and be started at the same moment.
    const one = randomBytes(4).toString("hex");
    this.#prefix = `${Date.now().toString(36)}-${process.pid}-${one}`;
    fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    syncDirectory(root);
  }

  next(): string {
    this.#count += 1;
    return path.join(this.#directory, `${this.#prefix}-${this.#count}${SUFFIX}`);
  }

  /**
   * Takes over what others have left: earlier processes of this name, and of names that `isLost` says
   * nobody bears any more. In the order in which it was written.
   */
  claim(isLost: (name: string) => boolean): string[] {
    const own = path.basename(this.#directory);
    const names = fs.readdirSync(this.#root).filter((name) => name === own || isLost(name));
    const claimed: { path: string; writtenAt: number }[] = [];
    for (const directory of names.map((name) => path.join(this.#root, name))) {
      if (!fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory()) continue;
      for (const name of fs.readdirSync(directory)) {
        if (!name.endsWith(SUFFIX)) continue;
        const file = this.next();
        // Whoever still writes to it notices before it acknowledges anything more.
        fs.renameSync(path.join(directory, name), file);
        claimed.push({ path: file, writtenAt: fs.statSync(file).mtimeMs });
      }
      if (directory !== this.#directory) removeIfEmpty(directory);
    }
    claimed.sort((left, right) => left.writtenAt - right.writtenAt);
    return claimed.map((one) => one.path);
  }

  /** Puts a file aside that the store does not take, for people to look at. */
  setAside(file: string): string {
    const directory = path.join(this.#root, "refused");
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    const target = path.join(directory, path.basename(file));
    fs.renameSync(file, target);
    return target;
  }
}

function removeIfEmpty(directory: string): void {
  try {
    fs.rmdirSync(directory);
  } catch {} // Not empty: something lies there that is no file of a journal.
}
