import { ConnectionFault, REASON } from "./reason-codes.ts";

/** MQTT 5.0 §1.5.5: a Variable Byte Integer has at most four bytes. */
const MAX_LENGTH_BYTES = 4;
/** Pieces that are held apart: one of a single byte costs hundreds, so that many are joined. */
const MAX_PIECES = 64;

/**
 * Cuts a byte stream into whole MQTT packets. The size is judged by the fixed header alone, before
 * anything of an oversized packet is kept; at most one packet and one chunk are held.
 */
export class Framer {
  #chunks: Buffer[] = [];
  #size = 0;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#chunks.length > MAX_PIECES) this.#chunks = [Buffer.concat(this.#chunks, this.#size)];
  }

  /** Bytes that wait for the rest of their packet. */
  get size(): number {
    return this.#size;
  }

  /** The next whole packet, or undefined until more has arrived. Throws ConnectionFault. */
  next(maxPacketBytes: number): Buffer | undefined {
    const total = this.#packetLength(maxPacketBytes);
    if (total === undefined || this.#size < total) return undefined;
    const first = this.#chunks[0] as Buffer;
    // The common case, a chunk of whole packets, costs no copy.
    const all = first.length >= total ? first : Buffer.concat(this.#chunks, this.#size);
    if (all !== first) this.#chunks = [all];
    if (all.length === total) this.#chunks.shift();
    else this.#chunks[0] = all.subarray(total);
    this.#size -= total;
    return all.subarray(0, total);
  }

  #packetLength(maxPacketBytes: number): number | undefined {
    let remaining = 0;
    for (let index = 0; index < MAX_LENGTH_BYTES; index += 1) {
      const byte = this.#byteAt(1 + index);
      if (byte === undefined) return undefined;
      remaining += (byte & 0x7f) * 2 ** (7 * index);
      const total = 2 + index + remaining;
      if (total > maxPacketBytes) {
        throw new ConnectionFault(
          REASON.packetTooLarge,
          `a packet of more than ${maxPacketBytes} bytes`,
        );
      }
      if (byte < 0x80) return total;
    }
    throw new ConnectionFault(REASON.malformedPacket, "the remaining length has too many bytes");
  }

  #byteAt(offset: number): number | undefined {
    let before = 0;
    for (const chunk of this.#chunks) {
      if (offset < before + chunk.length) return chunk[offset - before];
      before += chunk.length;
    }
    return undefined;
  }
}
