// The hot loops of vdelta, compiled to WebAssembly by tools/build-kernels.ts. One instance serves one
// patch; its memory is laid out by src/delta/vdelta/kernel.ts, behind `heapBase`.
import { makeTables } from "./tables";

export { map, setAddressMap } from "./address-map";
export {
  beginBlock,
  decodeSteps,
  encodeRegion,
  gapsUsed,
  isBlockCorrupt,
  isBlockDone,
  missesUsed,
  openBlock,
  openLiterals,
  openSteps,
  wantedEnd,
  wantedFrom,
} from "./fast";
export { enterRegion } from "./guesser";
export { setLoaded, setSource, setTarget } from "./images";
export { setLearned } from "./learned";
export { codeLiterals, enterLiterals } from "./literal-model";
export { mixerBytes } from "./mixer";
export { codeNumber, isImpossible } from "./numbers";
export {
  beginCoding,
  bufferUsed,
  finishCoding,
  isCutShort,
  setBuffer,
} from "./range-coder";
export { codeRegion, enterModelRegion } from "./region-model";
export { setSpaces } from "./spaces";

import { resetGuesser } from "./guesser";
import { setProcessor } from "./instructions";
import { literalMixer, setUpLiterals } from "./literal-model";
import { setUpMixer } from "./mixer";
import { resetNumbers } from "./numbers";
import { byteMixer, flagMixer, resetRegionModel } from "./region-model";

/** 256 bytes for each of the mixers. */
const scratch = memory.data(768, 16);

export function heapBase(): usize {
  return __heap_base;
}

/** To be called first. */
export function reset(processor: i32): void {
  setProcessor(processor);
  resetGuesser();
}

/** To be called before anything of the small coder. */
export function resetModel(): void {
  makeTables();
  resetNumbers();
  resetRegionModel();
}

export function setUpFlags(
  at: usize,
  slotBits: i32,
  sA: i32,
  sB: i32,
  mA: i32,
  mB: i32,
  early: i32,
): void {
  setUpMixer(flagMixer, scratch, at, 12, slotBits, sA, sB, mA, mB, 250, 6, early, 14);
}

export function setUpBytes(
  at: usize,
  slotBits: i32,
  sA: i32,
  sB: i32,
  mA: i32,
  mB: i32,
  early: i32,
): void {
  setUpMixer(byteMixer, scratch + 256, at, 14, slotBits, sA, sB, mA, mB, 120, 4, early, 12);
}

export function setUpLiteralMixer(
  at: usize,
  slotBits: i32,
  sA: i32,
  sB: i32,
  mA: i32,
  mB: i32,
  early: i32,
): void {
  setUpMixer(literalMixer, scratch + 512, at, 14, slotBits, sA, sB, mA, mB, 127, 4, early, 14);
}

export { setUpLiterals };
