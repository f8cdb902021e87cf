import { AppError } from "../kernel/index.ts";
import { PointColumns } from "../timeseries/index.ts";

export interface PointIntakeOptions {
  /** Makes the points durable. They are free again when it returns, not only when it resolves. */
  write(points: PointColumns): Promise<void>;
  /** How long the first point of a batch waits for company. */
  maxDelayMs: number;
  /** Points at which a batch is written at once. */
  maxBatchSize: number;
  /** Points that may wait; beyond it `open` refuses. */
  maxQueuedSize: number;
  /** Batches that are written at the same time. */
  maxWrites: number;
  onOverflow?(): void;
}

/** Points that are written together. Who has given it some waits for `done`. */
export interface PointBatch {
  readonly columns: PointColumns;
  readonly done: Promise<void>;
}

interface OpenBatch extends PointBatch {
  resolve(): void;
  reject(error: unknown): void;
}

/** A store's batches of points: what `Batcher` is for all else, without an object for each of them. */
export class PointIntake {
  readonly #options: PointIntakeOptions;
  readonly #spare: PointColumns[] = [];
  #open: OpenBatch | undefined;
  #queued = 0;
  #writes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: PointIntakeOptions) {
    this.#options = options;
  }

  /**
   * The batch for points that are added before this turn of the event loop ends; `added` follows.
   * Throws `unavailable` where too many wait.
   */
  open(): PointBatch {
    const waiting = this.#queued + (this.#open?.columns.rows ?? 0);
    if (waiting >= this.#options.maxQueuedSize) {
      this.#options.onOverflow?.();
      throw new AppError("unavailable", "the ingest queue is full", {
        limit: this.#options.maxQueuedSize,
      });
    }
    this.#open ??= { columns: this.#spare.pop() ?? new PointColumns(), ...withResolvers() };
    return this.#open;
  }

  /** Sees to it that what was added is written. */
  added(): void {
    const rows = this.#open?.columns.rows ?? 0;
    if (rows === 0) return;
    if (rows >= this.#options.maxBatchSize) this.#write();
    else this.#timer ??= setTimeout(() => this.#write(), this.#options.maxDelayMs);
  }

  /** Writes what is queued and waits for it. */
  async flush(): Promise<void> {
    while (this.#open && this.#open.columns.rows > 0) {
      const { done } = this.#open;
      this.#write();
      await done.catch(() => {});
    }
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#open;
    if (!batch || batch.columns.rows === 0 || this.#writes >= this.#options.maxWrites) return;
    this.#open = undefined;
    this.#writes += 1;
    const { columns } = batch;
    const { rows } = columns;
    this.#queued += rows;
    const writing = this.#options.write(columns);
    columns.clear();
    const isSmall = rows <= this.#options.maxBatchSize;
    if (isSmall && this.#spare.length < this.#options.maxWrites) this.#spare.push(columns);
    writing.then(batch.resolve, batch.reject).finally(() => {
      this.#writes -= 1;
      this.#queued -= rows;
      // What came meanwhile has waited long enough.
      if (this.#open) this.#write();
    });
  }
}

function withResolvers(): Omit<OpenBatch, "columns"> {
  const { promise: done, resolve, reject } = Promise.withResolvers<void>();
  // Whoever waits hears of a failure; that nobody does is no fault.
  done.catch(() => {});
  return { done, resolve, reject };
}
