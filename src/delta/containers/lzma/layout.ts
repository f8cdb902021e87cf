/** Where LZMA's probabilities lie in one array, and how its state moves; shared by both directions. */
export const STATES = 12;
export const MAX_POS_STATES = 16;
export const REPEATS = 4;
export const MIN_MATCH = 2;
export const MAX_MATCH = 273;
/** Probabilities are shares of 2048; all begin in the middle. */
export const PROBABILITY_BITS = 11;
export const EVEN = 1024;
export const MOVE_BITS = 5;
/** Slots of the distance from here on have bits that are modelled, from `END` on bits that are not. */
export const MODELLED_SLOT = 4;
export const MODELLED_SLOT_END = 14;
export const FULL_DISTANCES = 128;
export const ALIGN_BITS = 4;
export const ALIGN_SIZE = 1 << ALIGN_BITS;
export const DISTANCE_STATES = 4;
export const SLOTS = 64;

export const IS_MATCH = 0;
export const IS_REPEAT0_LONG = IS_MATCH + STATES * MAX_POS_STATES;
export const IS_REPEAT = IS_REPEAT0_LONG + STATES * MAX_POS_STATES;
export const IS_REPEAT0 = IS_REPEAT + STATES;
export const IS_REPEAT1 = IS_REPEAT0 + STATES;
export const IS_REPEAT2 = IS_REPEAT1 + STATES;
export const DISTANCE_SLOT = IS_REPEAT2 + STATES;
/** Reverse trees of all modelled slots; that of a slot begins at base - slot - 1 and counts from 1. */
export const DISTANCE_SPECIAL = DISTANCE_SLOT + DISTANCE_STATES * SLOTS + 1;
export const DISTANCE_ALIGN = DISTANCE_SPECIAL + FULL_DISTANCES;
/** Within a length coder: two choices, then its trees. */
export const LENGTH_CHOICE2 = 1;
export const LENGTH_LOW = 2;
export const LENGTH_MID = LENGTH_LOW + MAX_POS_STATES * 8;
export const LENGTH_HIGH = LENGTH_MID + MAX_POS_STATES * 8;
const LENGTH_SIZE = LENGTH_HIGH + 256;
export const MATCH_LENGTH = DISTANCE_ALIGN + ALIGN_SIZE;
export const REPEAT_LENGTH = MATCH_LENGTH + LENGTH_SIZE;
export const LITERAL = REPEAT_LENGTH + LENGTH_SIZE;
export const LITERAL_CODER = 0x300;

export interface LiteralProperties {
  /** Bits of the byte before that choose a literal coder. */
  lc: number;
  /** Bits of the position that do. */
  lp: number;
  /** Bits of the position that choose among the other models. */
  pb: number;
}

/** Undefined where LZMA2 does not allow it. */
export function propertiesOf(byte: number): LiteralProperties | undefined {
  if (byte > (4 * 5 + 4) * 9 + 8) return undefined;
  const lc = byte % 9;
  const lp = Math.floor(byte / 9) % 5;
  return lc + lp > 4 ? undefined : { lc, lp, pb: Math.floor(byte / 45) };
}

export function propertiesByte({ lc, lp, pb }: LiteralProperties): number {
  return (pb * 5 + lp) * 9 + lc;
}

export function probabilityCount({ lc, lp }: LiteralProperties): number {
  return LITERAL + (LITERAL_CODER << (lc + lp));
}

export function afterLiteral(state: number): number {
  if (state < 4) return 0;
  return state < 10 ? state - 3 : state - 6;
}

export function afterMatch(state: number): number {
  return state < 7 ? 7 : 10;
}

export function afterRepeat(state: number): number {
  return state < 7 ? 8 : 11;
}

export function afterShortRepeat(state: number): number {
  return state < 7 ? 9 : 11;
}

export function distanceState(length: number): number {
  return length < 6 ? length - MIN_MATCH : 3;
}

export function distanceSlot(distance: number): number {
  if (distance < 4) return distance;
  const top = 31 - Math.clz32(distance);
  return 2 * top + ((distance >>> (top - 1)) & 1);
}
