import { type Clock, messageOf, sleep, type Timer } from "../../kernel/index.ts";
import type { DeviceEvent, LogLine, TelemetrySample } from "../../protocol/index.ts";
import { PublishRefused } from "../connection/publish-refused.ts";
import type { PublishOptions, Storage } from "../ports.ts";
import { Journal, type Numbered } from "./journal.ts";

interface StreamOptions {
  topic: "telemetry" | "logs" | "events";
  /** Oldest go first when more are waiting. */
  maxItems: number;
  maxJournalBytes: number;
  itemsPerMessage: number;
  /** Longest time that an item waits for company. */
  gatherMs: number;
  /** On disk before it is sent, rather than only when the platform cannot be reached. */
  durable: boolean;
}

/** In the order in which a backlog is sent: what decides about rollouts first. */
const STREAMS: readonly StreamOptions[] = [
  {
    topic: "events",
    maxItems: 500,
    maxJournalBytes: 256 * 1024,
    itemsPerMessage: 1,
    gatherMs: 0,
    durable: true,
  },
  {
    topic: "logs",
    maxItems: 1_000,
    maxJournalBytes: 512 * 1024,
    itemsPerMessage: 100,
    gatherMs: 1_000,
    durable: false,
  },
  {
    topic: "telemetry",
    maxItems: 2_000,
    maxJournalBytes: 512 * 1024,
    itemsPerMessage: 50,
    gatherMs: 1_000,
    durable: false,
  },
];

/** How a device deals with more than it can keep, and with what has gathered. */
export interface OutboxOptions {
  /** Which go when more are waiting than there is room for. */
  keep: "newest" | "oldest";
  /** A backlog is sent no faster than so, lest a fleet that comes back drowns the platform. */
  backlogItemsPerSecond: number;
}

export const OUTBOX_DEFAULTS: OutboxOptions = { keep: "newest", backlogItemsPerSecond: 500 };

const MAX_MESSAGE_CHARACTERS = 128 * 1024;
const SAVE_EVERY_MS = 30_000;
const RETRY_MS = 2_000;

export interface OutboxDeps {
  storage: Storage;
  clock: Clock;
  options?: OutboxOptions;
  isConnected(): boolean;
  publish(topic: string, payload: string, options?: PublishOptions): Promise<void>;
  onProblem(message: string): void;
}

/**
 * Telemetry, logs and events on their way out. Bounded: the oldest of a kind are dropped and
 * counted. Nothing is forgotten before the platform has acknowledged it, and what cannot be sent is
 * kept on disk.
 */
export class Outbox {
  readonly #deps: OutboxDeps;
  readonly #streams: OutboxStream<Numbered>[];
  #sending: Promise<void> | undefined;
  #gather: Timer | undefined;
  #saver: Timer | undefined;
  #stopped = false;
  readonly #options: OutboxOptions;
  readonly #life = new AbortController();

  constructor(deps: OutboxDeps) {
    this.#deps = deps;
    this.#options = deps.options ?? OUTBOX_DEFAULTS;
    const { keep } = this.#options;
    this.#streams = STREAMS.map((options) => new OutboxStream(deps.storage, options, keep));
  }

  async load(): Promise<void> {
    for (const stream of this.#streams) await stream.load();
    this.#planSaving();
  }

  /** Resolves when the item is as safe as its kind asks for. */
  add(topic: "telemetry", item: TelemetrySample): Promise<void>;
  add(topic: "logs", item: LogLine): Promise<void>;
  add(topic: "events", item: DeviceEvent): Promise<void>;
  async add(topic: StreamOptions["topic"], item: Numbered): Promise<void> {
    const stream = this.#stream(topic);
    stream.add(item);
    if (stream.options.durable) await stream.save();
    this.#wake(stream.options.gatherMs);
  }

  /** Sends what has gathered; called when a connection is there. */
  wake(): void {
    this.#wake(0);
  }

  /** Writes what has not been acknowledged to disk, as far as it takes it: a restart is near. */
  async keep(): Promise<void> {
    try {
      for (const stream of this.#streams) await stream.save();
    } catch (error) {
      this.#deps.onProblem(`what waits could not be kept: ${messageOf(error)}`);
    }
  }

  /** Writes what has not been acknowledged to disk. */
  async stop(): Promise<void> {
    this.halt();
    for (const stream of this.#streams) {
      await stream.save();
      await stream.close();
    }
  }

  /** Stops without touching the disk any more: the power is gone. */
  halt(): void {
    this.#stopped = true;
    this.#life.abort(new Error("the outbox has stopped"));
    this.#gather?.cancel();
    this.#saver?.cancel();
  }

  figures(): { waiting: number; dropped: number } {
    let waiting = 0;
    let dropped = 0;
    for (const stream of this.#streams) {
      waiting += stream.waiting;
      dropped += stream.dropped;
    }
    return { waiting, dropped };
  }

  #stream(topic: string): OutboxStream<Numbered> {
    return this.#streams.find((stream) => stream.options.topic === topic) as OutboxStream<Numbered>;
  }

  #wake(delayMs: number): void {
    if (this.#stopped || this.#sending || !this.#deps.isConnected()) return;
    if (delayMs > 0 && this.#gather) return;
    this.#gather?.cancel();
    this.#gather = this.#deps.clock.after(delayMs, () => {
      this.#gather = undefined;
      this.#startSending();
    });
  }

