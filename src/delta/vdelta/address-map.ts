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
  const order = Uint32Array.from({ length: count }, (_, at) => at).sort(
    (a, b) => (unordered[a] as number) - (unordered[b] as number) || a - b,
  );
  order.forEach((from, to) => {
    for (let word = 0; word < WORDS; word++) {
      words[word * count + to] = unordered[word * count + from] as number;
    }
  });
}
