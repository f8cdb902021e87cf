/**
 * The parts of both images that are in memory. A position is that of the whole image; adding it to
 * `sourceZero` or `targetZero` gives its address, whatever part is there.
 */
export let sourceZero: usize = 0;
export let sourceSize: i32 = 0;
export let targetZero: usize = 0;

export function setSource(zero: usize, size: i32): void {
  sourceZero = zero;
  sourceSize = size;
}

/** What guesses read before a place, and behind it. */
const MARGIN_BEFORE: i32 = 16;
const MARGIN_BEHIND: i32 = 64;

let loadedFrom: i32 = 0;
let loadedTo: i32 = -1;

/** Says which part of the old image is in memory. */
export function setLoaded(from: i32, to: i32): void {
  loadedFrom = from;
  loadedTo = to;
}

/** Whether so much of the old image is in memory, with what guesses read around it. */
export function isSourceThere(source: i32, length: i32): bool {
  const from = max(0, source - MARGIN_BEFORE);
  const to: i64 = min(<i64>sourceSize, <i64>source + length + MARGIN_BEHIND);
  return from >= loadedFrom && to <= <i64>loadedTo;
}

export function setTarget(zero: usize): void {
  targetZero = zero;
}

export function sourceByte(position: i32): i32 {
  return load<u8>(sourceZero + position);
}

/** 0 outside of the image. */
export function sourceNear(position: i32): i32 {
  return <u32>position < <u32>sourceSize ? <i32>load<u8>(sourceZero + position) : 0;
}

/** The caller has made sure that four bytes are there. */
export function sourceWord(position: i32): i32 {
  return load<i32>(sourceZero + position);
}

export function targetByte(position: i32): i32 {
  return load<u8>(targetZero + position);
}

export function targetWord(position: i32): i32 {
  return load<i32>(targetZero + position);
}

/** The n-th byte before a place of the new image; 0 before its beginning. */
export function before(target: i32, distance: i32): i32 {
  return target < distance ? 0 : <i32>load<u8>(targetZero + target - distance);
}
