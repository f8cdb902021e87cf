import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import fs, { type FileHandle } from "node:fs/promises";
import { AppError, type Clock, messageOf, type Random, sleep } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { writeAll } from "../kernel/write-all.ts";
import type { ArtifactDisk } from "./artifact-disk.ts";
import type { Upstream, UpstreamAnswer } from "./upstream.ts";

/** The end of an artifact is held back until all of it has been verified. */
export const HELD_BACK_BYTES = 64 * 1024;
const BACK_OFF = { baseMs: 1_000, capMs: 60_000 };
const MAX_ATTEMPTS_IN_VAIN = 10;
const MAX_WAIT_SECONDS = 300;

const fetched = counter("vautn_cache_fetched_bytes_total", "Bytes that came from the platform");
const endings = counter("vautn_cache_fetches_total", "Fetches from the platform", ["outcome"]);

export interface FetchDeps {
  disk: ArtifactDisk;
  upstream: Upstream;
  clock: Clock;
  random: Random;
  log(message: string): void;
}

/**
 * One artifact on its way from the platform, for however many devices want it. They read it while it
 * arrives, but for its end: nobody has a whole artifact before its hash has been compared.
 */
export class ArtifactFetch {
  readonly sha256: string;
  sizeBytes = 0;
  received = 0;
  state: "running" | "verified" | "failed" = "running";
  failure: unknown;
  /** Rises when what had come was thrown away: whoever has read of it has read in vain. */
  beginnings = 0;
  /** Resolves when the size is known, rejects where there is no such artifact. */
  readonly begun: Promise<void>;
  readonly done: Promise<void>;
  readonly #deps: FetchDeps;
  readonly #abort = new AbortController();
  #changed = Promise.withResolvers<void>();

