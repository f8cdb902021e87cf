import { Kernel } from "./kernel.ts";

/** `length` bytes of the new image at `target` that are like those of the old image at `source`. */
export interface Region {
  source: number;
  target: number;
  length: number;
}

const WORDS = 3;
/** What the kernel takes for itself. */
const KERNEL_BYTES = 512 * 1024;

/** Where a place of the old image went. */
export class AddressMap {
  readonly #kernel: Kernel;

  constructor(regions: readonly Region[]) {
    const bytes = regions.length * WORDS * 4;
    this.#kernel = new Kernel(bytes + KERNEL_BYTES);
    const at = this.#kernel.reserve(bytes);
    this.#kernel.commit();
    writeRegions(this.#kernel.words(at, regions.length * WORDS), regions);
    this.#kernel.run.setAddressMap(at, regions.length);
  }

  /**
   * For places and addresses, 32-bit words with a sign. The longest region that holds the place
   * decides; between regions, the nearer neighbour.
   */
  map(place: number): number {
    return this.#kernel.run.map(place);
  }
}

/** Fills `words` with all sources, all targets, all lengths, in the order of the sources. */
export function writeRegions(words: Int32Array, regions: Iterable<Region>): void {
  const count = words.length / WORDS;
  const unordered = new Int32Array(words.length);
  let index = 0;
  for (const region of regions) {
    unordered[index] = region.source;
    unordered[count + index] = region.target;
    unordered[2 * count + index] = region.length;
    index += 1;
  }
  // Regions come in the order of their targets, which is kept among equal sources.
  orderOf(unordered.subarray(0, count)).forEach((from, to) => {
    for (let word = 0; word < WORDS; word++) {
      words[word * count + to] = unordered[word * count + from] as number;
    }
  });
}

/** Indices by ascending value, of values that are not negative; equal ones stay in their order. */
function orderOf(values: Int32Array): Uint32Array {
  let order = Uint32Array.from(values.keys());
  let sorted = new Uint32Array(values.length);
  for (let shift = 0; shift < 32; shift += 8) {
    const digitOf = (value: number) => (value >>> shift) & 255;
    const ends = new Uint32Array(256);
    for (const value of values) ends[digitOf(value)] = (ends[digitOf(value)] as number) + 1;
    for (let digit = 1, sum = ends[0] as number; digit < 256; digit++) {
      sum += ends[digit] as number;
      ends[digit] = sum;
    }
    for (let at = order.length - 1; at >= 0; at--) {
      const index = order[at] as number;
      const digit = digitOf(values[index] as number);
      const end = (ends[digit] as number) - 1;
      ends[digit] = end;
      sorted[end] = index;
    }
    [order, sorted] = [sorted, order];
  }
  return order;
}
