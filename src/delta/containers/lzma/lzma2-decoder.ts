import { refusePatch } from "../../format.ts";
import * as at from "./layout.ts";

const TOP = 2 ** 24;

/** What was read: the content fills the whole of `output`. */
export interface Lzma2Read {
  /** Bytes of the packed stream, its end marker included. */
  packedBytes: number;
  /** Of the first packed chunk. */
  properties: at.LiteralProperties | undefined;
  contentBytes: number;
}

/**
 * Unpacks an LZMA2 stream that begins at `packed[from]` into `output`; what does not fit in it or
 * is no such stream is refused.
 */
export function decodeLzma2(packed: Uint8Array, from: number, output: Uint8Array): Lzma2Read {
  let position = from;
  let made = 0;
  let decoder: LzmaDecoder | undefined;
  let first: at.LiteralProperties | undefined;
  const byte = () => {
    if (position >= packed.length) throw refusePatch("an LZMA2 stream is cut short");
    return packed[position++] as number;
  };
  for (;;) {
    const control = byte();
    if (control === 0)
      return { packedBytes: position - from, properties: first, contentBytes: made };
    if (control < 0x80) {
      if (control > 2) throw refusePatch("an LZMA2 stream has an unknown chunk");
      const size = byte() * 256 + byte() + 1;
      if (position + size > packed.length || made + size > output.length) throw tooLarge();
      output.set(packed.subarray(position, position + size), made);
      position += size;
      made += size;
      continue;
    }
    const size = ((control & 0x1f) << 16) + byte() * 256 + byte() + 1;
    const packedSize = byte() * 256 + byte() + 1;
    const reset = (control >> 5) & 3;
    if (reset >= 2) {
      const properties = at.propertiesOf(byte());
      if (!properties) throw refusePatch("an LZMA2 stream has properties that are not allowed");
      first ??= properties;
      decoder = new LzmaDecoder(properties);
    }
    if (!decoder) throw refusePatch("an LZMA2 stream begins without its properties");
    if (reset === 1) decoder.reset();
    if (position + packedSize > packed.length || made + size > output.length) throw tooLarge();
    decoder.decode(packed.subarray(position, position + packedSize), output, made, size);
    position += packedSize;
    made += size;
  }
}

function tooLarge() {
  return refusePatch("an LZMA2 stream holds more than it may");
}

class LzmaDecoder {
  readonly #properties: at.LiteralProperties;
  readonly #p: Uint16Array;
  #state = 0;
  readonly #repeats = new Int32Array(at.REPEATS);
  #input: Uint8Array = new Uint8Array(0);
  #position = 0;
  #range = 0;
  #code = 0;

  constructor(properties: at.LiteralProperties) {
    this.#properties = properties;
    this.#p = new Uint16Array(at.probabilityCount(properties));
    this.reset();
  }

  reset(): void {
    this.#p.fill(at.EVEN);
    this.#state = 0;
    this.#repeats.fill(0);
  }

  decode(input: Uint8Array, output: Uint8Array, from: number, size: number): void {
    this.#input = input;
    this.#position = 0;
    this.#range = 0xffffffff;
    this.#code = 0;
    // The first byte of a range coder's output is always zero.
    for (let count = 0; count < 5; count++) this.#code = ((this.#code << 8) | this.#byte()) >>> 0;
    const end = from + size;
    for (let made = from; made < end; ) made = this.#symbol(output, made, end);
  }

