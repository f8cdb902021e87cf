import { NOWHERE } from "../address-spaces.ts";
import { FIELD, type Field } from "../field.ts";
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
    const before = field.sourceByte(source - 1);
    const beforeThat = field.sourceByte(source - 2);
    const kind = kindOf(before, beforeThat, hasSpace);
    if (kind === FIELD.plain) return false;
    const distance = field.sourceWord(source);
    const goal = (field.spaces.addressOfSource(source) + 4 + distance) >>> 0;
    const inside = hasSpace
      ? field.spaces.translate(goal) !== NOWHERE
      : goal < field.images.sourceSize;
    if (!inside && (kind !== FIELD.offset || field.learned.shiftNear(goal) === undefined)) {
      return false;
    }
    this.#goal = goal;
    field.begin(target, kind, 4);
    const here = field.spaces.addressOfTarget(target) + 4;
    field.guessAddress(goal, hasSpace, (address) => (address - here) | 0);
    return true;
  }

  kindOfWord(): number {
    return FIELD.plain;
  }

  learn(_source: number, target: number): void {
    const field = this.#field;
    const here = field.spaces.addressOfTarget(target) + 4;
    field.learnAddress(this.#goal, (here + field.targetWord(target)) >>> 0);
  }
}

/** Intel SDM volume 2: CALL (E8), JMP (E9), Jcc (0F 80 to 8F), ModR/M with mod 0 and r/m 5. */
function kindOf(before: number, beforeThat: number, hasSpace: boolean): number {
  if (before === 0xe8 || before === 0xe9) return FIELD.branch;
  if (beforeThat === 0x0f && (before & 0xf0) === 0x80) return FIELD.shortBranch;
  if (hasSpace && (before & 0xc7) === 0x05) return FIELD.offset;
  return FIELD.plain;
}
