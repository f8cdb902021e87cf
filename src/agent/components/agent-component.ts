import { createHash } from "node:crypto";
import { open, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Component, ComponentContent } from "./component.ts";

export interface AgentComponentOptions {
  /** Where the launcher looks: `current.mjs`, `next.mjs`, `rejected.mjs`. */
  home: string;
  /** The file that runs now. */
  running: string;
  /** Read by the launcher: the hash of an agent that has proved itself. */
  healthyFile: string;
  /** Ends this process, so that the launcher starts what is there now. */
  restart(): void;
}

/**
 * The agent itself, as a part of a release. A new one lies beside the current one and is started by the
 * launcher (deploy/agent/launch) a few times at most; what it goes on with after its start is the very
 * update that brought it, and only its success makes it stay.
 */
export class AgentComponent implements Component {
  readonly #options: AgentComponentOptions;

  constructor(options: AgentComponentOptions) {
    this.#options = options;
  }

  installed(): Promise<string | null> {
    return hashOf(this.#options.running);
  }

  async stage(content: ComponentContent): Promise<void> {
    const bytes = await content.read(0, content.sizeBytes);
    const file = await open(this.#at("next.mjs.staged"), "w", 0o644);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async activate(sha256: string, signal: AbortSignal): Promise<void> {
    if ((await this.installed()) === sha256) return;
    if ((await hashOf(this.#at("rejected.mjs"))) === sha256) {
      throw new Error("the new agent did not become healthy within its starts");
    }
    if ((await hashOf(this.#at("next.mjs"))) !== sha256) {
      if ((await hashOf(this.#at("next.mjs.staged"))) !== sha256)
        throw new Error("it is not there");
      await rename(this.#at("next.mjs.staged"), this.#at("next.mjs"));
      await this.#syncHome();
    }
    await this.#restart(signal);
  }

  async confirm(): Promise<void> {
    await noteHealthyAgent(this.#options.running, this.#options.healthyFile);
    await rm(this.#at("rejected.mjs"), { force: true });
  }

  async revert(): Promise<void> {
    const next = await hashOf(this.#at("next.mjs"));
    const runsNext = next !== null && next === (await this.installed());
    await rm(this.#at("next.mjs.staged"), { force: true });
    await rm(this.#at("next.mjs"), { force: true });
    await this.#syncHome();
    // Once more with the old one, which then finds nothing to take back.
    if (runsNext) this.#options.restart();
  }

  /** What follows is the next process's to do. */
  #restart(signal: AbortSignal): Promise<never> {
    return new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.#options.restart();
    });
  }

  #at(name: string): string {
    return path.join(this.#options.home, name);
  }

  async #syncHome(): Promise<void> {
    const folder = await open(this.#options.home, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

/** Tells the launcher that this very file works. */
export async function noteHealthyAgent(running: string, healthyFile: string): Promise<void> {
  const hash = await hashOf(running);
  if (!hash || (await readFile(healthyFile, "utf8").catch(() => "")) === hash) return;
  await writeFile(`${healthyFile}.new`, hash);
  await rename(`${healthyFile}.new`, healthyFile);
}

async function hashOf(file: string): Promise<string | null> {
  try {
    return createHash("sha256")
      .update(await readFile(file))
      .digest("hex");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