  #symbol(output: Uint8Array, made: number, end: number): number {
    const posState = made & ((1 << this.#properties.pb) - 1);
    const state = this.#state;
    if (this.#bit(at.IS_MATCH + state * at.MAX_POS_STATES + posState) === 0) {
      output[made] = this.#literal(output, made);
      this.#state = at.afterLiteral(state);
      return made + 1;
    }
    let length: number;
    if (this.#bit(at.IS_REPEAT + state) === 0) {
      length = this.#length(at.MATCH_LENGTH, posState);
      this.#state = at.afterMatch(state);
      this.#repeats.copyWithin(1, 0, at.REPEATS - 1);
      this.#repeats[0] = this.#distance(at.distanceState(length));
    } else {
      length = this.#repeat(state, posState);
    }
    const distance = (this.#repeats[0] as number) >>> 0;
    if (distance >= made || made + length > end) throw refusePatch("an LZMA2 stream is corrupt");
    const source = made - distance - 1;
    for (let index = 0; index < length; index++) {
      output[made + index] = output[source + index] as number;
    }
    return made + length;
  }

  #literal(output: Uint8Array, made: number): number {
    const { lc, lp } = this.#properties;
    const before = made === 0 ? 0 : (output[made - 1] as number);
    const index = ((made & ((1 << lp) - 1)) << lc) + (before >>> (8 - lc));
    const base = at.LITERAL + index * at.LITERAL_CODER;
    let symbol = 1;
    if (this.#state >= 7) {
      const distance = (this.#repeats[0] as number) >>> 0;
      if (distance >= made) throw refusePatch("an LZMA2 stream is corrupt");
      let match = output[made - distance - 1] as number;
      let offset = 0x100;
      while (symbol < 0x100) {
        match <<= 1;
        const matchBit = match & offset;
        const bit = this.#bit(base + offset + matchBit + symbol);
        symbol = (symbol << 1) | bit;
        offset &= bit === 1 ? matchBit : ~matchBit;
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#bit(base + symbol);
    return symbol & 0xff;
  }

  #repeat(state: number, posState: number): number {
    const repeats = this.#repeats;
    if (this.#bit(at.IS_REPEAT0 + state) === 0) {
      if (this.#bit(at.IS_REPEAT0_LONG + state * at.MAX_POS_STATES + posState) === 0) {
        this.#state = at.afterShortRepeat(state);
        return 1;
      }
    } else {
      let index = 1;
      if (this.#bit(at.IS_REPEAT1 + state) === 1) index = 2 + this.#bit(at.IS_REPEAT2 + state);
      const distance = repeats[index] as number;
      repeats.copyWithin(1, 0, index);
      repeats[0] = distance;
    }
    this.#state = at.afterRepeat(state);
    return this.#length(at.REPEAT_LENGTH, posState);
  }

  #length(coder: number, posState: number): number {
    if (this.#bit(coder) === 0) {
      return at.MIN_MATCH + this.#tree(coder + at.LENGTH_LOW + posState * 8, 3);
    }
    if (this.#bit(coder + at.LENGTH_CHOICE2) === 0) {
      return at.MIN_MATCH + 8 + this.#tree(coder + at.LENGTH_MID + posState * 8, 3);
    }
    return at.MIN_MATCH + 16 + this.#tree(coder + at.LENGTH_HIGH, 8);
  }

  #distance(state: number): number {
    const slot = this.#tree(at.DISTANCE_SLOT + state * at.SLOTS, 6);
    if (slot < at.MODELLED_SLOT) return slot;
    const bits = (slot >> 1) - 1;
    const base = (2 | (slot & 1)) << bits;
    if (slot < at.MODELLED_SLOT_END) {
      return base + this.#reverseTree(at.DISTANCE_SPECIAL + base - slot - 1, bits);
    }
    let direct = 0;
    for (let count = bits - at.ALIGN_BITS; count > 0; count--) {
      if (this.#range < TOP) this.#widen();
      this.#range = this.#range >>> 1;
      const bit = this.#code >= this.#range ? 1 : 0;
      if (bit === 1) this.#code -= this.#range;
      direct = (direct << 1) | bit;
    }
    return (
      (base + (direct << at.ALIGN_BITS) + this.#reverseTree(at.DISTANCE_ALIGN, at.ALIGN_BITS)) | 0
    );
  }

  #tree(base: number, bits: number): number {
    let node = 1;
    for (let count = 0; count < bits; count++) node = (node << 1) | this.#bit(base + node);
    return node - (1 << bits);
  }

  #reverseTree(base: number, bits: number): number {
    let node = 1;
    let value = 0;
    for (let shift = 0; shift < bits; shift++) {
      const bit = this.#bit(base + node);
      node = (node << 1) | bit;
      value |= bit << shift;
    }
    return value;
  }

  #bit(place: number): number {
    if (this.#range < TOP) this.#widen();
    const p = this.#p;
    const probability = p[place] as number;
    const bound = (this.#range >>> at.PROBABILITY_BITS) * probability;
    if (this.#code < bound) {
      this.#range = bound;
      p[place] = probability + ((2048 - probability) >>> at.MOVE_BITS);
      return 0;
    }
    this.#range -= bound;
    this.#code -= bound;
    p[place] = probability - (probability >>> at.MOVE_BITS);
    return 1;
  }

  #widen(): void {
    this.#range = (this.#range << 8) >>> 0;
    this.#code = ((this.#code << 8) | this.#byte()) >>> 0;
  }

  #byte(): number {
    if (this.#position >= this.#input.length) throw refusePatch("an LZMA2 stream is cut short");
    return this.#input[this.#position++] as number;
  }
}
