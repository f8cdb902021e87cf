// Range coder and mixer of the second applier (see vdelta-by-the-text.ts), from docs/protocol/vdelta.md alone.
import type { Bytes } from "./vdelta-by-the-text-head.ts";

const imul = Math.imul;

/** "Profiles". */
export const PROFILES = [
  { slots: [12, 11, 11], sets: [4, 3], maps: [3, 3], learned: 8, window: 11, index: 9 },
  { slots: [13, 13, 13], sets: [6, 5], maps: [6, 6], learned: 10, window: 13, index: 11 },
  { slots: [18, 17, 17], sets: [9, 9], maps: [8, 10], learned: 14, window: 18, index: 15 },
  { slots: [22, 21, 21], sets: [10, 11], maps: [10, 16], learned: 18, window: 22, index: 19 },
  { slots: [18, 18, 20], sets: [9, 9], maps: [8, 10], learned: 14, window: 20, index: 17 },
] as const;

/** "Tables". */
const SQUASH = new Int32Array(4096);
{
  let power = 2n ** 32n;
  for (let x = 0; x <= 2047; x++) {
    const exact = 2n ** 48n / (2n ** 32n + power);
    const q = Number(exact > 65535n ? 65535n : exact < 1n ? 1n : exact);
    SQUASH[2048 + x] = q;
    SQUASH[2048 - x] = 65536 - q;
    power = (power * 4261543595n) >> 32n;
  }
  SQUASH[0] = SQUASH[1] as number;
}
const [FINE, COARSE] = [stretches(2048, 1), stretches(4096, 16)];
export const RECIPROCAL = Array.from({ length: 1024 }, (_, n) =>
  Math.floor(327680 / (10 * n + 16)),
);

function stretches(count: number, scale: number): Int32Array {
  const table = new Int32Array(count);
  let logit = -1500;
  for (let i = 0; i < count; i++) {
    while (logit < 1500 && (SQUASH[2048 + logit] as number) < scale * i) logit++;
    table[i] = logit;
  }
  return table;
}

function stretch(p: number): number {
  if (p < 2048) return FINE[p] as number;
  if (p > 63488) return -(FINE[65536 - p] as number);
  return COARSE[p >> 4] as number;
}

export function clamp(value: number, from: number, to: number): number {
  return Math.max(from, Math.min(to, value));
}

export class RangeDecoder {
  readonly #bytes: Bytes;
  #low = 0;
  #high = 0xffffffff;
  #value = 0;
  constructor(bytes: Bytes) {
    this.#bytes = bytes;
    for (let index = 0; index < 4; index++) this.#value = this.#value * 256 + bytes.next();
  }
  bit(p: number): number {
    const range = this.#high - this.#low;
    const middle = this.#low + (range >>> 16) * p + Math.floor(((range & 0xffff) * p) / 65536);
    const one = this.#value <= middle;
    if (one) this.#high = middle;
    else this.#low = middle + 1;
    while (this.#low >>> 24 === this.#high >>> 24) {
      this.#low = (this.#low << 8) >>> 0;
      this.#high = ((this.#high << 8) | 255) >>> 0;
      this.#value = ((this.#value << 8) | this.#bytes.next()) >>> 0;
    }
    return one ? 1 : 0;
  }
}

/** "Numbers of steps". */
export class Numbers {
  readonly #coder: RangeDecoder;
  readonly #cells = new Map<number, { p: number; count: number }>();
  constructor(coder: RangeDecoder) {
    this.#coder = coder;
  }
  #bit(at: number): number {
    const cell = this.#cells.get(at) ?? { p: 32768, count: 0 };
    this.#cells.set(at, cell);
    const bit = this.#coder.bit(clamp(cell.p, 64, 65472));
    cell.p += imul((bit ? 65535 : 0) - cell.p, RECIPROCAL[cell.count] as number) >> 15;
    cell.count = Math.min(255, cell.count + 1);
    return bit;
  }
  number(row: number): number {
    const base = row * 1024;
    let bits = 0;
    while (this.#bit(base + bits)) bits++;
    if (bits < 2) return bits;
    let value = 1;
    for (let position = bits - 2; position >= 0; position--) {
      const d = bits - 2 - position;
      const node = d < 3 ? 2 ** d + (value % 2 ** d) : 8 + (position & 7);
      value = value * 2 + this.#bit(base + 64 + 16 * bits + node);
    }
    return value;
  }
}

export interface Selected {
  sets: readonly [number, number];
  maps: readonly [number, number];
}

interface MixerOptions {
  which: 0 | 1 | 2;
  count: number;
  limit: number;
  rate: number;
  early: number;
  shift: number;
}

export class Mixer {
  /** p of the latest decision. */
  p = 0;
  readonly #coder: RangeDecoder;
  readonly #options: MixerOptions;
  readonly #slots: Uint32Array;
  readonly #weights: Int32Array[][];
  readonly #maps: Int32Array[][];
  readonly #mapBits: readonly number[];
  #bases: number[] = [];
  #decisions = 0;

