import fs from "node:fs";
import { CliError } from "./cli-error.ts";

/** How far one device of a bulk enrolment has come. */
export interface JournalEntry {
  id: string;
  /** PEM of the key that was made here; absent where it is elsewhere. */
  key?: string | undefined;
  /** Once the certificate is there. */
  certificate?: { serial: string; chainPem: string } | undefined;
}

interface Head {
  version: 1;
  tenant: string;
  url: string;
}

/**
 * What a bulk enrolment has done so far, one JSON object a line, on the disk before it is relied
 * upon: keys before they are used, certificates before they are counted as there. A run that was cut
 * off goes on from it, with the same keys.
 */
export class EnrolmentJournal {
  readonly entries = new Map<string, JournalEntry>();
  readonly #fd: number;
  readonly #file: string;

  constructor(file: string, head: Omit<Head, "version">) {
    this.#file = file;
    const isNew = !fs.existsSync(file);
    // Keys lie in it: its owner's alone.
    this.#fd = fs.openSync(file, "a+", 0o600);
    if (isNew) this.#write([{ version: 1, ...head }]);
    else this.#read(head);
  }

  /** Keeps what is new of some devices; on the disk when it returns. */
  keep(entries: readonly JournalEntry[]): void {
    for (const entry of entries) {
      this.entries.set(entry.id, { ...this.entries.get(entry.id), ...entry });
    }
    this.#write(entries);
  }

  close(): void {
    fs.closeSync(this.#fd);
  }

  /** The bundle is written: nothing of this is needed any more. */
  remove(): void {
    this.close();
    fs.rmSync(this.#file);
  }

  #write(lines: readonly object[]): void {
    fs.writeSync(this.#fd, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    fs.fsyncSync(this.#fd);
  }

  #read({ tenant, url }: Omit<Head, "version">): void {
    const text = fs.readFileSync(this.#file, "utf8");
    // What follows the last line's end was cut off while it was written.
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    fs.ftruncateSync(this.#fd, Buffer.byteLength(whole));
    const [first, ...rest] = whole.split("\n").slice(0, -1);
    const head = first === undefined ? undefined : (JSON.parse(first) as Head);
    if (head?.version !== 1 || head.tenant !== tenant || head.url !== url) {
      throw new CliError(`${this.#file} is of another enrolment`, {
        next: "finish that one, or choose another --out",
      });
    }
    for (const line of rest) {
      const entry = JSON.parse(line) as JournalEntry;
      this.entries.set(entry.id, { ...this.entries.get(entry.id), ...entry });
    }
  }
}
