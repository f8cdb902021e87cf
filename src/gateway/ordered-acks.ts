interface Slot {
  /** When the first message came that it stands for. */
  at: number;
  send: (() => void) | undefined;
  /** Of a run: what its messages have in common, and their identifiers. */
  key?: object;
  ids?: number[];
}

/** A place in the line that messages share which came one behind the other. */
export type AckRun = Slot;

/**
 * Sends acknowledgements in the order in which their messages came, though the stores finish with
 * them in any order (MQTT 5.0 §4.6 [MQTT-4.6.0-2]).
 */
export class OrderedAcks {
  readonly #slots: Slot[] = [];

  /** When the message came that has waited longest for its acknowledgement. */
  get oldestAt(): number | undefined {
    return this.#slots[0]?.at;
  }

  /** Takes a place in the line; the result is called, once, with what sends the acknowledgement. */
  reserve(at: number): (send: () => void) => void {
    const slot: Slot = { at, send: undefined };
    this.#slots.push(slot);
    return (send) => this.#settle(slot, send);
  }

  /** Takes a place for one more message of `key`: the last one's, where that is of `key` too. */
  join(at: number, key: object, id: number): AckRun {
    const last = this.#slots.at(-1);
    if (last?.ids && last.key === key && !last.send) {
      last.ids.push(id);
      return last;
    }
    const slot: AckRun = { at, send: undefined, key, ids: [id] };
    this.#slots.push(slot);
    return slot;
  }

  /** All of a run may be acknowledged: `send` is called, once, with their identifiers. */
  settleRun(run: AckRun, send: (ids: readonly number[]) => void): void {
    this.#settle(run, () => send(run.ids ?? []));
  }

  /** Each message of a run has a place of its own from now on, as `reserve` gives it. */
  splitRun(run: AckRun): ((send: () => void) => void)[] {
    const slots = (run.ids ?? []).map((): Slot => ({ at: run.at, send: undefined }));
    this.#slots.splice(this.#slots.indexOf(run), 1, ...slots);
    return slots.map((slot) => (send) => this.#settle(slot, send));
  }

  #settle(slot: Slot, send: () => void): void {
    slot.send = send;
    while (this.#slots[0]?.send) (this.#slots.shift() as Slot).send?.();
  }
}
