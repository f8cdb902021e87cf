import { createHash } from "node:crypto";
import { readDocument, removeFile, writeDocument } from "../offline/atomic-file.ts";
import type { Storage } from "../ports.ts";
import { runProgram } from "../work/run-program.ts";
import type { Component, ComponentContent } from "./component.ts";

/** Program and arguments; `{file}`, `{sha256}` and `{version}` stand for what is installed. */
export interface CommandComponentOptions {
  name: string;
  /** Takes `{file}` into use, and keeps what was in use before. */
  install: readonly string[];
  /** Takes what was in use before into use again; nothing where nothing was installed. */
  revert: readonly string[];
  /** What was before is needed no more. */
  confirm?: readonly string[] | undefined;
  /** Prints the SHA-256 of what is in use; without it, what was installed last counts. */
  installed?: readonly string[] | undefined;
  timeoutMs: number;
  storage: Storage;
  /** Where a file of the storage lies for other programs. */
  locate(name: string): string;
}

interface Installed {
  /** In use, as far as it was installed by us. */
  sha256: string | null;
  previous: string | null;
  trial: boolean;
}

const READ_BYTES = 256 * 1024;

/** A component that programs of the machine take care of: a bootloader, a package, a device. */
export class CommandComponent implements Component {
  readonly #options: CommandComponentOptions;

  constructor(options: CommandComponentOptions) {
    this.#options = options;
  }

  async installed(): Promise<string | null> {
    const { installed } = this.#options;
    if (!installed) return (await this.#record()).sha256;
    const { stdout } = await this.#run(installed);
    return /\b[0-9a-f]{64}\b/.exec(stdout)?.[0] ?? null;
  }

  async stage(content: ComponentContent, signal: AbortSignal): Promise<void> {
    const file = await this.#options.storage.open(this.#staged);
    try {
      await file.truncate(0);
      for (let offset = 0; offset < content.sizeBytes; ) {
        signal.throwIfAborted();
        const length = Math.min(READ_BYTES, content.sizeBytes - offset);
        const chunk = await content.read(offset, length);
        if (chunk.length === 0) throw new Error("the content ends early");
        await file.write(offset, chunk);
        offset += chunk.length;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await this.#options.storage.syncDirectory();
  }

  async activate(sha256: string, signal: AbortSignal): Promise<void> {
    const record = await this.#record();
    if (record.trial && record.sha256 === sha256) return;
    const content = await this.#options.storage.read(this.#staged);
    const found = content && createHash("sha256").update(content).digest("hex");
    if (found !== sha256) throw new Error("what was staged is not there any more");
    // Written before the program runs: a cut in the middle of it is followed by its repetition or
    // by `revert`, never by nothing.
    const begun = { sha256: null, previous: record.trial ? record.previous : record.sha256 };
    await this.#keep({ ...begun, trial: true });
    await this.#run(this.#options.install, { sha256 }, signal);
    await this.#keep({ ...begun, sha256, trial: true });
  }

  async confirm(): Promise<void> {
    const { confirm } = this.#options;
    const record = await this.#record();
    if (record.trial && confirm) await this.#run(confirm);
    await this.#keep({ ...record, previous: null, trial: false });
    await removeFile(this.#options.storage, this.#staged);
  }

  async revert(): Promise<void> {
    const record = await this.#record();
    if (record.trial) {
      await this.#run(this.#options.revert);
      await this.#keep({ sha256: record.previous, previous: null, trial: false });
    }
    await removeFile(this.#options.storage, this.#staged);
  }

  async #run(
    command: readonly string[],
    values: Record<string, string> = {},
    signal?: AbortSignal,
  ) {
    const { name, timeoutMs, locate } = this.#options;
    const known: Record<string, string> = { file: locate(this.#staged), ...values };
    const filled = command.map((argument) =>
      argument.replace(/\{(\w+)\}/g, (all, word: string) => known[word] ?? all),
    );
    const limit = AbortSignal.timeout(timeoutMs);
    const result = await runProgram(filled, signal ? AbortSignal.any([signal, limit]) : limit);
    if (result.status === 0) return result;
    throw new Error(`${name}: ${command[0]} ended with ${result.status}: ${result.output}`);
  }

  async #record(): Promise<Installed> {
    const found = await readDocument(this.#options.storage, this.#recordFile);
    if (found && found !== "damaged") return found.document as Installed;
    return { sha256: null, previous: null, trial: false };
  }

  #keep(record: Installed): Promise<void> {
    return writeDocument(this.#options.storage, this.#recordFile, record);
  }

  get #staged(): string {
    return `component-${this.#options.name}.staged`;
  }

  get #recordFile(): string {
    return `component-${this.#options.name}.json`;
  }
}
