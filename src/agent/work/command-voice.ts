import { type Clock, LIMITS, sleep } from "../../kernel/index.ts";
import type { CommandResult } from "../../protocol/index.ts";

/** How often a running command is heard of at most. */
const EVERY_MS = 1_000;
/** How long the end of a command waits for what is on its way. */
const LAST_WORD_MS = 2_000;

export interface VoiceDeps {
  clock: Clock;
  life: AbortSignal;
  publish(result: CommandResult): Promise<void>;
}

/**
 * What a command says while it runs: how far it is and what it writes. Pieces go out one at a time
 * and a second apart; what does not fit between two of them loses its beginning, and the gap in the
 * numbers tells the platform so.
 */
export class CommandVoice {
  readonly #deps: VoiceDeps;
  #text = "";
  #progress: number | undefined;
  #seq = 0;
  #sending: Promise<void> | undefined;
  #isTimed = false;
  #isOver = false;

  constructor(deps: VoiceDeps) {
    this.#deps = deps;
  }

  /** 0 to 1. */
  progress(fraction: number): void {
    if (!Number.isFinite(fraction)) return;
    this.#progress = Math.min(1, Math.max(0, fraction));
    this.#schedule();
  }

  write(text: string): void {
    this.#text += text.toWellFormed();
    const excess = this.#text.length - LIMITS.commandStreamPieceLength;
    if (excess > 0) {
      this.#text = this.#text.slice(excess).toWellFormed();
      // A number that never comes: the platform sees that something is missing.
      this.#seq += 1;
    }
    this.#schedule();
  }

  /** The last piece, to go with the result. */
  async end(): Promise<Pick<CommandResult, "stream">> {
    this.#isOver = true;
    if (this.#sending) {
      const enough = new AbortController();
      const patience = sleep(this.#deps.clock, LAST_WORD_MS, enough.signal).catch(() => {});
      await Promise.race([this.#sending, patience]);
      enough.abort();
    }
    return this.#text ? { stream: { seq: this.#seq, text: this.#text } } : {};
  }

  #schedule(): void {
    if (this.#isTimed || this.#isOver) return;
    this.#isTimed = true;
    this.#deps.clock.after(EVERY_MS, () => {
      this.#isTimed = false;
      if (!this.#isOver && !this.#deps.life.aborted) this.#send();
    });
  }

  #send(): void {
    if (this.#sending) {
      this.#schedule();
      return;
    }
    const text = this.#text;
    const result: CommandResult = { status: "running" };
    if (this.#progress !== undefined) result.progress = this.#progress;
    if (text) {
      result.stream = { seq: this.#seq, text };
      this.#seq += 1;
      this.#text = "";
    }
    this.#sending = this.#deps
      .publish(result)
      .catch(() => {
        // The piece is lost with its number; what follows says that something is missing.
      })
      .finally(() => {
        this.#sending = undefined;
      });
  }
}
