/** Frames that nobody here believes cost a key and a decryption each; so many a second are looked at. */
const MAX_REFUSED_FRAMES = 500;
/**
 * What those count that this installation did seal and that come at the wrong time: a machine whose clock is
 * wrong says no more than others do, and must not cost these their server.
 */
const UNTIMELY_FRAME = 0.1;
/** What may be read a second, on top of what is believed: pings, and frames that are on their way. */
const FREE_BYTES = 4 * 1024 ** 2;
const WINDOW_MS = 1_000;

/**
 * Tells when a line brings more than what is believed of it is worth: to read it costs the supervisor time
 * that the messages of its own processes need. `onFlood` is called once.
 */
export class FloodGuard {
  readonly #onFlood: (what: string) => void;
  readonly #largestFrame: number;
  #refused = 0;
  #since = performance.now();
  #read = 0;
  #unbelieved = 0;
  isFlooded = false;

  constructor(largestFrame: number, onFlood: (what: string) => void) {
    this.#largestFrame = largestFrame;
    this.#onFlood = onFlood;
  }

  believe(bytes: number): void {
    // Its own line of the protocol comes with each frame.
    this.#unbelieved -= bytes + 256;
  }

  refuse({ isUntimely = false } = {}): void {
    const now = performance.now();
    if (now - this.#since >= WINDOW_MS) [this.#since, this.#refused] = [now, 0];
    this.#refused += isUntimely ? UNTIMELY_FRAME : 1;
    if (this.#refused <= MAX_REFUSED_FRAMES) return;
    this.#flood("messages that are not of this installation, or not of this time");
  }

  /** To be called once a second, with all that the line has brought so far. */
  look(readBytes: number): void {
    // Another connection begins anew.
    const brought = readBytes >= this.#read ? readBytes - this.#read : readBytes;
    this.#read = readBytes;
    this.#unbelieved = Math.max(0, this.#unbelieved + brought - FREE_BYTES);
    if (this.#unbelieved > this.#largestFrame + FREE_BYTES) this.#flood("more than it has to say");
  }

  #flood(what: string): void {
    if (this.isFlooded) return;
    this.isFlooded = true;
    this.#onFlood(what);
  }
}
