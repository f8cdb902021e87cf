/**
 * What has been seen of words and addresses; an entry forgets the one that it displaces. Before
 * anything is learned, 0 stands for 0.
 */
export class LearnedMap {
  /** What `look` found. */
  value = 0;
  /** Key and value. */
  readonly #entries: Int32Array;
  readonly #mask: number;

  constructor(bits: number) {
    this.#entries = new Int32Array(2 ** (bits + 1));
    this.#mask = 2 ** bits - 1;
  }

  /** True where the key is known; its value is then in `value`. */
  look(key: number): boolean {
    const hash = Math.imul(key ^ (key >>> 15), 0x9e3779b1);
    const at = ((hash ^ (hash >>> 14)) & this.#mask) << 1;
    if (this.#entries[at] !== key) return false;
    this.value = this.#entries[at + 1] as number;
    return true;
  }

  set(key: number, value: number): void {
    const hash = Math.imul(key ^ (key >>> 15), 0x9e3779b1);
    const at = ((hash ^ (hash >>> 14)) & this.#mask) << 1;
    this.#entries[at] = key;
    this.#entries[at + 1] = value;
  }
}

/** Neighbours that moved by more than this have nothing in common. */
const MAX_SHIFT = 1 << 20;
/** Neighbourhoods of an address, the nearest first: how many of its lowest bits they leave open. */
const NEAR = 5;
const FAR = 9;
const FARTHEST = 14;
const NEAR_SALT = 0x01234567;
const FAR_SALT = 0x07654321;
const FARTHEST_SALT = 0x0abcdef1;

/** The three things that are learned while an image is rebuilt; keys and values are 32-bit words. */
export class LearnedMaps {
  /** Old word -> new word. */
  readonly words: LearnedMap;
  /** Old address (or place) -> new one, exactly as seen. */
  readonly exact: LearnedMap;
  /** What `lookNear` found. */
  shift = 0;
  readonly #shifts: LearnedMap;

  constructor(bits: number) {
    this.words = new LearnedMap(bits);
    this.exact = new LearnedMap(bits);
    this.#shifts = new LearnedMap(bits);
  }

  /**
   * By how much the last address near this one moved: 2 where one within 512 did, 1 where only one
   * within 16 KB did, else 0.
   */
  lookNear(address: number): number {
    const shifts = this.#shifts;
    if (!shifts.look((address >>> FARTHEST) ^ FARTHEST_SALT)) return 0;
    const isNear =
      shifts.look((address >>> NEAR) ^ NEAR_SALT) || shifts.look((address >>> FAR) ^ FAR_SALT);
    this.shift = shifts.value;
    return isNear ? 2 : 1;
  }

  /** That something stayed where it was is worth knowing only where something else moved. */
  learnShift(address: number, shift: number): void {
    if (shift <= -MAX_SHIFT || shift >= MAX_SHIFT) return;
    const shifts = this.#shifts;
    const farthest = (address >>> FARTHEST) ^ FARTHEST_SALT;
    if (shift === 0 && !shifts.look(farthest)) return;
    shifts.set((address >>> NEAR) ^ NEAR_SALT, shift);
    shifts.set((address >>> FAR) ^ FAR_SALT, shift);
    shifts.set(farthest, shift);
  }
}
