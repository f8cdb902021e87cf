// The small coder's contexts in the second applier (see vdelta-by-the-text.ts), from docs/protocol/vdelta.md alone.
import type { Choice } from "./vdelta-by-the-text.ts";
import {
  clamp,
  Mixer,
  type PROFILES,
  type RangeDecoder,
  RECIPROCAL,
  type Selected,
} from "./vdelta-by-the-text-mixer.ts";

const imul = Math.imul;

interface Images {
  old: Buffer;
  made: Buffer;
}

/** "The small coder", behind its tables. */
export class Small {
  readonly #coder: RangeDecoder;
  readonly #sizes: (typeof PROFILES)[number];
  readonly #images: Images & { grain: number };
  readonly #flags: Mixer;
  readonly #bytes: Mixer;
  readonly #literals: Mixer;
  readonly #quiet = Array.from({ length: 512 }, () => ({ p: 65300, count: 0 }));
  readonly #index: Int32Array;
  #history = 255;
  #calm = 0;
  #match = { length: 0, at: 0 };
  #fitness = 8192;
  #raw = 0;
  #raws = 1024;
  readonly #trial: { fitness: number; most: number };

  constructor(
    coder: RangeDecoder,
    sizes: (typeof PROFILES)[number],
    { version, ...images }: Images & { version: number; grain: number },
  ) {
    const early = version > 2 ? 12 : 0;
    this.#trial = version > 3 ? { fitness: 4800, most: 2 ** 15 } : { fitness: 4505, most: 2 ** 20 };
    this.#coder = coder;
    this.#sizes = sizes;
    this.#images = images;
    const mixer = (which: 0 | 1 | 2, count: number, limit: number, rate: number, shift: number) =>
      new Mixer(coder, sizes, { which, count, limit, rate, early, shift });
    this.#flags = mixer(0, 12, 250, 6, 14);
    this.#bytes = mixer(1, 14, 120, 4, 12);
    this.#literals = mixer(2, 14, 127, 4, 14);
    this.#index = new Int32Array(2 ** sizes.index);
  }

  enterRegion(): void {
    this.#calm = 0;
  }

  enterLiterals(): void {
    this.#match = { length: 0, at: 0 };
  }

