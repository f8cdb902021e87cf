import type { BinaryCoder } from "./binary-coder.ts";
import { ContextMixer } from "./context-mixer.ts";
import type { Images } from "./field.ts";
import type { Guesser } from "./guesser.ts";
import { LiteralModel } from "./literal-model.ts";
import type { ModelSizes } from "./profile.ts";
import { RECIPROCAL } from "./tables.ts";

const FLAG_CONTEXTS = 12;
const BYTE_CONTEXTS = 14;
/** After so many right guesses in a row one adaptive bit is enough. */
const CALM = 24;
const QUIET_ROWS = 512;
const QUIET_MIN = 32;

/** Codes the bytes of regions and literals, in both directions. */
export class SmallModel {
  readonly literals: LiteralModel;
  readonly #coder: BinaryCoder;
  readonly #images: Images;
  readonly #guesser: Guesser;
  readonly #flags: ContextMixer;
  readonly #bytes: ContextMixer;
  readonly #quiet = new Int32Array(QUIET_ROWS).fill(65_300);
  readonly #quietCounts = new Uint16Array(QUIET_ROWS);
  /** One bit a byte, newest lowest: was the guess right? */
  #history = 0xff;
  /** Right guesses since the last wrong one. */
  #calm = 0;

  constructor(parts: {
    coder: BinaryCoder;
    images: Images;
    guesser: Guesser;
    sizes: ModelSizes;
  }) {
    const { coder, images, guesser, sizes } = parts;
    const { setBits, mapBits } = sizes;
    this.#coder = coder;
    this.#images = images;
    this.#guesser = guesser;
    this.#flags = new ContextMixer({
      contexts: FLAG_CONTEXTS,
      slotBits: sizes.slotBits.flags,
      setBits,
      mapBits,
      countLimit: 250,
      learningRate: 6,
    });
    this.#bytes = new ContextMixer({
      contexts: BYTE_CONTEXTS,
      slotBits: sizes.slotBits.bytes,
      setBits,
      mapBits,
      countLimit: 120,
      learningRate: 4,
    });
    this.literals = new LiteralModel({ coder, images, sizes });
  }

  enterRegion(source: number): void {
    this.#guesser.enter(source);
    this.#calm = 0;
  }

  /** Codes `length` bytes of a region; those of the target are read by an encoder, else written. */
  codeRegion(source: number, target: number, length: number, encoding: boolean): void {
    const guesser = this.#guesser;
    const { target: bytes, targetBase } = this.#images;
    for (let index = 0; index < length; index++) {
      const from = source + index;
      const to = target + index;
      guesser.guess(from, to);
      const known = encoding ? (bytes[to - targetBase] as number) : 0;
      const hit = this.#codeFlag(from, to, known === guesser.pick ? 1 : 0);
      const byte = hit ? guesser.pick : this.#codeMiss(from, to, known);
      bytes[to - targetBase] = byte;
      guesser.learn(from, to, byte);
      this.#history = ((this.#history << 1) | hit) & 0xffffff;
      this.#calm = hit ? this.#calm + 1 : 0;
    }
  }

  #codeFlag(source: number, target: number, hit: number): number {
    const guesser = this.#guesser;
    const { place, pick, alternative, agreeing, sourceByte } = guesser;
    const kind = place >> 2;
    const align = source & 3;
    const calm = 32 - Math.clz32(this.#calm);
    if (this.#calm >= CALM && pick === sourceByte && alternative < 0) {
      return this.#codeQuiet(hit, ((kind << 6) | (Math.min(15, calm) << 2) | align) & 511);
    }
    const certainty = guesser.pickReliability >> 13;
    const doubt = alternative < 0 ? 0 : 1 + (guesser.alternativeReliability >> 14);
    const type = (kind << 8) | (agreeing << 3) | doubt;
    const history = this.#history;
    const n1 = this.#before(target, 1);
    const n2 = this.#before(target, 2);
    const n3 = this.#before(target, 3);
    const o1 = this.#sourceNear(source, -1);
    const o2 = this.#sourceNear(source, -2);
    const next = this.#sourceNear(source, 1);
    const d1 = (n1 - o1) & 0xff;
    const d2 = (n2 - o2) & 0xff;
    const { contexts, selectors } = this.#flags;
    contexts[0] = (type << 8) | (history & 0xff);
    contexts[1] = (type << 24) ^ ((sourceByte << 16) | (next << 8) | o1);
    contexts[2] = this.#alignedWord(source) + align * 77_777;
    contexts[3] = (type << 10) | (align << 5) | calm;
    contexts[4] = ((sourceByte << 16) | (d1 << 8) | d2) ^ (align << 26);
    contexts[5] = (((pick << 8) | (alternative & 0xff)) << 12) | type;
    contexts[6] = ((n1 << 16) | (n2 << 8) | n3) ^ (pick << 24);
    contexts[7] = ((history & 0xffff) << 3) | align;
    contexts[8] = ((o1 << 16) | (o2 << 8) | sourceByte) ^ ((history & 15) << 24);
    contexts[9] = (certainty << 20) | (doubt << 16) | ((place & 3) << 12) | (history & 0xfff);
    contexts[10] = ((o1 << 8) | sourceByte) ^ (align << 16) ^ ((history & 3) << 20);
    contexts[11] = ((n1 << 8) | pick) ^ (agreeing << 16) ^ (d1 ? 1 << 25 : 0);
    selectors.first = (history & 1) | (certainty << 1) | (place << 4);
    selectors.second = align | (doubt << 2) | (Math.min(calm, 7) << 5) | ((history & 15) << 8);
    selectors.firstMap = (agreeing & 15) | (place << 4);
    selectors.secondMap = (((pick << 8) ^ (place << 3)) | 0) ^ (history & 0xff);
    this.#flags.enter(1);
    return this.#flags.code(this.#coder, hit, 1);
  }

  #codeQuiet(hit: number, row: number): number {
    const probability = this.#quiet[row] as number;
    const used = Math.min(Math.max(probability, QUIET_MIN), 65_528);
    const coded = this.#coder.code(hit, used);
    const count = this.#quietCounts[row] as number;
    const target = coded ? 65_535 : 0;
    const step = Math.imul(target - probability, RECIPROCAL[count] as number) >> 15;
    this.#quiet[row] = probability + step;
    if (count < 1000) this.#quietCounts[row] = count + 1;
    return coded;
  }

  #codeMiss(source: number, target: number, byte: number): number {
    const guesser = this.#guesser;
    const { place, pick, picked, agreeing, sourceByte: o0 } = guesser;
    const other = guesser.alternative < 0 ? 256 : guesser.alternative;
    const doubt = guesser.alternative < 0 ? 0 : 1 + (guesser.alternativeReliability >> 14);
    const kind = place >> 2;
    const type = (kind << 8) | (agreeing << 3) | doubt;
    const align = source & 3;
    const n1 = this.#before(target, 1);
    const n2 = this.#before(target, 2);
    const n3 = this.#before(target, 3);
    const o1 = this.#sourceNear(source, -1);
    const d1 = (n1 - o1) & 0xff;
    const d2 = (n2 - this.#sourceNear(source, -2)) & 0xff;
    const next = this.#sourceNear(source, 1);
    const { contexts, selectors } = this.#bytes;
    contexts[0] = (o0 << 8) | pick;
    contexts[1] = (o0 << 16) | (o1 << 8) | n1;
    contexts[2] = n1;
    contexts[3] = n1 | (n2 << 8);
    contexts[4] = n1 | (n2 << 8) | (n3 << 16);
    contexts[5] = (d1 << 8) | o0;
    contexts[6] = ((other << 8) | pick) ^ (picked << 17);
    contexts[7] = (o0 << 16) | (next << 8) | this.#sourceNear(source, 2);
    contexts[8] = (type << 3) | align;
    contexts[9] = ((d1 << 16) | (d2 << 8) | align) ^ (o0 << 20);
    contexts[10] = (type << 8) | n1;
    contexts[11] = this.#alignedWord(source) + align * 7777;
    contexts[12] = (other << 8) | o0;
    contexts[13] = ((o1 << 8) | n1) ^ (align << 16) ^ (kind << 20);
    selectors.first = doubt | (place << 3);
    selectors.second = align | (o0 << 2);
    let node = 1;
    let group = 1;
    for (let shift = 7; shift >= 0; shift--) {
      if (shift === 7 || shift === 3) {
        this.#bytes.enter(node);
        group = 1;
      }
      selectors.firstMap = node;
      selectors.secondMap = (pick << 8) | node;
      const bit = this.#bytes.code(this.#coder, (byte >> shift) & 1, group);
      node = (node << 1) | bit;
      group = (group << 1) | bit;
    }
    return node & 0xff;
  }

  /** The n-th byte before a place of the new image; 0 before its beginning. */
  #before(target: number, distance: number): number {
    const { target: bytes, targetBase } = this.#images;
    return target < distance ? 0 : (bytes[target - distance - targetBase] as number);
  }

  #sourceNear(source: number, distance: number): number {
    const { source: bytes, sourceBase, sourceSize } = this.#images;
    const at = source + distance;
    return at < 0 || at >= sourceSize ? 0 : (bytes[at - sourceBase] as number);
  }

  #alignedWord(source: number): number {
    const at = source & ~3;
    return (
      this.#sourceNear(at, 0) |
      (this.#sourceNear(at, 1) << 8) |
      (this.#sourceNear(at, 2) << 16) |
      (this.#sourceNear(at, 3) << 24)
    );
  }
}
