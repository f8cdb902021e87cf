import { type ChildProcess, spawn } from "node:child_process";
import { type Clock, messageOf, type Random, type Timer } from "../../kernel/index.ts";
import { fullJitter } from "../connection/back-off.ts";
import type { Application, ApplicationContext, SelfTestResult } from "../ports.ts";
import type { HostMetrics } from "./host-metrics.ts";
import { type HostSelfTest, runHostSelfTest } from "./host-self-test.ts";

export interface HostApplicationOptions {
  clock: Clock;
  random: Random;
  /** Program to keep running, or none. */
  command: readonly string[] | undefined;
  selfTest: HostSelfTest | undefined;
  telemetryIntervalMs: number;
  metrics: HostMetrics;
  /** What else watches the machine, such as its log. */
  helpers?: readonly HostHelper[];
}

export interface HostHelper {
  start(context: ApplicationContext): void;
  stop(): void;
}

const RESTART = { baseMs: 1_000, capMs: 60_000 };
const STOP_MS = 5_000;
const REFRESH_MS = 30_000;
const MAX_OUTPUT_CHARACTERS = 1_000;
/** An application that ran so long before it crashed is restarted at once again. */
const STEADY_MS = 60_000;

/** The application of an ordinary Linux machine: one supervised program, and the machine's figures. */
export class HostApplication implements Application {
  readonly #options: HostApplicationOptions;
  #context: ApplicationContext | undefined;
  #child: ChildProcess | undefined;
  #restart: Timer | undefined;
  #measuring: Timer | undefined;
  #refreshing: Timer | undefined;
  #attempt = 0;
  #restarts = 0;
  #stopped = false;

  constructor(options: HostApplicationOptions) {
    this.#options = options;
  }

  async start(context: ApplicationContext): Promise<void> {
    this.#context = context;
    if (this.#options.command) this.#spawn(this.#options.command);
    for (const helper of this.#options.helpers ?? []) helper.start(context);
    await this.#options.metrics.refresh();
    if (this.#stopped) return;
    this.#refresh();
    this.#measure();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#restart?.cancel();
    this.#measuring?.cancel();
    this.#refreshing?.cancel();
    for (const helper of this.#options.helpers ?? []) helper.stop();
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    const timer = this.#options.clock.after(STOP_MS, () => child.kill("SIGKILL"));
    await ended;
    timer.cancel();
  }

  async selfTest(signal: AbortSignal): Promise<SelfTestResult> {
    if (this.#options.command && this.#child?.exitCode !== null) {
      return { passed: false, element: "application", message: "it is not running" };
    }
    if (!this.#options.selfTest) return { passed: true };
    return runHostSelfTest(this.#options.selfTest, { clock: this.#options.clock }, signal);
  }

  metrics(): Record<string, number> {
    return { ...this.#options.metrics.current(), applicationRestarts: this.#restarts };
  }

  /** What takes a look at files is read now and then, and the last of it told. */
  #refresh(): void {
    this.#refreshing = this.#options.clock.after(REFRESH_MS, () => {
      this.#options.metrics.refresh().then(
        () => this.#refresh(),
        () => this.#refresh(),
      );
    });
  }

  #measure(): void {
    this.#measuring = this.#options.clock.after(this.#options.telemetryIntervalMs, () => {
      this.#context?.telemetry(this.metrics());
      this.#measure();
    });
  }

  #spawn(command: readonly string[]): void {
    const startedAt = this.#options.clock.now();
    const [program = "", ...args] = command;
    const child = spawn(program, args, { stdio: ["ignore", "inherit", "pipe"] });
    this.#child = child;
    let lastWords = "";
    child.stderr?.on("data", (chunk) => {
      lastWords = `${lastWords}${chunk}`.slice(-MAX_OUTPUT_CHARACTERS);
      process.stderr.write(chunk);
    });
    let ended = false;
    const onEnd = (reason: string) => {
      if (ended || this.#stopped) return;
      ended = true;
      if (this.#options.clock.now() - startedAt > STEADY_MS) this.#attempt = 0;
      this.#context?.crashed(reason, lastWords.trim() || reason);
      const delayMs = fullJitter(this.#options.random, this.#attempt, RESTART);
      this.#attempt += 1;
      this.#restarts += 1;
      this.#restart = this.#options.clock.after(delayMs, () => this.#spawn(command));
    };
    child.once("error", (error) => onEnd(`cannot be started: ${messageOf(error)}`));
    child.once("exit", (code, signal) => onEnd(signal ?? `exit status ${code}`));
  }
}
