import { ConnectionFault, REASON } from "../reason-codes.ts";

interface Line {
  /** Messages that may be open: our Receive Maximum. */
  limit: number;
  /** MQTT 3.1.1 knows no maximum: there, and of QoS 0, the line is not read meanwhile. */
  isBoundedByProtocol: boolean;
  /** QoS 2 messages that are not released. */
  unreleased: ReadonlySet<number>;
  pause(): void;
  resume(): void;
  onError(error: unknown): void;
}

/** Takes the messages of one application one after the other; bounded by the Receive Maximum. */
export class MessageLine {
  readonly #line: Line;
  #pending = 0;
  /** QoS 1 messages among them. */
  #pendingOnce = 0;
  #tail: Promise<void> = Promise.resolve();

  constructor(line: Line) {
    this.#line = line;
  }

  add(work: () => Promise<void>, qos: 0 | 1 | 2): void {
    const { limit, isBoundedByProtocol, unreleased, pause, onError } = this.#line;
    // MQTT 5.0 §4.9: a QoS 2 message counts until its PUBCOMP.
    if (isBoundedByProtocol && qos > 0 && this.#pendingOnce + unreleased.size >= limit) {
      // MQTT 5.0 §3.3.4 [MQTT-3.3.4-8]: more than our Receive Maximum.
      throw new ConnectionFault(REASON.receiveMaximumExceeded, "too many messages at once");
    }
    this.#pending += 1;
    if (qos === 1) this.#pendingOnce += 1;
    if (this.#pending >= limit) pause();
    this.#tail = this.#tail.then(work).then(
      () => this.#leave(qos),
      (error) => {
        this.#leave(qos);
        onError(error);
      },
    );
  }

  #leave(qos: 0 | 1 | 2): void {
    this.#pending -= 1;
    if (qos === 1) this.#pendingOnce -= 1;
    if (this.#pending < this.#line.limit) this.#line.resume();
  }
}
