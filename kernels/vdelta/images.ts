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
