import { FIELD } from "../field.ts";
import type { Instructions } from "./instructions.ts";

/** Data, or code of a processor that we do not know. */
export const NO_INSTRUCTIONS: Instructions = {
  taggedAddresses: false,
  enter: () => {},
  begin: () => false,
  mayBeginWithin: () => false,
  kindOfWord: () => FIELD.plain,
  learn: () => {},
};
