import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { type Clock, messageOf, type Timer } from "../../kernel/index.ts";
import type { ApplicationContext } from "../ports.ts";

export interface CoreDumpsOptions {
  clock: Clock;
  /** Where the kernel, or systemd-coredump, puts them. */
  directory: string;
  /** Remembers what was told, over restarts. */
  stateFile: string;
}

const LOOK_MS = 30_000;
/** More are not looked at: what is forgotten would be told again for ever. */
const MAX_REMEMBERED = 100_000;
/** More at once are a crash loop, which the first of them tell of. */
const MAX_AT_ONCE = 20;

/** systemd-coredump: core.<program>.<user>.<boot>.<process>.<microseconds>, perhaps packed. */
const SYSTEMD_NAME = /^core\.(.+)\.(\d+)\.([0-9a-f]{32})\.(\d+)\.(\d+)(?:\.\w+)?$/;

/** Looks for core dumps and tells of each new one once, with the program that crashed. */
export class CoreDumps {
  readonly #options: CoreDumpsOptions;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: CoreDumpsOptions) {
    this.#options = options;
  }

  start(context: ApplicationContext): void {
    this.#look(context)
      .catch((error) => context.log("debug", `core dumps: ${messageOf(error)}`))
      .finally(() => {
        if (!this.#stopped) {
          this.#timer = this.#options.clock.after(LOOK_MS, () => this.start(context));
        }
      });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #look(context: ApplicationContext): Promise<void> {
    const { directory, stateFile } = this.#options;
    const names = (await readdir(directory)).filter((name) => name.startsWith("core")).sort();
    const known = await readFile(stateFile, "utf8").catch(() => undefined);
    const told = new Set(known?.split("\n"));
    const fresh = names.filter((name) => !told.has(name)).slice(0, MAX_AT_ONCE);
    if (fresh.length === 0 && known !== undefined) return;
    for (const name of known === undefined ? [] : fresh) {
      const { size } = await stat(path.join(directory, name));
      const [, program = "unknown", , , process = ""] = SYSTEMD_NAME.exec(name) ?? [];
      const what = `${program}${process ? ` (process ${process})` : ""}`;
      context.crashed("core-dump", `${what} left ${name}, ${size} bytes`);
    }
    // What lay there before the agent came is no news.
    const next = known === undefined ? names : [...told, ...fresh];
    const kept = next.filter((name) => names.includes(name)).slice(-MAX_REMEMBERED);
    await writeFile(stateFile, kept.join("\n"));
  }
}
