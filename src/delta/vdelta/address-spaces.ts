import type { AddressMap } from "./address-map.ts";

/**
 * Bytes of the old image that run at addresses of their own, and where the same part of the new
 * image lies and runs. Spaces of one module (a firmware, an ELF file) point at each other. Addresses
 * are the low 32 bits.
 */
export interface AddressSpace {
  module: number;
  /** In the old image. */
  source: number;
  length: number;
  sourceAddress: number;
  /** In the new image. */
  target: number;
  targetAddress: number;
}

/**
 * Knows the space of the present place, and translates the addresses that its module uses. Addresses
 * are 32-bit words with a sign here.
 */
export class AddressSpaces {
  /** Where the thing went that `translate` was asked for. */
  translated = 0;
  readonly #spaces: readonly AddressSpace[];
  readonly #map: AddressMap;
  /** The stretch of the old image that the present space, or the gap between spaces, fills. */
  #from = 0;
  #to = 0;
  #isInside = false;
  #module: readonly AddressSpace[] = [];
  /** What makes an address of a place. */
  #sourceShift = 0;
  #targetShift = 0;

  /** The spaces are in the old image's order and do not overlap. */
  constructor(spaces: readonly AddressSpace[], map: AddressMap) {
    this.#spaces = spaces;
    this.#map = map;
  }

  /** Tells where in the old image we are; returns whether the place has addresses. */
  enter(source: number): boolean {
    if (source < this.#from || source >= this.#to) this.#find(source);
    return this.#isInside;
  }

  /** Whether a place lies in the same space, or outside of spaces, as the present one. */
  holds(source: number): boolean {
    return source >= this.#from && source < this.#to;
  }

  #find(source: number): void {
    const spaces = this.#spaces;
    let low = 0;
    let high = spaces.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((spaces[middle] as AddressSpace).source <= source) low = middle + 1;
      else high = middle;
    }
    const found = spaces[low - 1];
    this.#isInside = found !== undefined && source < found.source + found.length;
    if (this.#isInside && found) {
      this.#from = found.source;
      this.#to = found.source + found.length;
      this.#sourceShift = (found.sourceAddress - found.source) | 0;
      this.#targetShift = (found.targetAddress - found.target) | 0;
      if (this.#module[0]?.module !== found.module) this.#module = moduleAround(spaces, low - 1);
    } else {
      this.#from = found ? found.source + found.length : 0;
      this.#to = spaces[low]?.source ?? 2 ** 31;
      this.#sourceShift = 0;
      this.#targetShift = 0;
    }
  }

  /** Address of a place of the old image near the present one; the place itself outside of spaces. */
  addressOfSource(source: number): number {
    return (source + this.#sourceShift) | 0;
  }

  addressOfTarget(target: number): number {
    return (target + this.#targetShift) | 0;
  }

  /**
   * Finds where the thing at an address of the old image is in the new one. False where the address
   * is outside of the module; outside of all spaces addresses are places.
   */
  translate(address: number): boolean {
    if (!this.#isInside) {
      this.translated = this.#map.map(address);
      return true;
    }
    const module = this.#module;
    for (let index = 0; index < module.length; index++) {
      const space = module[index] as AddressSpace;
      const within = (address - space.sourceAddress) >>> 0;
      if (within < space.length) {
        const target = this.#map.map(space.source + within);
        this.translated = (target - space.target + space.targetAddress) | 0;
        return true;
      }
    }
    return false;
  }
}

/** The spaces of one module lie side by side. */
function moduleAround(spaces: readonly AddressSpace[], at: number): AddressSpace[] {
  const { module } = spaces[at] as AddressSpace;
  let first = at;
  let end = at;
  while (spaces[first - 1]?.module === module) first -= 1;
  while (spaces[end]?.module === module) end += 1;
  return spaces.slice(first, end);
}
