import { FIELD, type Field } from "../field.ts";
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
  /** Page that each register holds by the latest ADRP, in the old and in the new image; -1: none. */
  readonly #sourcePages = new Float64Array(32).fill(-1);
  readonly #targetPages = new Float64Array(32).fill(-1);
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
      field.begin(target, FIELD.branch, 4);
      const goal = (field.spaces.addressOfSource(source) + branchOffset(word)) >>> 0;
      const here = field.spaces.addressOfTarget(target);
      field.guessAddress(
        goal,
        hasSpace,
        (address) => (word & 0xfc000000) | (((address - here) >> 2) & 0x3ffffff),
      );
      return true;
    }
    if (!hasSpace) return false;
    if (isAdrp(word)) {
      this.#page(word, source, target);
      return true;
    }
    return this.#offset(word, target);
  }

  #page(word: number, source: number, target: number): void {
    const field = this.#field;
    const register = word & 31;
    const page = (field.spaces.addressOfSource(source) & PAGE_MASK) + pageOffset(word);
    this.#sourcePages[register] = page >>> 0;
    this.#goal = (page + this.#partnerOffset(source, register)) >>> 0;
    const here = (field.spaces.addressOfTarget(target) & PAGE_MASK) >>> 12;
    field.begin(target, FIELD.page, 4);
    field.guessAddress(this.#goal, true, (address) => withPages(word, (address >>> 12) - here));
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
    const sourcePage = this.#sourcePages[register] as number;
    const targetPage = this.#targetPages[register] as number;
    if (sourcePage < 0 || targetPage < 0) return false;
    const field = this.#field;
    this.#goal = (sourcePage + offset) >>> 0;
    const scale = scaleOf(word);
    field.begin(target, FIELD.offset, 4);
    field.guessAddress(this.#goal, true, (address) => {
      const distance = address - targetPage;
      if (distance < 0 || distance >>> scale > 0xfff) return undefined;
      return (word & ~(0xfff << 10)) | (((distance >>> scale) & 0xfff) << 10);
    });
    return true;
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
      const from = spaces.addressOfSource(source) + branchOffset(field.sourceWord(source));
      const to = spaces.addressOfTarget(target) + branchOffset(now);
      field.learned.exact.set(from >>> 0, to >>> 0);
    } else if (field.kind === FIELD.page) {
      const page = (spaces.addressOfTarget(target) & PAGE_MASK) + pageOffset(now);
      this.#targetPages[now & 31] = isAdrp(now) ? page >>> 0 : -1;
    } else {
      const offset = offsetOf(now);
      const page = this.#targetPages[(now >>> 5) & 31] as number;
      if (offset >= 0 && page >= 0) field.learnAddress(this.#goal, (page + offset) >>> 0);
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
