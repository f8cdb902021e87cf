// Rows of a mixer's weights, worked on four at a time.

/** A row: for what each context says, the bias, and how sure each context is. */
export const ROW_BYTES: usize = 128;
const INITIAL_WEIGHT: i32 = 62259;

/** Equal weights for what each context says, none for how sure it is. */
export function setUpWeights(at: usize, count: i32, rows: i32): void {
  // floor(64 * sqrt(count)), in integers.
  let root = 0;
  while ((root + 1) * (root + 1) <= count * 4096) root += 1;
  const weight = (INITIAL_WEIGHT * 64) / root;
  for (let row = 0; row < rows; row++) {
    for (let input = 0; input < count; input++) {
      store<i32>(at + <usize>row * ROW_BYTES + ((<usize>input) << 2), weight);
    }
  }
}

/** What a row of weights makes of the inputs; written out, as loops of eight rounds cost more than their work. */
export function weigh(weights: usize, inputs: usize): i32 {
  let sumA = share(v128.load(weights), v128.load(inputs));
  let sumB = share(v128.load(weights, 16), v128.load(inputs, 16));
  sumA = i32x4.add(sumA, share(v128.load(weights, 32), v128.load(inputs, 32)));
  sumB = i32x4.add(sumB, share(v128.load(weights, 48), v128.load(inputs, 48)));
  sumA = i32x4.add(sumA, share(v128.load(weights, 64), v128.load(inputs, 64)));
  sumB = i32x4.add(sumB, share(v128.load(weights, 80), v128.load(inputs, 80)));
  sumA = i32x4.add(sumA, share(v128.load(weights, 96), v128.load(inputs, 96)));
  sumB = i32x4.add(sumB, share(v128.load(weights, 112), v128.load(inputs, 112)));
  return sumOf(i32x4.add(sumA, sumB));
}

function share(weights: v128, inputs: v128): v128 {
  return i32x4.shr_s(i32x4.mul(weights, inputs), 10);
}

/** Moves a row of weights by what it was wrong. */
export function adjust(weights: usize, inputs: usize, error: i32): void {
  const by = i32x4.splat(error);
  v128.store(weights, moved(v128.load(weights, 0), v128.load(inputs, 0), by), 0);
  v128.store(weights, moved(v128.load(weights, 16), v128.load(inputs, 16), by), 16);
  v128.store(weights, moved(v128.load(weights, 32), v128.load(inputs, 32), by), 32);
  v128.store(weights, moved(v128.load(weights, 48), v128.load(inputs, 48), by), 48);
  v128.store(weights, moved(v128.load(weights, 64), v128.load(inputs, 64), by), 64);
  v128.store(weights, moved(v128.load(weights, 80), v128.load(inputs, 80), by), 80);
  v128.store(weights, moved(v128.load(weights, 96), v128.load(inputs, 96), by), 96);
  v128.store(weights, moved(v128.load(weights, 112), v128.load(inputs, 112), by), 112);
}

function moved(weights: v128, inputs: v128, error: v128): v128 {
  const change = i32x4.shr_s(i32x4.add(i32x4.mul(inputs, error), i32x4.splat(8192)), 14);
  return i32x4.add(weights, change);
}

function sumOf(lanes: v128): i32 {
  return (
    i32x4.extract_lane(lanes, 0) +
    i32x4.extract_lane(lanes, 1) +
    i32x4.extract_lane(lanes, 2) +
    i32x4.extract_lane(lanes, 3)
  );
}
