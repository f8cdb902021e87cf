import { createHash } from "node:crypto";
import {
  type Component,
  type ComponentContent,
  readDocument,
  type Storage,
  writeDocument,
} from "../agent/index.ts";

interface Content {
  sha256: string;
  bytes: string;
}

interface Record {
  inUse: Content | null;
  previous: Content | null;
  staged: Content | null;
  trial: boolean;
}

const NOTHING: Record = { inUse: null, previous: null, staged: null, trial: false };

/** Something beside the image, such as a microcontroller with two slots, kept on the device's flash. */
export class SimulatedComponent implements Component {
  readonly #storage: Storage;
  readonly #file: string;

  constructor(storage: Storage, name: string) {
    this.#storage = storage;
    this.#file = `peripheral-${name}.json`;
  }

  async installed(): Promise<string | null> {
    const { inUse } = await this.#read();
    return inUse && createHash("sha256").update(Buffer.from(inUse.bytes, "base64")).digest("hex");
  }

  async stage(content: ComponentContent): Promise<void> {
    const bytes = Buffer.from(await content.read(0, content.sizeBytes));
    const staged = { sha256: content.sha256, bytes: bytes.toString("base64") };
    await this.#change((record) => ({ ...record, staged }));
  }

  activate(sha256: string): Promise<void> {
    return this.#change((record) => {
      if (record.inUse?.sha256 === sha256) return record;
      if (record.staged?.sha256 !== sha256) throw new Error("it was not staged");
      const previous = record.trial ? record.previous : record.inUse;
      return { inUse: record.staged, previous, staged: null, trial: true };
    });
  }

  confirm(): Promise<void> {
    return this.#change((record) => ({ ...record, previous: null, trial: false }));
  }

  revert(): Promise<void> {
    return this.#change((record) =>
      record.trial
        ? { inUse: record.previous, previous: null, staged: null, trial: false }
        : { ...record, staged: null },
    );
  }

  async #read(): Promise<Record> {
    const found = await readDocument(this.#storage, this.#file);
    return found && found !== "damaged" ? (found.document as Record) : NOTHING;
  }

  async #change(change: (record: Record) => Record): Promise<void> {
    await writeDocument(this.#storage, this.#file, change(await this.#read()));
  }
}
