import { type ChildProcess, fork } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { randomSecret } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter } from "../kernel/metrics.ts";
import { ENDPOINT_USER } from "./endpoint.ts";
import type { FromEngineProcess, ToEngineProcess } from "./endpoint-process.ts";

export interface EmbeddedClickHouse {
  /** Address of ClickHouse's HTTP interface, with credentials. */
  url: string;
  /** Process id of the engine; another one after a restart. */
  readonly pid: number;
  /** Resolves when the engine has ended for good. */
  exited: Promise<void>;
  stop(): Promise<void>;
}

const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;
const LOCK_TIMEOUT_MS = 20_000;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 10_000;
/** A child that lived this long starts again without delay. */
const HEALTHY_AFTER_MS = 30_000;

const restarts = counter("vautn_clickhouse_restarts_total", "Restarts of the embedded engine");

/**
 * Starts the ClickHouse engine (chDB) in a child process and keeps it running: it is started again
 * at the same address when it dies. The directory is taken exclusively; a second process that wants
 * it is refused.
 */
export async function startEmbeddedClickHouse(options: {
  directory: string;
  logger: Logger;
  /** How long the engine of a process that was killed may take to notice and let go. */
  lockTimeoutMs?: number;
}): Promise<EmbeddedClickHouse> {
  const directory = path.resolve(options.directory);
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const supervisor = new Supervisor(directory, options.logger);
  await supervisor.start(options.lockTimeoutMs ?? LOCK_TIMEOUT_MS);
  return supervisor;
}

class Supervisor implements EmbeddedClickHouse {
  readonly exited: Promise<void>;
  readonly #directory: string;
  readonly #logger: Logger;
  readonly #secret = randomSecret();
  #port = 0;
  #child: ChildProcess | undefined;
  #startedAt = 0;
  #backoffMs = FIRST_BACKOFF_MS;
  #stopping = false;
  #wakeUp: (() => void) | undefined;
  #markExited: () => void = () => {};

  constructor(directory: string, logger: Logger) {
    this.#directory = directory;
    this.#logger = logger;
    this.exited = new Promise((resolve) => {
      this.#markExited = resolve;
    });
  }

  get url(): string {
    return `http://${ENDPOINT_USER}:${this.#secret}@127.0.0.1:${this.#port}`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async start(lockTimeoutMs: number): Promise<void> {
    const deadline = Date.now() + lockTimeoutMs;
    for (;;) {
      try {
        await this.#spawn();
        return;
      } catch (error) {
        const locked = /Cannot lock file|create connection for path/.test((error as Error).message);
        if (!locked || Date.now() > deadline) throw describeStartFailure(error, this.#directory);
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    }
  }

  async stop(): Promise<void> {
    if (!this.#stopping) {
      this.#stopping = true;
      this.#wakeUp?.();
      const child = this.#child;
      if (child && isAlive(child)) {
        if (child.connected) child.send({ kind: "stop" } satisfies ToEngineProcess, () => {});
        setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS).unref();
      } else this.#markExited();
    }
    await this.exited;
  }

  /** Resolves when the child serves. */
  async #spawn(): Promise<void> {
    const child = fork(path.join(import.meta.dirname, "endpoint-process.ts"), {
      execArgv: [],
      serialization: "json",
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      // Each running query holds one thread of this pool, and bodies are written by others.
      env: { PATH: process.env.PATH, TZ: "UTC", UV_THREADPOOL_SIZE: "16" },
    });
    const tail = this.#relayOutput(child);
    this.#child = child;
    this.#startedAt = Date.now();
    try {
      const { port } = await this.#handshake(child);
      this.#port = port;
    } catch (error) {
      child.kill("SIGKILL");
      throw new Error([(error as Error).message, ...tail].join("\n"), { cause: error });
    }
    child.once("exit", (status, signal) => void this.#onExit(status, signal));
  }

  #handshake(child: ChildProcess): Promise<{ port: number }> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => fail("it is not ready in time"), READY_TIMEOUT_MS);
      const fail = (why: string) => {
        clearTimeout(timer);
        reject(new Error(`the embedded ClickHouse cannot be started: ${why}`));
      };
      child.once("error", (error) => fail(error.message));
      child.once("exit", (status, signal) => fail(`it ended with ${signal ?? status}`));
      child.once("message", (message: FromEngineProcess) => {
        if (message.kind === "failed") return fail(message.message);
        clearTimeout(timer);
        resolve(message);
      });
      const order: ToEngineProcess = {
        kind: "start",
        directory: this.#directory,
        port: this.#port,
        secret: this.#secret,
      };
      // A child that dies at once is heard of by its exit: the broken pipe says no more.
      child.send(order, () => {});
    });
  }

  #relayOutput(child: ChildProcess): string[] {
    const tail: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        const text = chunk.toString().trim().slice(0, 2000);
        if (!text) return;
        tail.push(text);
        if (tail.length > 20) tail.shift();
        this.#logger.debug({ output: text }, "embedded ClickHouse says");
      });
    }
    return tail;
  }

  async #onExit(status: number | null, signal: string | null): Promise<void> {
    if (Date.now() - this.#startedAt > HEALTHY_AFTER_MS) this.#backoffMs = FIRST_BACKOFF_MS;
    while (!this.#stopping) {
      restarts.inc();
      this.#logger.error(
        { status, signal, backoffMs: this.#backoffMs },
        "embedded ClickHouse died",
      );
      await this.#pause(this.#backoffMs);
      this.#backoffMs = Math.min(this.#backoffMs * 2, LONGEST_BACKOFF_MS);
      if (this.#stopping) break;
      try {
        await this.#spawn();
        this.#logger.info({ pid: this.pid }, "embedded ClickHouse runs again");
        return;
      } catch (error) {
        this.#logger.error({ err: error }, "embedded ClickHouse does not start");
      }
    }
    this.#markExited();
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      this.#wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function isAlive(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

function describeStartFailure(error: unknown, directory: string): Error {
  const message = (error as Error).message;
  if (/Cannot lock file/.test(message)) {
    return new Error(`${directory} is in use by another process`, { cause: error });
  }
  return error as Error;
}