  #startSending(): void {
    if (this.#sending || this.#stopped) return;
    this.#sending = this.#sendAll()
      .catch((error) => {
        this.#deps.onProblem(`sending stopped: ${messageOf(error)}`);
        return RETRY_MS;
      })
      .then((delayMs) => {
        this.#sending = undefined;
        if (this.#streams.some((stream) => stream.waiting > 0)) this.#wake(delayMs || 1);
      });
  }

  /** Returns the delay before the next round. Looks for the most urgent kind before each message. */
  async #sendAll(): Promise<number> {
    const { isConnected, publish, onProblem } = this.#deps;
    for (;;) {
      const stream = this.#streams.find(({ waiting }) => waiting > 0);
      if (!stream || !isConnected() || this.#stopped) return 0;
      const items = stream.head();
      const { topic, itemsPerMessage } = stream.options;
      const payload = JSON.stringify(itemsPerMessage === 1 ? items[0] : items);
      try {
        await publish(topic, payload, {
          traceparent: (items[0] as { traceparent?: string }).traceparent,
        });
      } catch (error) {
        if (!(error instanceof PublishRefused)) throw error;
        onProblem(`the platform refused ${topic}: ${error.message}`);
      }
      await stream.acknowledge(items);
      if (this.#isBacklog()) await this.#pause(items.length);
    }
  }

  #isBacklog(): boolean {
    return this.#streams.some(({ waiting, options }) => waiting > options.itemsPerMessage);
  }

  async #pause(sentItems: number): Promise<void> {
    const delayMs = (1_000 * sentItems) / this.#options.backlogItemsPerSecond;
    await sleep(this.#deps.clock, delayMs, this.#life.signal).catch(() => {
      // Stopped, which the caller looks at.
    });
  }

  #planSaving(): void {
    this.#saver = this.#deps.clock.after(SAVE_EVERY_MS, () => {
      const done = this.#deps.isConnected() ? Promise.resolve() : this.#saveAll();
      done
        .catch((error) => this.#deps.onProblem(`the backlog was not saved: ${messageOf(error)}`))
        .finally(() => {
          if (!this.#stopped) this.#planSaving();
        });
    });
  }

  async #saveAll(): Promise<void> {
    for (const stream of this.#streams) await stream.save();
  }
}

class OutboxStream<Item extends Numbered> {
  readonly options: StreamOptions;
  readonly #journal: Journal<Item>;
  readonly #keep: OutboxOptions["keep"];
  #items: Item[] = [];
  /** What each item takes, by its place in `#items`; serialising again costs more than sending. */
  #sizes: number[] = [];
  #characters = 0;
  /** Items up to this number are in the journal. */
  #savedSeq = -1;
  dropped = 0;

  constructor(storage: Storage, options: StreamOptions, keep: OutboxOptions["keep"]) {
    this.options = options;
    this.#keep = keep;
    this.#journal = new Journal(storage, `outbox-${options.topic}`, options.maxJournalBytes);
  }

  get waiting(): number {
    return this.#items.length;
  }

  async load(): Promise<void> {
    const found = await this.#journal.load();
    const { maxItems } = this.options;
    this.#items = this.#keep === "newest" ? found.slice(-maxItems) : found.slice(0, maxItems);
    this.#sizes = this.#items.map(sizeOf);
    this.#characters = sumOf(this.#sizes);
    this.#savedSeq = this.#items.at(-1)?.seq ?? -1;
  }

  add(item: Item): void {
    const { maxItems, maxJournalBytes } = this.options;
    const size = sizeOf(item);
    const isFull = () =>
      this.#items.length >= maxItems || this.#characters + size > maxJournalBytes / 2;
    if (this.#keep === "oldest" && isFull()) {
      this.dropped += 1;
      return;
    }
    while (this.#items.length > 0 && isFull()) {
      this.#items.shift();
      this.#characters -= this.#sizes.shift() as number;
      this.dropped += 1;
    }
    this.#items.push(item);
    this.#sizes.push(size);
    this.#characters += size;
  }

  async save(): Promise<void> {
    const unsaved = this.#items.filter((item) => item.seq > this.#savedSeq);
    const last = unsaved.at(-1);
    if (!last) return;
    const before = this.#savedSeq;
    this.#savedSeq = last.seq;
    try {
      await this.#journal.append(unsaved);
    } catch (error) {
      this.#savedSeq = before;
      throw error;
    }
  }

  /** The oldest items, as many as one message may hold. */
  head(): Item[] {
    const items: Item[] = [];
    let characters = 0;
    for (const [index, item] of this.#items.slice(0, this.options.itemsPerMessage).entries()) {
      characters += this.#sizes[index] as number;
      if (items.length > 0 && characters > MAX_MESSAGE_CHARACTERS) break;
      items.push(item);
    }
    return items;
  }

  async acknowledge(sent: readonly Item[]): Promise<void> {
    const lastSeq = sent.at(-1)?.seq ?? -1;
    // What was sent lies in front, but for what was dropped meanwhile.
    const wasSent = new Set(sent);
    const rest = this.#items.findIndex((item) => !wasSent.has(item));
    const gone = rest < 0 ? this.#items.length : rest;
    this.#items.splice(0, gone);
    this.#characters -= sumOf(this.#sizes.splice(0, gone));
    if (this.#savedSeq >= 0) await this.#journal.release(lastSeq);
  }

  close(): Promise<void> {
    return this.#journal.close();
  }
}

/** About what an item takes in the journal. */
function sizeOf(item: unknown): number {
  return JSON.stringify(item).length + LINE_OVERHEAD;
}

function sumOf(sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Checksum, space and line's end. */
const LINE_OVERHEAD = 10;
