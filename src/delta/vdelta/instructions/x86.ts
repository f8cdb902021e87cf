import { FIELD, type Field, GUESSES } from "../field.ts";
import type { Instructions } from "./instructions.ts";

/**
 * x86 and x86-64: distances of 32 bits behind CALL, JMP, Jcc and in RIP-relative operands, at any
 * place. Instructions are not followed; a pattern counts only where its distance leads somewhere.
 */
export class X86Instructions implements Instructions {
  readonly taggedAddresses = false;
  readonly #field: Field;
  #goal = 0;
  #regionStart = 0;

  constructor(field: Field) {
    this.#field = field;
  }

  enter(source: number): void {
    this.#regionStart = source;
  }

  begin(source: number, target: number, within: number, hasSpace: boolean): boolean {
    const field = this.#field;
    if (source - this.#regionStart < 2 || source + 4 > field.images.sourceSize) return false;
    if (within >= 0 && field.kind !== FIELD.plain) return false;
    const { source: bytes, sourceBase } = field.images;
    const before = bytes[source - 1 - sourceBase] as number;
    const beforeThat = bytes[source - 2 - sourceBase] as number;
    const kind = kindOf(before, beforeThat, hasSpace);
    if (kind === FIELD.plain) return false;
    const distance = field.sourceWord(source);
    const { spaces, learned, addresses } = field;
    const goal = (spaces.addressOfSource(source) + 4 + distance) | 0;
    const inside = hasSpace ? spaces.translate(goal) : goal >= 0 && goal < field.images.sourceSize;
    if (!inside && (kind !== FIELD.offset || learned.lookNear(goal) === 0)) return false;
    this.#goal = goal;
    field.begin(target, kind, distance);
    const found = field.lookUp(goal);
    const here = spaces.addressOfTarget(target) + 4;
    for (let guess = 1; guess < GUESSES; guess++) {
      if ((found & (1 << guess)) === 0) continue;
      field.guess(guess, ((addresses[guess] as number) - here) | 0);
    }
    return true;
  }

  mayBeginWithin(): boolean {
    const { word } = this.#field;
    for (let shift = 0; shift < 24; shift += 8) {
      const byte = (word >>> shift) & 0xff;
      // What `kindOf` looks for, the byte before the last one aside.
      if (byte === 0xe8 || byte === 0xe9 || (byte & 0xf0) === 0x80) return true;
      if ((byte & 0xc7) === 0x05) return true;
    }
    return false;
  }

  kindOfWord(): number {
    return FIELD.plain;
  }

  learn(_source: number, target: number): void {
    const field = this.#field;
    const here = field.spaces.addressOfTarget(target) + 4;
    field.learnAddress(this.#goal, (here + field.targetWord(target)) | 0);
  }
}

/** Intel SDM volume 2: CALL (E8), JMP (E9), Jcc (0F 80 to 8F), ModR/M with mod 0 and r/m 5. */
function kindOf(before: number, beforeThat: number, hasSpace: boolean): number {
  if (before === 0xe8 || before === 0xe9) return FIELD.branch;
  if (beforeThat === 0x0f && (before & 0xf0) === 0x80) return FIELD.shortBranch;
  if (hasSpace && (before & 0xc7) === 0x05) return FIELD.offset;
  return FIELD.plain;
}
