import type { Field } from "../field.ts";
import { Aarch64Instructions } from "./aarch64.ts";
import { ArmInstructions } from "./arm.ts";
import type { Instructions } from "./instructions.ts";
import { NO_INSTRUCTIONS } from "./none.ts";
import { RiscvInstructions } from "./riscv.ts";
import { ThumbInstructions } from "./thumb.ts";
import { X86Instructions } from "./x86.ts";
import { XtensaInstructions } from "./xtensa.ts";

/** In the order of their numbers in the header. */
export const ARCHITECTURES = ["none", "thumb", "arm", "aarch64", "x86", "riscv", "xtensa"] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

export function instructionsOf(architecture: Architecture, field: Field): Instructions {
  switch (architecture) {
    case "none":
      return NO_INSTRUCTIONS;
    case "thumb":
      return new ThumbInstructions(field);
    case "arm":
      return new ArmInstructions(field);
    case "aarch64":
      return new Aarch64Instructions(field);
    case "x86":
      return new X86Instructions(field);
    case "riscv":
      return new RiscvInstructions(field);
    case "xtensa":
      return new XtensaInstructions(field);
  }
}
