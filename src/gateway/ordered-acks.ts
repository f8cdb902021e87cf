interface Slot {
  at: number;
  send: (() => void) | undefined;
}

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
    return (send) => {
      slot.send = send;
      while (this.#slots[0]?.send) (this.#slots.shift() as Slot).send?.();
    };
  }
}
