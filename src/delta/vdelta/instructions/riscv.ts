import { FIELD, type Field, GUESSES } from "../field.ts";
import type { Instructions } from "./instructions.ts";

const PARTNER_DISTANCE_BYTES = 16;

/**
 * RISC-V: JAL, and addresses that AUIPC or LUI and a later ADDI, load, store or JALR make together.
 * The full address is translated, then split again.
 */
export class RiscvInstructions implements Instructions {
  readonly taggedAddresses = false;
  readonly #field: Field;
  /** What each register holds by the latest AUIPC or LUI, in the old and in the new image. */
  readonly #sourceUpper = new Int32Array(32);
  readonly #targetUpper = new Int32Array(32);
  /** Bit r: register r holds something. */
  #sourceKnown = 0;
  #targetKnown = 0;
  #next = 0;
  #goal = 0;

  constructor(field: Field) {
    this.#field = field;
  }

  enter(source: number): void {
    this.#next = source + (source & 1);
  }

  begin(source: number, target: number, within: number, hasSpace: boolean): boolean {
    const field = this.#field;
    const { images } = field;
    if (source !== this.#next) return false;
    // Instructions whose two lowest bits are not both set have 16 bits.
    this.#next =
      source + (((images.source[source - images.sourceBase] as number) & 3) === 3 ? 4 : 2);
    if (source + 4 > images.sourceSize || this.#next !== source + 4) return false;
    if (within >= 0 && field.kind !== FIELD.plain && field.kind !== FIELD.pointer) return false;
    const word = field.sourceWord(source);
    const opcode = word & 0x7f;
    if (opcode === 0x6f) {
      this.#jump(word, source, target);
      return true;
    }
    if (!hasSpace) return false;
    if (opcode === 0x17 || opcode === 0x37) {
      this.#upper(word, source, target);
      return true;
    }
    return this.#lower(word, target);
  }

  #jump(word: number, source: number, target: number): void {
    const field = this.#field;
    const { spaces, addresses } = field;
    field.begin(target, FIELD.branch, word);
    const found = field.lookUp((spaces.addressOfSource(source) + jumpOffset(word)) | 0);
    const here = spaces.addressOfTarget(target);
    for (let guess = 1; guess < GUESSES; guess++) {
      if ((found & (1 << guess)) === 0) continue;
      field.guess(guess, withJumpOffset(word, ((addresses[guess] as number) - here) | 0));
    }
  }

  #upper(word: number, source: number, target: number): void {
    const field = this.#field;
    const register = (word >>> 7) & 31;
    const isRelative = (word & 0x7f) === 0x17;
    const upper = ((isRelative ? field.spaces.addressOfSource(source) : 0) + (word & ~0xfff)) | 0;
    this.#sourceUpper[register] = upper;
    this.#sourceKnown |= 1 << register;
    this.#goal = (upper + this.#partnerOffset(source, register)) | 0;
    const base = isRelative ? field.spaces.addressOfTarget(target) : 0;
    field.begin(target, FIELD.page, word);
    const found = field.lookUp(this.#goal);
    for (let guess = 1; guess < GUESSES; guess++) {
      if ((found & (1 << guess)) === 0) continue;
      const distance = (field.addresses[guess] as number) - base;
      field.guess(guess, (word & 0xfff) | ((distance + 0x800) & ~0xfff));
    }
  }

  #partnerOffset(source: number, register: number): number {
    const field = this.#field;
    const end = Math.min(source + PARTNER_DISTANCE_BYTES, field.images.sourceSize - 4);
    for (let at = source + 4; at <= end; ) {
      const word = field.sourceWord(at);
      const isLong = (word & 3) === 3;
      if (isLong && hasLowerOffset(word) && ((word >>> 15) & 31) === register) {
        return lowerOffset(word);
      }
      at += isLong ? 4 : 2;
    }
    return 0;
  }

  #lower(word: number, target: number): boolean {
    if (!hasLowerOffset(word)) return false;
    const register = (word >>> 15) & 31;
    if ((this.#sourceKnown & this.#targetKnown & (1 << register)) === 0) return false;
    const targetUpper = this.#targetUpper[register] as number;
    const field = this.#field;
    this.#goal = ((this.#sourceUpper[register] as number) + lowerOffset(word)) | 0;
    field.begin(target, FIELD.offset, word);
    const found = field.lookUp(this.#goal);
    for (let guess = 1; guess < GUESSES; guess++) {
      if ((found & (1 << guess)) === 0) continue;
      const offset = ((field.addresses[guess] as number) - targetUpper) | 0;
      if (offset >= -2048 && offset <= 2047) field.guess(guess, withLowerOffset(word, offset));
    }
    return true;
  }

  mayBeginWithin(source: number): boolean {
    if (this.#next >= source + 4) return false;
    // Two short instructions leave nothing that could begin.
    if (this.#next !== source + 2 || ((this.#field.word >>> 16) & 3) === 3) return true;
    this.#next = source + 4;
    return false;
  }

  kindOfWord(): number {
    return FIELD.plain;
  }

  learn(source: number, target: number): void {
    const field = this.#field;
    const { spaces } = field;
    const now = field.targetWord(target);
    if (field.kind === FIELD.branch) {
      if ((now & 0x7f) !== 0x6f) return;
      const from = spaces.addressOfSource(source) + jumpOffset(field.word);
      field.learned.exact.set(from | 0, (spaces.addressOfTarget(target) + jumpOffset(now)) | 0);
    } else if (field.kind === FIELD.page) {
      const opcode = now & 0x7f;
      const register = (now >>> 7) & 31;
      const base = opcode === 0x17 ? spaces.addressOfTarget(target) : 0;
      this.#targetUpper[register] = base + (now & ~0xfff);
      if (opcode === 0x17 || opcode === 0x37) this.#targetKnown |= 1 << register;
      else this.#targetKnown &= ~(1 << register);
    } else if (hasLowerOffset(now)) {
      const register = (now >>> 15) & 31;
      if ((this.#targetKnown & (1 << register)) === 0) return;
      const upper = this.#targetUpper[register] as number;
      field.learnAddress(this.#goal, (upper + lowerOffset(now)) | 0);
    }
  }
}

// The RISC-V Instruction Set Manual, volume I, chapter 2: immediates of J, U, I and S form.

function jumpOffset(word: number): number {
  const low = ((word >>> 20) & 0x7fe) | ((word >>> 9) & 0x800) | (word & 0xff000);
  return low | ((word >> 31) << 20);
}

function withJumpOffset(word: number, offset: number): number {
  return (
    (word & 0xfff) |
    ((offset & 0x7fe) << 20) |
    ((offset & 0x800) << 9) |
    (offset & 0xff000) |
    ((offset & 0x100000) << 11)
  );
}

/** ADDI, loads, JALR (I form) and stores (S form). */
function hasLowerOffset(word: number): boolean {
  const opcode = word & 0x7f;
  if (opcode === 0x13) return ((word >>> 12) & 7) === 0;
  return opcode === 0x03 || opcode === 0x67 || opcode === 0x23;
}

function lowerOffset(word: number): number {
  if ((word & 0x7f) === 0x23) return ((word >> 25) << 5) | ((word >>> 7) & 31);
  return word >> 20;
}

function withLowerOffset(word: number, offset: number): number {
  if ((word & 0x7f) === 0x23) {
    return (word & 0x01fff07f) | ((offset & 0xfe0) << 20) | ((offset & 31) << 7);
  }
  return (word & 0x000fffff) | (offset << 20);
}
