/** `length` bytes of the new image at `target` that are like those of the old image at `source`. */
export interface Region {
  source: number;
  target: number;
  length: number;
}

/** How many regions before the nearest one may still hold an address, where regions overlap. */
const LOOK_BACK = 5;

/** Where a place of the old image went. Holds 12 bytes a region. */
export class AddressMap {
  readonly #sources: Int32Array;
  readonly #targets: Int32Array;
  readonly #lengths: Int32Array;

  constructor(count: number, regions: Iterable<Region>) {
    const sources = new Int32Array(count);
    const targets = new Int32Array(count);
    const lengths = new Int32Array(count);
    let index = 0;
    for (const region of regions) {
      sources[index] = region.source;
      targets[index] = region.target;
      lengths[index] = region.length;
      index += 1;
    }
    // Regions come in the order of their targets, which is kept among equal sources.
    const order = Uint32Array.from({ length: count }, (_, at) => at).sort(
      (a, b) => (sources[a] as number) - (sources[b] as number) || a - b,
    );
    this.#sources = inOrder(sources, order);
    this.#targets = inOrder(targets, order);
    this.#lengths = inOrder(lengths, order);
  }

  static of(regions: readonly Region[]): AddressMap {
    return new AddressMap(regions.length, regions);
  }

  /**
   * For places and addresses, 32-bit words with a sign. The longest region that holds the place
   * decides; between regions, the nearer neighbour.
   */
  map(place: number): number {
    const sources = this.#sources;
    let low = 0;
    let high = sources.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sources[middle] as number) <= place) low = middle + 1;
      else high = middle;
    }
    let found = place;
    let longest = 0;
    for (let index = low - 1; index >= 0 && index >= low - LOOK_BACK; index--) {
      const length = this.#lengths[index] as number;
      if (place < (sources[index] as number) + length && length > longest) {
        found = (this.#targets[index] as number) + place - (sources[index] as number);
        longest = length;
      }
    }
    if (longest > 0 || low === 0) return found | 0;
    const before = low - 1;
    const end = (sources[before] as number) + (this.#lengths[before] as number);
    const next = sources[low];
    if (next !== undefined && place - end > next - place) {
      return ((this.#targets[low] as number) - (next - place)) | 0;
    }
    return ((this.#targets[before] as number) + place - (sources[before] as number)) | 0;
  }
}

function inOrder(values: Int32Array, order: Uint32Array): Int32Array {
  const ordered = new Int32Array(order.length);
  for (let index = 0; index < order.length; index++) {
    ordered[index] = values[order[index] as number] as number;
  }
  return ordered;
}