  constructor(deps: FetchDeps, sha256: string) {
    this.#deps = deps;
    this.sha256 = sha256;
    const begun = Promise.withResolvers<void>();
    this.begun = begun.promise;
    begun.promise.catch(() => {}); // Whoever waits for it hears of it.
    this.done = this.#run(begun.resolve).then(
      () => this.#end("verified"),
      (error) => {
        this.failure = error;
        begun.reject(error);
        this.#end("failed");
      },
    );
  }

  stop(): void {
    this.#abort.abort(new Error("the cache is being stopped"));
  }

  /** Resolves with the next news of it. */
  change(): Promise<void> {
    return this.#changed.promise;
  }

  #end(state: "verified" | "failed"): void {
    this.state = state;
    endings.inc({ outcome: state });
    this.#tell();
  }

  #tell(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }

  async #run(begin: () => void): Promise<void> {
    const { disk } = this.#deps;
    const leave = disk.arriving(this.sha256);
    try {
      await this.#fill(begin);
      await disk.complete(this.sha256, this.sizeBytes);
    } finally {
      leave();
    }
  }

  async #fill(begin: () => void): Promise<void> {
    const { disk } = this.#deps;
    const partial = disk.partialPath(this.sha256);
    // What an earlier run has left is read again: its bytes belong to the hash.
    const hash = createHash("sha256");
    this.received = await hashFile(partial, hash);
    const file = await fs.open(partial, this.received > 0 ? "r+" : "w", 0o600);
    try {
      if (this.received > 0 && this.#matches(hash)) {
        // All of it had come, and the earlier run died before it said so.
        await disk.reserve(this.sha256, this.received);
        this.sizeBytes = this.received;
        begin();
      } else {
        await this.#askAndTake(file, hash, begin);
      }
      await file.sync();
    } catch (error) {
      const isWrong = error instanceof AppError && error.code !== "unavailable";
      if (isWrong) await disk.discardPartial(this.sha256);
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Asks until all of it is here and has the hash. */
  async #askAndTake(file: FileHandle, left: Hash, begin: () => void): Promise<void> {
    const { clock, random, log } = this.#deps;
    let hash = left;
    for (let attempt = 0, again = false; ; attempt += 1) {
      const before = this.received;
      let waitMs = 0;
      try {
        const answer = await this.#ask();
        if (answer.offset === 0 && this.received > 0) hash = await this.#beginAnew(file);
        begin();
        await this.#take(answer, file, hash);
      } catch (error) {
        this.#abort.signal.throwIfAborted();
        if (error instanceof AppError) throw error;
        if (error instanceof AskedToWait) waitMs = error.waitMs;
        log(`${this.sha256.slice(0, 12)}: ${messageOf(error)}; ${this.received} bytes are here`);
        // What lies here is as long as the artifact or longer, and is not it.
        if (error instanceof NothingBeyond) hash = await this.#beginAnew(file);
      }
      if (this.sizeBytes > 0 && this.received === this.sizeBytes) {
        if (this.#matches(hash)) return;
        if (again) throw new AppError("image-mismatch", "the artifact has another hash");
        again = true;
        log(`${this.sha256.slice(0, 12)}: what came has another hash; fetching it again`);
        hash = await this.#beginAnew(file);
      }
      if (this.received > before) attempt = 0;
      if (attempt >= MAX_ATTEMPTS_IN_VAIN) {
        throw new AppError("unavailable", "the platform cannot be reached");
      }
      const ceiling = Math.min(BACK_OFF.capMs, BACK_OFF.baseMs * 2 ** attempt);
      await sleep(clock, waitMs + random.next() * ceiling, this.#abort.signal);
    }
  }

  #matches(hash: Hash): boolean {
    return hash.copy().digest("hex") === this.sha256;
  }

  async #beginAnew(file: FileHandle): Promise<Hash> {
    this.beginnings += 1;
    this.received = 0;
    this.#tell();
    await file.truncate(0);
    return createHash("sha256");
  }

  /** An answer with bytes in it; AppError for what asking again would not change. */
  async #ask(): Promise<UpstreamAnswer> {
    const { upstream, disk } = this.#deps;
    const answer = await upstream.fetch(this.sha256, this.received, this.#abort.signal);
    const { status, sizeBytes, retryAfterSeconds } = answer;
    if (status === 200 || status === 206) {
      if (sizeBytes === undefined || !Number.isSafeInteger(sizeBytes) || sizeBytes === 0) {
        answer.drop();
        throw new AppError("unavailable", "the platform does not say how large the artifact is");
      }
      if (this.sizeBytes !== sizeBytes) await disk.reserve(this.sha256, sizeBytes);
      this.sizeBytes = sizeBytes;
      return answer;
    }
    answer.drop();
    if (status === 404) throw new AppError("not-found", "there is no such artifact");
    if (status === 403 || status === 401) {
      throw new AppError("unavailable", "the platform does not accept the cache's certificate");
    }
    if (retryAfterSeconds !== undefined) {
      throw new AskedToWait(Math.min(retryAfterSeconds, MAX_WAIT_SECONDS) * 1000);
    }
    // RFC 9110 §15.5.17
    if (status === 416 && this.received > 0) throw new NothingBeyond();
    throw new Error(`the platform answered ${status}`);
  }

  async #take(answer: UpstreamAnswer, file: FileHandle, hash: Hash): Promise<void> {
    for await (const chunk of answer.body) {
      if (this.received + chunk.length > this.sizeBytes) {
        throw new AppError("image-mismatch", "more came than the artifact has bytes");
      }
      await writeAll(file, chunk, this.received);
      hash.update(chunk);
      this.received += chunk.length;
      fetched.inc(chunk.length);
      this.#tell();
    }
  }
}

class AskedToWait extends Error {
  readonly waitMs: number;

  constructor(waitMs: number) {
    super("the platform has enough to do");
    this.waitMs = waitMs;
  }
}

class NothingBeyond extends Error {
  constructor() {
    super("the platform has nothing beyond what is here");
  }
}

async function hashFile(file: string, hash: Hash): Promise<number> {
  let sizeBytes = 0;
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 256 * 1024 })) {
      hash.update(chunk as Buffer);
      sizeBytes += (chunk as Buffer).length;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  return sizeBytes;
}
