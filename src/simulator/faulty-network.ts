import type { ArtifactSource, Session, Transport } from "../agent/index.ts";
import { type Clock, type Random, randomInteger, type Timer } from "../kernel/index.ts";

/** What stands between one device and the platform, and what is wrong with it. */
export class FaultyNetwork {
  readonly #clock: Clock;
  readonly #random: Random;
  #silent = false;
  #meanSessionMs: number | undefined;
  #brokenDownloads = 0;
  #session: Session | undefined;
  #dropTimer: Timer | undefined;
  /** Bytes of artifacts that reached the device. */
  downloadedBytes = 0;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Nothing goes through, in either direction. */
  setSilent(silent: boolean): void {
    this.#silent = silent;
    if (silent) this.#drop();
  }

  setBadLink(link: { meanSessionMs: number; brokenDownloads: number } | undefined): void {
    this.#meanSessionMs = link?.meanSessionMs;
    this.#brokenDownloads = link?.brokenDownloads ?? 0;
    this.#planDrop();
  }

  transport(inner: Transport): Transport {
    return {
      connect: async (handlers, signal, options) => {
        if (this.#silent) throw new Error("the network is unreachable");
        const session = await inner.connect(handlers, signal, options);
        this.#session = session;
        if (this.#silent) {
          this.#drop();
          throw new Error("the network is unreachable");
        }
        this.#planDrop();
        return session;
      },
    };
  }

  artifacts(inner: ArtifactSource, onFetch: () => void): ArtifactSource {
    return {
      fetch: async (url, offset, signal, credentials) => {
        if (this.#silent) throw new Error("the network is unreachable");
        onFetch();
        const response = await inner.fetch(url, offset, signal, credentials);
        return { status: response.status, body: this.#carry(response.body) };
      },
    };
  }

  async *#carry(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    const breaks = this.#random.next() < this.#brokenDownloads;
    for await (const chunk of body) {
      if (this.#silent) throw new Error("the network is unreachable");
      const part = breaks ? chunk.subarray(0, randomInteger(this.#random, chunk.length)) : chunk;
      this.downloadedBytes += part.length;
      yield part;
      if (breaks) throw new Error("the connection was reset");
    }
  }

  #planDrop(): void {
    this.#dropTimer?.cancel();
    if (this.#meanSessionMs === undefined) return;
    const delayMs = -Math.log(1 - this.#random.next()) * this.#meanSessionMs;
    this.#dropTimer = this.#clock.after(delayMs, () => this.#drop());
  }

  #drop(): void {
    const session = this.#session;
    this.#session = undefined;
    session?.close().catch(() => {
      // It was gone before.
    });
  }

  stop(): void {
    this.#dropTimer?.cancel();
  }
}
