/** Sizes of the model's tables, as powers of two. */
export interface ModelSizes {
  /** Slots of the contexts' table of each of the three mixers, 4 bytes a slot. */
  slotBits: { flags: number; bytes: number; literals: number };
  /** Weight sets chosen by the first and by the second selector. */
  setBits: readonly [number, number];
  /** Rows of the two adaptive maps, 66 bytes a row. */
  mapBits: readonly [number, number];
  /** Entries of each learned map, 9 bytes an entry. */
  learnedBits: number;
  /** Latest bytes of the new image that literals may repeat, and entries of their index. */
  windowBits: number;
  indexBits: number;
}

/**
 * The memory profiles that a header may name: what the model takes at most when a patch is applied.
 * Buffers of the old and new image and the address map come on top; see `memoryToApply`.
 */
export const PROFILES = [
  {
    name: "64K",
    memoryBytes: 64 * 1024,
    sizes: {
      slotBits: { flags: 12, bytes: 11, literals: 11 },
      setBits: [4, 3],
      mapBits: [3, 3],
      learnedBits: 8,
      windowBits: 11,
      indexBits: 9,
    },
  },
  {
    name: "256K",
    memoryBytes: 256 * 1024,
    sizes: {
      slotBits: { flags: 13, bytes: 13, literals: 13 },
      setBits: [6, 5],
      mapBits: [6, 6],
      learnedBits: 10,
      windowBits: 13,
      indexBits: 11,
    },
  },
  {
    name: "4M",
    memoryBytes: 4 * 1024 * 1024,
    sizes: {
      slotBits: { flags: 18, bytes: 17, literals: 17 },
      setBits: [9, 9],
      mapBits: [8, 10],
      learnedBits: 14,
      windowBits: 18,
      indexBits: 15,
    },
  },
  {
    name: "64M",
    memoryBytes: 64 * 1024 * 1024,
    sizes: {
      slotBits: { flags: 22, bytes: 21, literals: 21 },
      setBits: [10, 11],
      mapBits: [10, 16],
      learnedBits: 18,
      windowBits: 22,
      indexBits: 19,
    },
  },
  {
    name: "12M",
    memoryBytes: 12 * 1024 * 1024,
    sizes: {
      slotBits: { flags: 18, bytes: 18, literals: 20 },
      setBits: [9, 9],
      mapBits: [8, 10],
      learnedBits: 14,
      windowBits: 20,
      indexBits: 17,
    },
  },
] as const satisfies readonly { name: string; memoryBytes: number; sizes: ModelSizes }[];

/** Profiles from here on are in patches of version 4 alone. */
export const FIRST_OF_4 = 4;

/** The largest profile below `end` that fits into `memoryBytes`, or undefined where none does. */
export function profileWithin(memoryBytes: number, end: number): number | undefined {
  let best: number | undefined;
  let mostBytes = 0;
  PROFILES.slice(0, end).forEach((profile, index) => {
    if (profile.memoryBytes > memoryBytes || profile.memoryBytes <= mostBytes) return;
    best = index;
    mostBytes = profile.memoryBytes;
  });
  return best;
}
