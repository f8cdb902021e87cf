import type { BinaryCoder } from "./binary-coder.ts";
import { ContextMixer } from "./context-mixer.ts";
import type { Images } from "./field.ts";
import type { ModelSizes } from "./profile.ts";

const CONTEXTS = 14;
const HASHED_BYTES = 5;
const MIN_MATCH = 4;
const MAX_MATCH = 32;
/** No byte: nothing is repeated at present. */
const NOTHING = 256;

/** Codes bytes that have no counterpart in the old image, by the bytes before them. */
export class LiteralModel {
  readonly #coder: BinaryCoder;
  readonly #images: Images;
  readonly #mixer: ContextMixer;
  /** Hash of five bytes -> where in the new image they ended; 0: nowhere. */
  readonly #index: Int32Array;
  readonly #indexShift: number;
  readonly #windowBytes: number;
  #matchLength = 0;
  #matchAt = 0;
  readonly #last = new Uint8Array(9);

  constructor(parts: { coder: BinaryCoder; images: Images; sizes: ModelSizes }) {
    const { slotBits, setBits, mapBits, windowBits, indexBits } = parts.sizes;
    this.#coder = parts.coder;
    this.#images = parts.images;
    this.#mixer = new ContextMixer({
      contexts: CONTEXTS,
      slotBits: slotBits.literals,
      setBits,
      mapBits,
      countLimit: 127,
      learningRate: 4,
    });
    this.#index = new Int32Array(2 ** indexBits);
    this.#indexShift = 32 - indexBits;
    this.#windowBytes = 2 ** windowBits;
  }

  /** A run of literals begins. */
  enter(): void {
    this.#matchLength = 0;
  }

  /** Codes `length` literals; those of the target are read by an encoder, else written. */
  code(target: number, length: number, encoding: boolean): void {
    const { target: bytes, targetBase } = this.#images;
    for (let index = 0; index < length; index++) {
      const to = target + index;
      this.#findMatch(to);
      const expected =
        this.#matchLength > 0 ? (bytes[this.#matchAt - targetBase] as number) : NOTHING;
      this.#setContexts(to, expected);
      const byte = this.#codeByte(encoding ? (bytes[to - targetBase] as number) : 0, to, expected);
      bytes[to - targetBase] = byte;
      if (expected === byte) {
        this.#matchLength += 1;
        this.#matchAt += 1;
      } else {
        this.#matchLength = 0;
      }
    }
  }

  #findMatch(target: number): void {
    if (target < HASHED_BYTES) return;
    const { target: bytes, targetBase } = this.#images;
    const at = target - targetBase;
    const slot = this.#hash(bytes, at);
    const candidate = this.#index[slot] as number;
    this.#index[slot] = target;
    if (this.#matchLength > 0 || candidate === 0) return;
    if (target - candidate > this.#windowBytes - MAX_MATCH) return;
    const from = candidate - targetBase;
    let length = 0;
    while (
      length < MAX_MATCH &&
      candidate - 1 - length >= 0 &&
      bytes[from - 1 - length] === bytes[at - 1 - length]
    ) {
      length += 1;
    }
    if (length < MIN_MATCH) return;
    this.#matchLength = length;
    this.#matchAt = candidate;
  }

  #hash(bytes: Uint8Array, at: number): number {
    const four =
      (bytes[at - 1] as number) |
      ((bytes[at - 2] as number) << 8) |
      ((bytes[at - 3] as number) << 16) |
      ((bytes[at - 4] as number) << 24);
    const hash = Math.imul(four, 0x9e3779b1) ^ Math.imul((bytes[at - 5] as number) + 1, 0x85ebca6b);
    return (hash ^ (hash >>> 15)) >>> this.#indexShift;
  }

  #setContexts(target: number, expected: number): void {
    const { target: bytes, targetBase } = this.#images;
    const last = this.#last;
    for (let distance = 1; distance <= 8; distance++) {
      last[distance] = target < distance ? 0 : (bytes[target - distance - targetBase] as number);
    }
    const [, n1, n2, n3, n4, n5, n6, , n8] = last as unknown as number[] as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const align = target & 3;
    const four = n1 | (n2 << 8) | (n3 << 16) | (n4 << 24);
    const { contexts } = this.#mixer;
    contexts[0] = align;
    contexts[1] = (n1 << 2) | align;
    contexts[2] = n2 | (n4 << 8) | (align << 16);
    contexts[3] = (n1 | (n2 << 8)) ^ (align << 20);
    contexts[4] = n1 | (n2 << 8) | (n3 << 16);
    contexts[5] = four;
    contexts[6] = (expected << 5) | Math.min(15, this.#matchLength);
    contexts[7] = (n2 << 8) | align;
    contexts[8] = (n3 << 16) | (n2 << 8) | align;
    contexts[9] = Math.imul(four, 0x2545f491) + n5 * 0x1357 + n6 * 0x71235 + 99;
    contexts[10] = (expected << 8) | n1;
    contexts[11] = Math.imul(four, 31) + n5;
    contexts[12] = (n1 & 0xf8) | ((n2 & 0xf8) << 8) | ((n4 & 0xf8) << 16) | (align << 26);
    contexts[13] = n4 | (n8 << 8) | (align << 16) | ((align & 1 ? n1 : 0) << 20);
  }

  #codeByte(byte: number, target: number, expected: number): number {
    const { selectors } = this.#mixer;
    const length = this.#matchLength;
    const strength = length === 0 ? 0 : length < 16 ? 1 + (length >> 2) : length < 32 ? 5 : 6;
    const firstMap = expected === NOTHING ? 0 : expected;
    selectors.first = (target & 3) | (strength << 2);
    let node = 1;
    let group = 1;
    for (let shift = 7; shift >= 0; shift--) {
      if (shift === 7 || shift === 3) {
        this.#mixer.enter(node);
        group = 1;
      }
      selectors.second = Math.min(7, length) | (node << 3);
      selectors.firstMap = node;
      selectors.secondMap = (firstMap << 8) | node;
      const bit = this.#mixer.code(this.#coder, (byte >> shift) & 1, group);
      node = (node << 1) | bit;
      group = (group << 1) | bit;
    }
    return node & 0xff;
  }
}
