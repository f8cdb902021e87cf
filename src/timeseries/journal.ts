import fs from "node:fs";
import { AppError, assert, messageOf } from "../kernel/index.ts";
import { RESERVED_DISK_BYTES } from "../kernel/limits.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter, gauge, histogram } from "../kernel/metrics.ts";
import { DiskRoom } from "./disk-room.ts";
import { batchesOf, type JournalBatch } from "./journal-batches.ts";
import { JournalFiles } from "./journal-files.ts";
import {
  encodeRecord,
  type JournalRecord,
  MAX_BLOCK_BYTES,
  readRecords,
} from "./journal-record.ts";
import { Segment, SegmentTaken } from "./journal-segment.ts";
import { RepeatedLine } from "./repeated-line.ts";

export interface JournalOptions {
  /** Folder of all journals of this machine. */
  directory: string;
  /** Whose journal it is, e.g. `gateway-1`: no other process that lives bears this name. */
  name: string;
  /** Whose journals nobody feeds any more. */
  isLost?: (name: string) => boolean;
  logger: Logger;
  /** Makes the rows durable in the store; `unavailable` is tried again, all else is a refusal. */
  write(batch: JournalBatch): Promise<void>;
  /** Beyond this much that the store has not taken, `append` refuses. */
  maxBytes?: number;
  /** From the beginning of one feeding of the store to that of the next. */
  feedEveryMs?: number;
  /** With less room on the disk `append` refuses: the rest is for the stores, which share it. */
  minFreeBytes?: number;
}

const MAX_BYTES = 1024 ** 3;
/** An INSERT costs the engine 25 ms whatever it holds, so small ones are kept apart. */
const FEED_EVERY_MS = 500;
/** Of a fleet that says little: each table's INSERT, and the merge that follows it, for a few rows. */
const FEED_LITTLE_EVERY_MS = 2_000;
const LITTLE_BYTES = 64 * 1024;
/** A segment of this size is fed without waiting: more would not make it cheaper. */
const FULL_BYTES = 6 * 1024 ** 2;
const MAX_SEGMENT_BYTES = 16 * 1024 ** 2;
/** Syncs at the same time: while one waits for the disk another one gathers. */
const MAX_COMMITS = 2;
const RETRY_DELAYS_MS = [100, 200, 500, 1_000, 2_000];
const CLOSE_PATIENCE_MS = 5_000;

const written = counter("vautn_journal_records_total", "Batches written to the ingest journal");
const refused = counter("vautn_journal_refusals_total", "What the ingest journal did not take", [
  "reason",
]);
const backlog = gauge("vautn_journal_bytes", "Bytes in the journal that the store has not taken");
const writeSeconds = histogram(
  "vautn_journal_write_seconds",
  "Time until what devices sent is on the disk: their acknowledgement waits for it",
  [0.002, 0.01, 0.05, 0.1, 0.25, 1, 5],
);
/** A disk that takes so long is ill, or has far too much to do. */
const SLOW_WRITE_MS = 1_000;

interface WrittenFile {
  path: string;
  sizeBytes: number;
  /** Resolves when what was on its way into the file is there. */
  complete: Promise<void>;
}

interface Waiting {
  record: JournalRecord;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * Rows are durable here, in a file that is synced, before the store has them: a store whose every
 * insert is dear is fed in large blocks, and nobody waits for it. Each file is deleted when the store
 * has taken all of it, and fed again from the beginning after a crash; rows are idempotent.
 */
export class Journal {
  readonly #options: JournalOptions;
  readonly #files: JournalFiles;
  readonly #disk: DiskRoom;
  readonly #faults: RepeatedLine;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  readonly #commits = new Set<Promise<void>>();
  #active: Segment | undefined;
  /** Files that nothing is added to: they wait for the store, oldest first. */
  readonly #written: WrittenFile[] = [];
  /** Files that have been put behind `#written`, and taken off it, since the start. */
  #sealedCount = 0;
  #fedCount = 0;
  #feeding: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #fedAt = Number.NEGATIVE_INFINITY;
  #state: "open" | "closing" | "closed" = "open";

