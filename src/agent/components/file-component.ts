import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, link, open, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { runProgram } from "../work/run-program.ts";
import type { Component, ComponentContent } from "./component.ts";

export interface FileComponentOptions {
  /** What is replaced. */
  path: string;
  /** Permissions of the file. */
  mode?: number | undefined;
  /** Makes who uses the file read it again; must be fit to be run twice. */
  reload?: readonly string[] | undefined;
}

const READ_BYTES = 256 * 1024;
const RELOAD_MS = 60_000;

/**
 * A component that is one file: an application, a configuration. The new content lies beside it as
 * `.staged`, the old one as `.previous` until the new one is confirmed; each change is one rename.
 */
export class FileComponent implements Component {
  readonly #options: FileComponentOptions;
  readonly #path: string;

  constructor(options: FileComponentOptions) {
    this.#options = options;
    this.#path = options.path;
  }

  async installed(): Promise<string | null> {
    try {
      const hash = createHash("sha256");
      for await (const chunk of createReadStream(this.#path)) hash.update(chunk);
      return hash.digest("hex");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  async stage(content: ComponentContent, signal: AbortSignal): Promise<void> {
    const file = await open(this.#staged, "w", 0o600);
    try {
      for (let offset = 0; offset < content.sizeBytes; ) {
        signal.throwIfAborted();
        const length = Math.min(READ_BYTES, content.sizeBytes - offset);
        const chunk = await content.read(offset, length);
        if (chunk.length === 0) throw new Error("the content ends early");
        await file.write(chunk, 0, chunk.length, offset);
        offset += chunk.length;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(this.#staged, this.#options.mode ?? 0o644);
    await this.#syncFolder();
  }

  async activate(sha256: string, signal: AbortSignal): Promise<void> {
    if ((await this.installed()) !== sha256) {
      if (!(await isThere(this.#staged))) throw new Error(`${this.#staged} is gone`);
      await this.#keepPrevious();
      await rename(this.#staged, this.#path);
      await this.#syncFolder();
    }
    await this.#reload(signal);
  }

  async confirm(): Promise<void> {
    await rm(this.#previous, { force: true });
    await rm(this.#none, { force: true });
    await this.#syncFolder();
  }

  async revert(): Promise<void> {
    await rm(this.#staged, { force: true });
    const changed = await this.#restore();
    await this.#syncFolder();
    if (changed) await this.#reload();
  }

  async #restore(): Promise<boolean> {
    try {
      await rename(this.#previous, this.#path);
      // Two names of one file, as a cut before the change leaves them, stay (POSIX rename).
      await rm(this.#previous, { force: true });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    if (!(await isThere(this.#none))) return false;
    // There was no such file before.
    await rm(this.#path, { force: true });
    await rm(this.#none, { force: true });
    return true;
  }

  /** A second name for what is in use, or a mark that there is nothing; once, whatever is repeated. */
  async #keepPrevious(): Promise<void> {
    try {
      await link(this.#path, this.#previous);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") await (await open(this.#none, "w")).close();
      else if (code !== "EEXIST") throw error;
    }
    await this.#syncFolder();
  }

  async #reload(signal?: AbortSignal): Promise<void> {
    const { reload } = this.#options;
    if (!reload) return;
    const limit = AbortSignal.timeout(RELOAD_MS);
    const { status, output } = await runProgram(
      reload,
      signal ? AbortSignal.any([signal, limit]) : limit,
    );
    if (status !== 0) throw new Error(`${reload[0]} ended with status ${status}: ${output}`);
  }

  async #syncFolder(): Promise<void> {
    const folder = await open(path.dirname(this.#path), "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }

  get #staged(): string {
    return `${this.#path}.staged`;
  }

  get #previous(): string {
    return `${this.#path}.previous`;
  }

  /** Says that there was no file before. */
  get #none(): string {
    return `${this.#path}.none`;
  }
}

async function isThere(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
