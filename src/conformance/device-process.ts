import { type ChildProcess, spawn } from "node:child_process";

const STOP_MS = 5_000;
/** A device that ends at once is not started in a frenzy. */
const PAUSE_MS = 500;
const MAX_LOG_CHARACTERS = 200_000;

/** The device under test: a program that is started again whenever it ends, as a machine boots. */
export class DeviceProcess {
  readonly #command: string;
  readonly #environment: NodeJS.ProcessEnv;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #starts = 0;
  #log = "";

  constructor(command: string, environment: NodeJS.ProcessEnv) {
    this.#command = command;
    this.#environment = environment;
  }

  get starts(): number {
    return this.#starts;
  }

  /** The end of what it wrote. */
  get log(): string {
    return this.#log;
  }

  start(): void {
    this.#starts += 1;
    const child = spawn(this.#command, {
      // A shell, as the command is a line; `exec` within it is the caller's affair.
      ...{ shell: true, detached: true, stdio: ["ignore", "pipe", "pipe"] },
      env: this.#environment,
    });
    this.#child = child;
    const keep = (chunk: Buffer) => {
      this.#log = `${this.#log}${chunk}`.slice(-MAX_LOG_CHARACTERS);
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    child.once("error", (error) => keep(Buffer.from(`${error.message}\n`)));
    child.once("close", () => {
      if (this.#stopped) return;
      this.#timer = setTimeout(() => this.start(), PAUSE_MS);
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("close", resolve));
    const signal = (name: NodeJS.Signals) => {
      try {
        // The whole group: a shell passes no signal on.
        process.kill(-(child.pid as number), name);
      } catch {
        // It has ended by itself.
      }
    };
    signal("SIGTERM");
    const limit = setTimeout(() => signal("SIGKILL"), STOP_MS);
    await ended;
    clearTimeout(limit);
  }
}