  constructor(coder: RangeDecoder, sizes: (typeof PROFILES)[number], options: MixerOptions) {
    const { which, count } = options;
    this.#coder = coder;
    this.#options = options;
    this.#slots = new Uint32Array(2 ** sizes.slots[which]).fill(0x80000000);
    const first = Math.floor((62259 * 64) / Math.floor(64 * Math.sqrt(count)));
    this.#weights = sizes.sets.map((bits) =>
      Array.from({ length: 2 ** bits }, () => new Int32Array(count + 17).fill(first, 0, count)),
    );
    const points = Array.from(
      { length: 33 },
      (_, i) => SQUASH[clamp(128 * (i - 16), -2047, 2047) + 2048] as number,
    );
    this.#mapBits = sizes.maps;
    this.#maps = sizes.maps.map((bits) =>
      Array.from({ length: 2 ** bits }, () => Int32Array.from(points)),
    );
  }

  enter(contexts: readonly number[], prefix: number): void {
    this.#bases = contexts.map((context, i) => {
      let h = (context + imul(prefix, 0x9e3779b1) + imul(i, 0x632be5ab)) | 0;
      h = imul(h, 0x85ebca6b);
      h ^= h >>> 15;
      h = imul(h, 0xc2b2ae35);
      return h ^ (h >>> 13);
    });
  }

  decide(node: number, { sets, maps }: Selected): number {
    const { count, limit, rate, early, shift } = this.#options;
    const slots = this.#slots;
    const x = new Int32Array(count + 17);
    x.fill(imul(-32767, Math.min(this.#decisions, 30)) >> 11, 2 * count + 1);
    const places: number[] = [];
    const found: number[] = [];
    this.#bases.forEach((base, i) => {
      const check = ((base >>> 24) ^ imul(node, 29)) & 255;
      let at = (base ^ node) & (slots.length - 1);
      let slot = slots[at] as number;
      if (((slot >>> 8) & 255) !== check) {
        const other = slots[at ^ 1] as number;
        if (((other >>> 8) & 255) === check) {
          at ^= 1;
          slot = other;
        } else {
          if ((other & 255) < (slot & 255)) at ^= 1;
          slot = (0x80000000 | (check << 8)) >>> 0;
        }
      }
      places.push(at);
      found.push(slot);
      if ((slot & 255) === 0) return;
      x[i] = stretch(slot >>> 16);
      x[count + i] = imul((slot >>> 16) - 32768, Math.min(slot & 255, 30)) >> 11;
    });
    x[2 * count] = 40;
    const rows = this.#weights.map(
      (set, side) => set[(sets[side] as number) & (set.length - 1)] as Int32Array,
    );
    const logits = rows.map((row) => {
      let a = 0;
      for (let i = 0; i < x.length; i++) a += imul(row[i] as number, x[i] as number) >> 10;
      return clamp(a >> 6, -2047, 2047);
    }) as [number, number];
    const position = ((logits[0] + logits[1]) >> 1) + 2048;
    const [i, f] = [position >> 7, position & 127];
    const curves = this.#maps.map((map, side) => {
      const m = maps[side] as number;
      return map[(m ^ (m >>> (this.#mapBits[side] as number))) & (map.length - 1)] as Int32Array;
    });
    const refined = curves.map(
      (curve) => ((curve[i] as number) * (128 - f) + (curve[i + 1] as number) * f) >> 7,
    ) as [number, number];
    const mixed = (2 * (SQUASH[position] as number) + refined[0] + refined[1]) >> 2;
    this.p = clamp(mixed, 16, 65520);
    const bit = this.#coder.bit(this.p);
    const t = bit ? 65535 : 0;
    const nearer = f < 64 ? i : i + 1;
    // Each row of a map is its own, so both may move at once.
    for (const curve of curves)
      curve[nearer] = (curve[nearer] as number) + ((t - (curve[nearer] as number)) >> 6);
    const faster = Math.max(0, early - (this.#decisions++ >> shift));
    rows.forEach((row, side) => {
      const error =
        imul(t - (SQUASH[(logits[side] as number) + 2048] as number), rate + faster) >> 6;
      for (let k = 0; k < x.length; k++) {
        row[k] = (row[k] as number) + ((imul(x[k] as number, error) + 8192) >> 14);
      }
    });
    places.forEach((at, k) => {
      const slot = found[k] as number;
      const seen = slot & 255;
      const p = slot >>> 16;
      const moved = clamp(p + (imul(t - p, RECIPROCAL[seen] as number) >> 15), 1, 65535);
      slots[at] = ((moved << 16) | (slot & 0xff00) | Math.min(limit, seen + 1)) >>> 0;
    });
    return bit;
  }

  /** "A byte takes eight decisions". */
  byte(
    contexts: readonly number[],
    select: (node: number) => Selected,
    each?: (bit: number) => void,
  ): number {
    let [node, group] = [1, 1];
    for (let index = 0; index < 8; index++) {
      if (index % 4 === 0) {
        this.enter(contexts, node);
        group = 1;
      }
      const bit = this.decide(group, select(node));
      each?.(bit);
      node = 2 * node + bit;
      group = 2 * group + bit;
    }
    return node & 255;
  }
}
