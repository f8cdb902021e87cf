import { FIELD, type Field, GUESSES } from "../field.ts";
import type { Instructions } from "./instructions.ts";

/** How far behind an ADRP its partner is looked for, in instructions. */
const PARTNER_DISTANCE = 9;
const PAGE_MASK = 0xfffff000;

/**
 * AArch64: B and BL, and addresses that ADRP and a later ADD, load or store make together. The full
 * address is translated, then split again.
 */
export class Aarch64Instructions implements Instructions {
  readonly taggedAddresses = false;
  readonly #field: Field;
  /** Page that each register holds by the latest ADRP, in the old and in the new image. */
  readonly #sourcePages = new Int32Array(32);
  readonly #targetPages = new Int32Array(32);
  /** Bit r: register r holds a page. */
  #sourceKnown = 0;
  #targetKnown = 0;
  /** The full address that the open field stands for. */
  #goal = 0;

  constructor(field: Field) {
    this.#field = field;
  }

  enter(): void {}

  begin(source: number, target: number, within: number, hasSpace: boolean): boolean {
    const field = this.#field;
    if ((source & 3) !== 0 || within >= 0 || source + 4 > field.images.sourceSize) return false;
    const word = field.sourceWord(source);
    if (isBranch(word)) {
      this.#branch(word, source, target);
      return true;
    }
    if (!hasSpace) return false;
    if (isAdrp(word)) {
      this.#page(word, source, target);
      return true;
    }
    return this.#offset(word, target);
  }

  #branch(word: number, source: number, target: number): void {
    const field = this.#field;
    const { spaces, addresses } = field;
    field.begin(target, FIELD.branch, word);
    const found = field.lookUp((spaces.addressOfSource(source) + branchOffset(word)) | 0);
    const here = spaces.addressOfTarget(target);
    for (let guess = 1; guess < GUESSES; guess++) {
      if ((found & (1 << guess)) === 0) continue;
      const words = ((addresses[guess] as number) - here) >> 2;
      field.guess(guess, (word & 0xfc000000) | (words & 0x3ffffff));
    }
  }

  #page(word: number, source: number, target: number): void {
    const field = this.#field;
    const register = word & 31;
    const page = (field.spaces.addressOfSource(source) & PAGE_MASK) + pageOffset(word);
    this.#sourcePages[register] = page;
    this.#sourceKnown |= 1 << register;
    this.#goal = (page + this.#partnerOffset(source, register)) | 0;
    const here = field.spaces.addressOfTarget(target) >>> 12;
    field.begin(target, FIELD.page, word);
    const found = field.lookUp(this.#goal);
    for (let guess = 1; guess < GUESSES; guess++) {
      if ((found & (1 << guess)) === 0) continue;
      field.guess(guess, withPages(word, ((field.addresses[guess] as number) >>> 12) - here));
    }
  }

  /** What the partner of the ADRP at `source` adds; 0 where none is near. */
  #partnerOffset(source: number, register: number): number {
    const field = this.#field;
    for (let step = 1; step <= PARTNER_DISTANCE; step++) {
      const at = source + 4 * step;
      if (at + 4 > field.images.sourceSize) return 0;
      const word = field.sourceWord(at);
      const offset = offsetOf(word);
      if (offset >= 0 && ((word >>> 5) & 31) === register) return offset;
      if ((word & 31) === register && isAdrp(word)) return 0;
    }
    return 0;
  }

  #offset(word: number, target: number): boolean {
    const offset = offsetOf(word);
    if (offset < 0) return false;
    const register = (word >>> 5) & 31;
    if ((this.#sourceKnown & this.#targetKnown & (1 << register)) === 0) return false;
    const targetPage = this.#targetPages[register] as number;
    const field = this.#field;
    this.#goal = ((this.#sourcePages[register] as number) + offset) | 0;
    const scale = scaleOf(word);
    field.begin(target, FIELD.offset, word);
    const found = field.lookUp(this.#goal);
    for (let guess = 1; guess < GUESSES; guess++) {
      if ((found & (1 << guess)) === 0) continue;
      const units = (((field.addresses[guess] as number) - targetPage) | 0) >> scale;
      if (units < 0 || units > 0xfff) continue;
      field.guess(guess, (word & ~(0xfff << 10)) | (units << 10));
    }
    return true;
  }

  mayBeginWithin(): boolean {
    return false;
  }

  kindOfWord(source: number): number {
    const word = this.#field.sourceWord(source);
    return isShortBranch(word) ? FIELD.shortBranch : FIELD.plain;
  }

  learn(source: number, target: number): void {
    const field = this.#field;
    const now = field.targetWord(target);
    const { spaces } = field;
    if (field.kind === FIELD.branch) {
      if (!isBranch(now)) return;
      const from = spaces.addressOfSource(source) + branchOffset(field.word);
      const to = spaces.addressOfTarget(target) + branchOffset(now);
      field.learned.exact.set(from | 0, to | 0);
    } else if (field.kind === FIELD.page) {
      const register = now & 31;
      const page = (spaces.addressOfTarget(target) & PAGE_MASK) + pageOffset(now);
      this.#targetPages[register] = page;
      if (isAdrp(now)) this.#targetKnown |= 1 << register;
      else this.#targetKnown &= ~(1 << register);
    } else {
      const offset = offsetOf(now);
      const register = (now >>> 5) & 31;
      if (offset < 0 || (this.#targetKnown & (1 << register)) === 0) return;
      const page = this.#targetPages[register] as number;
      field.learnAddress(this.#goal, (page + offset) | 0);
    }
  }
}

// Arm Architecture Reference Manual for A-profile, C6.2: encodings of the instructions.

function isBranch(word: number): boolean {
  return (word & 0x7c000000) === 0x14000000;
}

function branchOffset(word: number): number {
  return (word << 6) >> 4;
}

function isAdrp(word: number): boolean {
  return (word & 0x9f000000) >>> 0 === 0x90000000;
}

/** Bytes, modulo 2^32. */
function pageOffset(word: number): number {
  const pages = (((word >>> 5) & 0x7ffff) << 2) | ((word >>> 29) & 3);
  return pages << 12;
}

function withPages(word: number, pages: number): number {
  return (word & 0x9f00001f) | ((pages & 3) << 29) | (((pages >> 2) & 0x7ffff) << 5);
}

/** Conditional branches, CBZ, CBNZ, TBZ, TBNZ. */
function isShortBranch(word: number): boolean {
  return (word & 0xff000010) >>> 0 === 0x54000000 || (word & 0x7c000000) === 0x34000000;
}

/** The unsigned offset of an ADD (immediate, 64 bits) or of a load or store, in bytes; else -1. */
function offsetOf(word: number): number {
  const immediate = (word >>> 10) & 0xfff;
  if ((word & 0xffc00000) >>> 0 === 0x91000000) return immediate;
  if ((word & 0x3b000000) === 0x39000000) return immediate << scaleOf(word);
  return -1;
}

function scaleOf(word: number): number {
  if ((word & 0xffc00000) >>> 0 === 0x91000000) return 0;
  // Vector registers of 128 bits have size 0 and the upper bit of opc set.
  const isQuad = word >>> 30 === 0 && (word & 0x04800000) === 0x04800000;
  return isQuad ? 4 : word >>> 30;
}
