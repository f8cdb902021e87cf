import type { StateStore } from "../agent-state.ts";

const BLOCK = 1_000;
const LOW = 200;

/**
 * Numbers that rise from message to message and never come twice, power cuts included: they are
 * reserved on disk a block at a time, and a restart begins behind the last block.
 */
export class SequenceNumbers {
  readonly #state: StateStore;
  #next: number;
  #extending: Promise<void> | undefined;

  private constructor(state: StateStore, next: number) {
    this.#state = state;
    this.#next = next;
  }

  static async open(state: StateStore): Promise<SequenceNumbers> {
    const numbers = new SequenceNumbers(state, state.current.reservedSequence);
    await numbers.#extend();
    return numbers;
  }

  next(): number {
    if (!this.#extending && this.#next > this.#state.current.reservedSequence - LOW) {
      this.#extending = this.#extend()
        .catch(() => {
          // The state store is failing, which whoever writes something that matters will report.
        })
        .finally(() => {
          this.#extending = undefined;
        });
    }
    return this.#next++;
  }

  #extend(): Promise<void> {
    return this.#state.update((state) => ({
      ...state,
      reservedSequence: Math.max(state.reservedSequence, this.#next) + BLOCK,
    }));
  }
}
