import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { type Clock, messageOf, type Timer } from "../../kernel/index.ts";
import type { ApplicationContext } from "../ports.ts";
import { runProgram } from "./run-program.ts";

export interface CoreDumpsOptions {
  clock: Clock;
  /** Where the kernel, or systemd-coredump, puts them. */
  directory: string;
  /** Program whose output says where it crashed; `{file}`, `{program}` and `{process}` are the dump's. */
  describe?: readonly string[] | undefined;
  /** Remembers what was told, over restarts. */
  stateFile: string;
}

const LOOK_MS = 30_000;
/** More are not looked at: what is forgotten would be told again for ever. */
const MAX_REMEMBERED = 100_000;
/** More at once are a crash loop, which the first of them tell of. */
const MAX_AT_ONCE = 20;
/** A debugger may have to read much; who takes longer is not waited for. */
const DESCRIBE_MS = 60_000;
/** The innermost calls come first, and the message of an event has an end. */
const MAX_DESCRIPTION = 3_000;

/** systemd-coredump: core.<program>.<user>.<boot>.<process>.<microseconds>, perhaps packed. */
const SYSTEMD_NAME = /^core\.(.+)\.(\d+)\.([0-9a-f]{32})\.(\d+)\.(\d+)(?:\.\w+)?$/;

/** Looks for core dumps and tells of each new one once, with the program that crashed. */
export class CoreDumps {
  readonly #options: CoreDumpsOptions;
  readonly #life = new AbortController();
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
    this.#life.abort();
    this.#timer?.cancel();
  }

  async #look(context: ApplicationContext): Promise<void> {
    const { directory, stateFile } = this.#options;
    const names = (await readdir(directory)).filter((name) => name.startsWith("core")).sort();
    const known = await readFile(stateFile, "utf8").catch(() => undefined);
    const told = new Set(known?.split("\n"));
    const fresh = names.filter((name) => !told.has(name)).slice(0, MAX_AT_ONCE);
    // What lay there before the agent came is no news.
    if (known === undefined) return writeFile(stateFile, names.slice(-MAX_REMEMBERED).join("\n"));
    for (const name of fresh) {
      const file = path.join(directory, name);
      const { size } = await stat(file);
      const [, program = "unknown", , , process = ""] = SYSTEMD_NAME.exec(name) ?? [];
      const what = `${program}${process ? ` (process ${process})` : ""}`;
      const calls = await this.#describe({ file, program, process }, context);
      if (this.#stopped) return;
      context.crashed("core-dump", `${what} left ${name}, ${size} bytes${calls && `\n${calls}`}`);
      told.add(name);
      const kept = [...told].filter((one) => names.includes(one)).slice(-MAX_REMEMBERED);
      await writeFile(stateFile, kept.join("\n"));
    }
  }

  /** Empty where nothing is to be had: that it crashed is told in any case. */
  async #describe(values: Record<string, string>, context: ApplicationContext): Promise<string> {
    const { describe } = this.#options;
    if (!describe) return "";
    const filled = describe.map((argument) =>
      argument.replace(/\{(\w+)\}/g, (all, word: string) => values[word] ?? all),
    );
    try {
      const signal = AbortSignal.any([this.#life.signal, AbortSignal.timeout(DESCRIBE_MS)]);
      const options = { maxOutputBytes: MAX_DESCRIPTION };
      const { status, stdout, output } = await runProgram(filled, signal, options);
      if (status === 0) return stdout.trim();
      throw new Error(`${filled[0]} ended with status ${status}: ${output}`);
    } catch (error) {
      context.log("warn", `a core dump is not described: ${messageOf(error)}`);
      return "";
    }
  }
}