  private constructor(options: JournalOptions, files: JournalFiles) {
    this.#options = options;
    this.#files = files;
    const { directory, logger, minFreeBytes = RESERVED_DISK_BYTES } = options;
    this.#disk = new DiskRoom({ directory, logger, minFreeBytes });
    this.#faults = new RepeatedLine(logger);
  }

  /** Opens the journal and begins to feed the store with what was left over. */
  static open(options: JournalOptions): Journal {
    const files = new JournalFiles(options.directory, options.name);
    const journal = new Journal(options, files);
    for (const path of files.claim(options.isLost ?? (() => false))) {
      // Whoever was thought to be dead, and is not, has fed it and taken it away meanwhile.
      const stat = fs.statSync(path, { throwIfNoEntry: false });
      if (!stat) continue;
      journal.#written.push({ path, sizeBytes: stat.size, complete: Promise.resolve() });
      journal.#sealedCount += 1;
    }
    const { length } = journal.#written;
    if (length > 0) options.logger.info({ files: length }, "the ingest journal was not empty");
    journal.#feedSoon();
    return journal;
  }

  /** Resolves when the record is on the disk; `unavailable` where there is no room for it. */
  append(record: JournalRecord): Promise<void> {
    const sizeBytes = record.block.length;
    assert(sizeBytes <= MAX_BLOCK_BYTES, "a record of the journal can be read again");
    if (this.#state !== "open") {
      return Promise.reject(new AppError("unavailable", "the ingest journal is closed"));
    }
    const maxBytes = this.#options.maxBytes ?? MAX_BYTES;
    if (this.backlogBytes + sizeBytes > maxBytes) {
      refused.inc({ reason: "full" });
      return Promise.reject(
        new AppError("unavailable", "the ingest journal is full", { limit: maxBytes }),
      );
    }
    if (!this.#disk.hasRoom()) {
      refused.inc({ reason: "disk-full" });
      return Promise.reject(new AppError("unavailable", "the disk of the ingest journal is full"));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record, resolve, reject });
      this.#waitingBytes += sizeBytes;
      this.#commitSoon();
    });
  }

  /** What the store has not taken. */
  get backlogBytes(): number {
    const files = this.#written.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return files + (this.#active?.sizeBytes ?? 0) + this.#waitingBytes;
  }

  /** Resolves when the store has all that has been acknowledged up to now. */
  async fed(): Promise<void> {
    await Promise.all(this.#commits);
    this.#seal();
    const sealed = this.#sealedCount;
    while (this.#fedCount < sealed && this.#state !== "closed") {
      this.#feedSoon();
      await this.#feeding;
    }
  }

  /** Feeds the store what is left, if it takes it soon; the rest is for the next start. */
  async close(): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "closing";
    await Promise.all(this.#commits);
    const patience = new Promise((resolve) => setTimeout(resolve, CLOSE_PATIENCE_MS).unref());
    await Promise.race([this.fed(), patience]);
    this.#state = "closed";
    clearTimeout(this.#timer);
    await this.#feeding;
    await this.#active?.finish();
    this.#active = undefined;
  }

  #commitSoon(): void {
    if (this.#waiting.length === 0 || this.#commits.size >= MAX_COMMITS) return;
    const group = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    const commit = this.#commit(group).finally(() => {
      this.#commits.delete(commit);
      this.#commitSoon();
      this.#feedSoon();
    });
    this.#commits.add(commit);
  }

  /** One sync for all that came while the others ran. */
  async #commit(group: readonly Waiting[]): Promise<void> {
    this.#active ??= new Segment(this.#files.next());
    const segment = this.#active;
    const startedAt = performance.now();
    try {
      await segment.append(group.flatMap(({ record }) => encodeRecord(record)));
      const tookMs = performance.now() - startedAt;
      writeSeconds.observe(tookMs / 1_000);
      if (tookMs > SLOW_WRITE_MS) {
        const facts = { tookMs: Math.round(tookMs), records: group.length };
        this.#faults.warn(facts, "the disk of the ingest journal is slow: devices wait");
      }
      written.inc(group.length);
      for (const { resolve } of group) resolve();
    } catch (cause) {
      this.#onFault(cause, group);
      // After a sync that failed nobody knows what the disk has: the file is not written to again.
      if (this.#active === segment) this.#seal();
    }
    if (this.#active === segment && segment.sizeBytes >= MAX_SEGMENT_BYTES) this.#seal();
  }

  #onFault(cause: unknown, group: readonly Waiting[]): void {
    const reason = cause instanceof SegmentTaken ? "taken" : "disk";
    refused.inc({ reason }, group.length);
    this.#faults.error({ error: messageOf(cause), reason }, "the ingest journal failed");
    const text = "the ingest journal cannot be written";
    for (const { reject } of group) reject(new AppError("unavailable", text, {}, { cause }));
  }

  /** Nothing is added to the active file any more: its next reader is the store. */
  #seal(): void {
    const segment = this.#active;
    if (!segment) return;
    this.#active = undefined;
    const { path, sizeBytes } = segment;
    this.#sealedCount += 1;
    this.#written.push({ path, sizeBytes, complete: segment.finish().catch(() => {}) });
  }

  #feedSoon(): void {
    if (this.#feeding || this.#state === "closed") return;
    if (this.#written.length === 0) {
      const active = this.#active?.sizeBytes ?? 0;
      if (active === 0 || this.#isTooSoon(active)) return;
      this.#seal();
    }
    this.#feeding = this.#feed().finally(() => {
      this.#feeding = undefined;
      this.#feedSoon();
    });
  }

  /** Small inserts wait for one another; the time comes by itself. */
  #isTooSoon(sizeBytes: number): boolean {
    if (sizeBytes >= FULL_BYTES) return false;
    const usual = sizeBytes < LITTLE_BYTES ? FEED_LITTLE_EVERY_MS : FEED_EVERY_MS;
    const every = this.#options.feedEveryMs ?? usual;
    const waitMs = this.#fedAt + every - performance.now();
    if (waitMs <= 0) return false;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#feedSoon();
    }, waitMs);
    return true;
  }

  async #feed(): Promise<void> {
    this.#fedAt = performance.now();
    const next = this.#written[0];
    if (!next) return;
    await next.complete;
    try {
      if (await this.#feedFile(next.path)) {
        this.#written.shift();
        this.#fedCount += 1;
      }
    } catch (error) {
      this.#options.logger.error({ path: next.path, error: messageOf(error) }, "not fed");
      await pause(RETRY_DELAYS_MS.at(-1) as number);
    }
    backlog.set(this.backlogBytes);
  }

  /** True when nothing more is to be done for this file. */
  async #feedFile(path: string): Promise<boolean> {
    const bytes = await fs.promises.readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined; // Another process has taken it over.
      throw error;
    });
    if (!bytes) return true;
    const { records, damagedBytes } = readRecords(bytes);
    const { logger } = this.#options;
    if (damagedBytes > 0) logger.warn({ path, damagedBytes }, "cut off or damaged: skipped");
    let refusal: string | undefined;
    for (const batch of batchesOf(records)) {
      const outcome = await this.#writeOut(batch);
      if (outcome === "later") return false;
      if (outcome === "done") continue;
      refused.inc({ reason: "store" }, batch.blocks.length);
      refusal = messageOf(outcome.error);
    }
    if (refusal === undefined) await fs.promises.rm(path, { force: true });
    else logger.error({ path: this.#files.setAside(path), refusal }, "refused by the store: kept");
    return true;
  }

  async #writeOut(batch: JournalBatch): Promise<"done" | "later" | { error: unknown }> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        await this.#options.write(batch);
        return "done";
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== "unavailable") return { error };
        if (this.#state === "closed") return "later";
        const cause = messageOf(error.cause ?? error);
        this.#faults.warn({ cause, attempt }, "the store does not take what the journal holds");
        const delayMs = RETRY_DELAYS_MS[Math.min(attempt, RETRY_DELAYS_MS.length - 1)] as number;
        await pause(delayMs);
      }
    }
  }
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
