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

/** No address: outside of every space. */
export const NOWHERE = -1;

/** Knows the space of the present place, and translates the addresses that its module uses. */
export class AddressSpaces {
  readonly #spaces: readonly AddressSpace[];
  readonly #map: AddressMap;
  #current: AddressSpace | null = null;
  #module: readonly AddressSpace[] = [];

  constructor(spaces: readonly AddressSpace[], map: AddressMap) {
    this.#spaces = [...spaces].sort((a, b) => a.source - b.source);
    this.#map = map;
  }

  /** Tells where in the old image we are; returns whether the place has addresses. */
  enter(source: number): boolean {
    const current = this.#current;
    if (current && source >= current.source && source < current.source + current.length) {
      return true;
    }
    this.#current = null;
    const spaces = this.#spaces;
    if (spaces.length === 0) return false;
    let low = 0;
    let high = spaces.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((spaces[middle] as AddressSpace).source <= source) low = middle + 1;
      else high = middle;
    }
    const found = spaces[low - 1];
    if (!found || source >= found.source + found.length) return false;
    if (this.#module[0]?.module !== found.module) {
      this.#module = spaces.filter((space) => space.module === found.module);
    }
    this.#current = found;
    return true;
  }

  /** Address of a place of the old image near the present one; the place itself outside of spaces. */
  addressOfSource(source: number): number {
    const current = this.#current;
    return current ? (source - current.source + current.sourceAddress) >>> 0 : source;
  }

  addressOfTarget(target: number): number {
    const current = this.#current;
    return current ? (target - current.target + current.targetAddress) >>> 0 : target;
  }

  /** Where the thing at an address of the old image is in the new one, or NOWHERE. */
  translate(address: number): number {
    for (let index = 0; index < this.#module.length; index++) {
      const space = this.#module[index] as AddressSpace;
      const within = (address - space.sourceAddress) >>> 0;
      if (within < space.length) {
        const target = this.#map.map(space.source + within);
        return (target - space.target + space.targetAddress) >>> 0;
      }
    }
    return NOWHERE;
  }
}
