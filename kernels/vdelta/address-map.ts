/** How many regions before the nearest one may still hold an address, where regions overlap. */
const LOOK_BACK: i32 = 5;
const BUCKETS: i32 = 4096;

let sources: usize = 0;
let targets: usize = 0;
let lengths: usize = 0;
let count: i32 = 0;
/** For each stretch of 2^bucketShift places, how many regions begin before it. */
const bucketStarts = memory.data((BUCKETS + 2) * 4);
let bucketShift: i32 = 0;

/** `regions`: sources, targets and lengths, one array behind the other, ordered by source. */
export function setAddressMap(regions: usize, regionCount: i32): void {
  sources = regions;
  targets = regions + ((<usize>regionCount) << 2);
  lengths = targets + ((<usize>regionCount) << 2);
  count = regionCount;
  const last = count > 0 ? sourceOf(count - 1) : 0;
  bucketShift = 0;
  while (last >> bucketShift >= BUCKETS) bucketShift += 1;
  let index = 0;
  for (let bucket = 0; bucket <= BUCKETS; bucket++) {
    const from: i64 = (<i64>bucket) << bucketShift;
    while (index < count && <i64>sourceOf(index) < from) index += 1;
    store<i32>(bucketStarts + ((<usize>bucket) << 2), index);
  }
}

function sourceOf(index: i32): i32 {
  return load<i32>(sources + ((<usize>index) << 2));
}

function targetOf(index: i32): i32 {
  return load<i32>(targets + ((<usize>index) << 2));
}

function lengthOf(index: i32): i32 {
  return load<i32>(lengths + ((<usize>index) << 2));
}

/** How many regions begin at a place or before it. */
function beginningBy(place: i32): i32 {
  let low = 0;
  let high = count;
  const bucket = place >> bucketShift;
  if (bucket >= 0 && bucket < BUCKETS) {
    low = load<i32>(bucketStarts + ((<usize>bucket) << 2));
    high = load<i32>(bucketStarts + ((<usize>bucket) << 2), 4);
  } else if (bucket >= BUCKETS) {
    return count;
  } else {
    return 0;
  }
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sourceOf(middle) <= place) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * For places and addresses, 32-bit words with a sign. The longest region that holds the place
 * decides; between regions, the nearer neighbour.
 */
export function map(place: i32): i32 {
  const low = beginningBy(place);
  if (low === 0) return place;
  let at = place;
  let longest = 0;
  for (let index = low - 1; index >= 0 && index >= low - LOOK_BACK; index--) {
    const length = lengthOf(index);
    if (length > longest && <i64>place < <i64>sourceOf(index) + length) {
      at = targetOf(index) + place - sourceOf(index);
      longest = length;
    }
  }
  if (longest > 0) return at;
  const last = low - 1;
  const end: i64 = <i64>sourceOf(last) + lengthOf(last);
  if (low < count && <i64>place - end > <i64>sourceOf(low) - place) {
    return targetOf(low) - (sourceOf(low) - place);
  }
  return targetOf(last) + place - sourceOf(last);
}
