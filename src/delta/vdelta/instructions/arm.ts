import { FIELD, type Field } from "../field.ts";
import type { Instructions } from "./instructions.ts";

/** 32-bit ARM: B and BL with an offset of 24 bits. */
export class ArmInstructions implements Instructions {
  readonly taggedAddresses = true;
  readonly #field: Field;

  constructor(field: Field) {
    this.#field = field;
  }

  enter(): void {}

  begin(source: number, target: number, within: number, hasSpace: boolean): boolean {
    const field = this.#field;
    if ((source & 3) !== 0 || within >= 0 || source + 4 > field.images.sourceSize) return false;
    const word = field.sourceWord(source);
    if (!isBranch(word)) return false;
    field.begin(target, FIELD.branch, 4);
    const goal = (field.spaces.addressOfSource(source) + 8 + offsetOf(word)) >>> 0;
    const here = field.spaces.addressOfTarget(target) + 8;
    field.guessAddress(
      goal,
      hasSpace,
      (address) => (word & 0xff000000) | (((address - here) >> 2) & 0xffffff),
    );
    return true;
  }

  kindOfWord(): number {
    return FIELD.plain;
  }

  learn(source: number, target: number): void {
    const field = this.#field;
    const now = field.targetWord(target);
    if (!isBranch(now)) return;
    const { spaces, learned } = field;
    const from = spaces.addressOfSource(source) + 8 + offsetOf(field.sourceWord(source));
    learned.exact.set(from >>> 0, spaces.addressOfTarget(target) + 8 + offsetOf(now));
  }
}

/** Armv7-A ARM, A8.8.18 (B) and A8.8.25 (BL, BLX); condition 15 is BLX. */
function isBranch(word: number): boolean {
  return (word & 0x0e000000) === 0x0a000000;
}

function offsetOf(word: number): number {
  return (word << 8) >> 6;
}