  #old(place: number): number {
    return this.#images.old[place] ?? 0;
  }

  #new(place: number): number {
    return place < 0 ? 0 : (this.#images.made[place] as number);
  }

  /** "A byte of a region". */
  copied(source: number, target: number, choice: Choice): number {
    const hit = this.#flag(source, target, choice);
    const byte = hit ? choice.pick : this.#miss(source, target, choice);
    this.#history = ((this.#history << 1) | hit) & 0xffffff;
    this.#calm = hit ? this.#calm + 1 : 0;
    return byte;
  }

  #flag(source: number, target: number, choice: Choice): number {
    const { pick, best, agreeing, alternative, second, place } = choice;
    const align = source & 3;
    const kind = place >> 2;
    const c = 32 - Math.clz32(this.#calm);
    const o0 = this.#old(source);
    if (this.#calm >= 24 && pick === o0 && alternative < 0) {
      return this.#quietBit(((kind << 6) | (Math.min(15, c) << 2) | align) & 511);
    }
    const [o1, o2, next] = [this.#old(source - 1), this.#old(source - 2), this.#old(source + 1)];
    const [n1, n2, n3] = [this.#new(target - 1), this.#new(target - 2), this.#new(target - 3)];
    const [d1, d2] = [(n1 - o1) & 255, (n2 - o2) & 255];
    const doubt = alternative < 0 ? 0 : 1 + (second >> 14);
    const sure = best >> 13;
    const alt = alternative & 255;
    const type = (kind << 8) | (agreeing << 3) | doubt;
    const h = this.#history;
    const contexts = [
      (type << 8) | (h & 255),
      (type << 24) ^ ((o0 << 16) | (next << 8) | o1),
      this.#wordAt(source) + 77777 * align,
      (type << 10) | (align << 5) | c,
      ((o0 << 16) | (d1 << 8) | d2) ^ (align << 26),
      (((pick << 8) | alt) << 12) | type,
      ((n1 << 16) | (n2 << 8) | n3) ^ (pick << 24),
      ((h & 65535) << 3) | align,
      ((o1 << 16) | (o2 << 8) | o0) ^ ((h & 15) << 24),
      (sure << 20) | (doubt << 16) | ((place & 3) << 12) | (h & 4095),
      ((o1 << 8) | o0) ^ (align << 16) ^ ((h & 3) << 20),
      ((n1 << 8) | pick) ^ (agreeing << 16) ^ (d1 ? 2 ** 25 : 0),
    ];
    this.#flags.enter(contexts, 1);
    return this.#flags.decide(1, {
      sets: [
        (h & 1) | (sure << 1) | (place << 4),
        align | (doubt << 2) | (Math.min(c, 7) << 5) | ((h & 15) << 8),
      ],
      maps: [(agreeing & 15) | (place << 4), (pick << 8) ^ (place << 3) ^ (h & 255)],
    });
  }

  #quietBit(row: number): number {
    const cell = this.#quiet[row] as { p: number; count: number };
    const bit = this.#coder.bit(clamp(cell.p, 32, 65528));
    cell.p += imul((bit ? 65535 : 0) - cell.p, RECIPROCAL[cell.count] as number) >> 15;
    cell.count = Math.min(1000, cell.count + 1);
    return bit;
  }

  #wordAt(source: number): number {
    const at = source & ~3;
    const [a, b, c, d] = [0, 1, 2, 3].map((index) => this.#old(at + index)) as number[];
    return (a as number) | ((b as number) << 8) | ((c as number) << 16) | ((d as number) << 24);
  }

  #miss(source: number, target: number, choice: Choice): number {
    const { pick, picked, agreeing, alternative, second, place } = choice;
    const other = alternative < 0 ? 256 : alternative;
    const doubt = alternative < 0 ? 0 : 1 + (second >> 14);
    const [align, kind] = [source & 3, place >> 2];
    const type = (kind << 8) | (agreeing << 3) | doubt;
    const [o0, o1, o2] = [this.#old(source), this.#old(source - 1), this.#old(source - 2)];
    const [next, next2] = [this.#old(source + 1), this.#old(source + 2)];
    const [n1, n2, n3] = [this.#new(target - 1), this.#new(target - 2), this.#new(target - 3)];
    const [d1, d2] = [(n1 - o1) & 255, (n2 - o2) & 255];
    const contexts = [
      (o0 << 8) | pick,
      (o0 << 16) | (o1 << 8) | n1,
      n1,
      n1 | (n2 << 8),
      n1 | (n2 << 8) | (n3 << 16),
      (d1 << 8) | o0,
      ((other << 8) | pick) ^ (picked << 17),
      (o0 << 16) | (next << 8) | next2,
      (type << 3) | align,
      ((d1 << 16) | (d2 << 8) | align) ^ (o0 << 20),
      (type << 8) | n1,
      this.#wordAt(source) + 7777 * align,
      (other << 8) | o0,
      ((o1 << 8) | n1) ^ (align << 16) ^ (kind << 20),
    ];
    return this.#bytes.byte(contexts, (node) => ({
      sets: [doubt | (place << 3), align | (o0 << 2)],
      maps: [node, (pick << 8) | node],
    }));
  }

  /** "Literals" and "Ruleless bytes". */
  literal(target: number): number {
    if (this.#raw > 0) {
      this.#raw--;
      let byte = 0;
      for (let index = 0; index < 8; index++) byte = 2 * byte + this.#coder.bit(32768);
      return byte;
    }
    this.#findMatch(target);
    const match = this.#match;
    const e = match.length > 0 ? this.#new(match.at) : 256;
    let right = 0;
    const M = match.length;
    const align = target & (2 ** this.#images.grain - 1);
    const strength = M === 0 ? 0 : M < 16 ? 1 + (M >> 2) : M < 32 ? 5 : 6;
    const select = (node: number): Selected => ({
      sets: [align | (strength << 2), Math.min(7, M) | (node << 3)],
      maps: [node, ((e === 256 ? 0 : e) << 8) | node],
    });
    const byte = this.#literals.byte(this.#literalContexts(target, align, e), select, (bit) => {
      if (this.#literals.p >= 32768 === (bit === 1)) right++;
    });
    this.#match = byte === e ? { length: M + 1, at: match.at + 1 } : { length: 0, at: 0 };
    this.#fitness += ((right << 10) - this.#fitness) >> 7;
    if (this.#fitness > 5120) this.#raws = 1024;
    else if (this.#fitness < 4505) {
      this.#raw = this.#raws;
      this.#raws = Math.min(2 * this.#raws, this.#trial.most);
      this.#match = { length: 0, at: 0 };
      this.#fitness = this.#trial.fitness;
    }
    return byte;
  }

  #findMatch(target: number): void {
    if (target < 5) return;
    const [n1, n2, n3, n4, n5] = [1, 2, 3, 4, 5].map((n) => this.#new(target - n)) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const four = n1 | (n2 << 8) | (n3 << 16) | (n4 << 24);
    const h = imul(four, 0x9e3779b1) ^ imul(n5 + 1, 0x85ebca6b);
    const slot = (h ^ (h >>> 15)) >>> (32 - this.#sizes.index);
    const c = this.#index[slot] as number;
    this.#index[slot] = target;
    if (this.#match.length > 0 || c === 0) return;
    if (target - c > 2 ** this.#sizes.window - 32) return;
    let length = 0;
    while (
      length < 32 &&
      c - 1 - length >= 0 &&
      this.#new(c - 1 - length) === this.#new(target - 1 - length)
    ) {
      length++;
    }
    if (length >= 4) this.#match = { length, at: c };
  }

  #literalContexts(target: number, align: number, e: number): number[] {
    const [n1, n2, n3, n4, n5, n6, , n8] = [1, 2, 3, 4, 5, 6, 7, 8].map((n) =>
      this.#new(target - n),
    ) as [number, number, number, number, number, number, number, number];
    const four = n1 | (n2 << 8) | (n3 << 16) | (n4 << 24);
    return [
      align,
      (n1 << 2) | align,
      n2 | (n4 << 8) | (align << 16),
      (n1 | (n2 << 8)) ^ (align << 20),
      n1 | (n2 << 8) | (n3 << 16),
      four,
      (e << 5) | Math.min(15, this.#match.length),
      (n2 << 8) | align,
      (n3 << 16) | (n2 << 8) | align,
      (imul(four, 0x2545f491) + 0x1357 * n5 + 0x71235 * n6 + 99) | 0,
      (e << 8) | n1,
      (imul(four, 31) + n5) | 0,
      (n1 & 0xf8) | ((n2 & 0xf8) << 8) | ((n4 & 0xf8) << 16) | (align << 26),
      n4 | (n8 << 8) | (align << 16) | ((align % 2 ? n1 : 0) << 20),
    ];
  }
}
