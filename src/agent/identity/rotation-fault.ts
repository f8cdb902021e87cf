import { messageOf } from "../../kernel/index.ts";
import type { RotationStep } from "../../protocol/index.ts";

/** A step of a rotation that failed, and which part of it. */
export class RotationFault extends Error {
  readonly step: RotationStep;
  readonly element: string;
  /** The same generation would fail again: another one has to be made. */
  readonly isFinal: boolean;

  constructor(
    step: RotationStep,
    element: string,
    message: string,
    options: { isFinal?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "RotationFault";
    this.step = step;
    this.element = element;
    this.isFinal = options.isFinal === true;
  }
}

/** Anything that was thrown in a step, as that step's fault. */
export function faultOf(
  step: RotationStep,
  element: string,
  error: unknown,
  isFinal = false,
): RotationFault {
  if (error instanceof RotationFault) return error;
  return new RotationFault(step, element, messageOf(error), { isFinal, cause: error });
}
