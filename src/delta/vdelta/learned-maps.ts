/** What has been seen of words and addresses; an entry forgets the one that it displaces. */
class LearnedMap {
  readonly #keys: Uint32Array;
  readonly #values: Int32Array;
  readonly #known: Uint8Array;
  readonly #mask: number;

  constructor(bits: number) {
    this.#keys = new Uint32Array(2 ** bits);
    this.#values = new Int32Array(2 ** bits);
    this.#known = new Uint8Array(2 ** bits);
    this.#mask = 2 ** bits - 1;
  }

  /** The value's 32 bits with a sign, or undefined. */
  get(key: number): number | undefined {
    const at = this.#hash(key);
    return this.#known[at] && this.#keys[at] === key >>> 0 ? this.#values[at] : undefined;
  }

  set(key: number, value: number): void {
    const at = this.#hash(key);
    this.#keys[at] = key;
    this.#values[at] = value;
    this.#known[at] = 1;
  }

  #hash(key: number): number {
    const hash = Math.imul(key ^ (key >>> 15), 0x9e3779b1);
    return (hash ^ (hash >>> 14)) & this.#mask;
  }
}

/** Neighbours that moved by more than this have nothing in common. */
const MAX_SHIFT = 1 << 20;
const NEAR_SALT = 0x01234567;
const FAR_SALT = 0x07654321;

/** The three things that are learned while an image is rebuilt. */
export class LearnedMaps {
  /** Old word -> new word. */
  readonly words: LearnedMap;
  /** Old address (or place) -> new one, exactly as seen. */
  readonly exact: LearnedMap;
  readonly #shifts: LearnedMap;

  constructor(bits: number) {
    this.words = new LearnedMap(bits);
    this.exact = new LearnedMap(bits);
    this.#shifts = new LearnedMap(bits);
  }

  /** By how much the last address near this one moved: within 32, else within 512. */
  shiftNear(address: number): number | undefined {
    return (
      this.#shifts.get((address >>> 5) ^ NEAR_SALT) ?? this.#shifts.get((address >>> 9) ^ FAR_SALT)
    );
  }

  learnShift(address: number, shift: number): void {
    if (shift <= -MAX_SHIFT || shift >= MAX_SHIFT) return;
    this.#shifts.set((address >>> 5) ^ NEAR_SALT, shift);
    this.#shifts.set((address >>> 9) ^ FAR_SALT, shift);
  }
}
