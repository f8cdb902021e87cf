import { beginAarch64, kindOfAarch64Word, learnAarch64 } from "./aarch64";
import { beginArm, learnArm } from "./arm";
import { PLAIN } from "./field";
import { beginRiscv, enterRiscv, learnRiscv, mayRiscvBeginWithin } from "./riscv";
import { beginThumb, learnThumb, mayThumbBeginWithin } from "./thumb";
import { setTags } from "./words";
import { beginX86, enterX86, learnX86, mayX86BeginWithin } from "./x86";
import { beginXtensa, enterXtensa, learnXtensa, mayXtensaBeginWithin } from "./xtensa";

// Finds the operands of one processor's code that move when code moves. Processors by their numbers in
// the header.
const THUMB: i32 = 1;
const ARM: i32 = 2;
const AARCH64: i32 = 3;
const X86: i32 = 4;
const RISCV: i32 = 5;
const XTENSA: i32 = 6;

let processor: i32 = 0;

export function setProcessor(number: i32): void {
  processor = number;
  setTags(number === THUMB || number === ARM);
}

/** A region of the old image begins here. */
export function enterCode(source: i32): void {
  if (processor === X86) enterX86(source);
  else if (processor === RISCV) enterRiscv(source);
  else if (processor === XTENSA) enterXtensa(source);
}

/**
 * At each byte; `within` is the distance from the beginning of the field that is open, or -1. Begins a
 * field and returns true where an operand starts here.
 */
export function beginOperand(source: i32, target: i32, within: i32, hasSpace: bool): bool {
  switch (processor) {
    case THUMB:
      return beginThumb(source, target, within);
    case ARM:
      return beginArm(source, target, within);
    case AARCH64:
      return beginAarch64(source, target, within, hasSpace);
    case X86:
      return beginX86(source, target, within, hasSpace);
    case RISCV:
      return beginRiscv(source, target, within, hasSpace);
    case XTENSA:
      return beginXtensa(source, target, within);
    default:
      return false;
  }
}

/**
 * Whether `beginOperand` may return true for one of the three bytes behind the beginning of a word.
 * Where it is false, it need not be called for them.
 */
export function mayBeginWithin(source: i32): bool {
  switch (processor) {
    case THUMB:
      return mayThumbBeginWithin();
    case X86:
      return mayX86BeginWithin();
    case RISCV:
      return mayRiscvBeginWithin(source);
    case XTENSA:
      return mayXtensaBeginWithin(source);
    default:
      return false;
  }
}

/** Kind of the plain word that begins here. */
export function kindOfWord(source: i32): i32 {
  return processor === AARCH64 ? kindOfAarch64Word(source) : PLAIN;
}

/** The field that `beginOperand` began is complete. */
export function learnOperand(source: i32, target: i32): void {
  switch (processor) {
    case THUMB:
      learnThumb(source, target);
      break;
    case ARM:
      learnArm(source, target);
      break;
    case AARCH64:
      learnAarch64(source, target);
      break;
    case X86:
      learnX86(target);
      break;
    case RISCV:
      learnRiscv(source, target);
      break;
    case XTENSA:
      learnXtensa(source, target);
      break;
    default:
  }
}
