import { randomBytes } from "node:crypto";

/** Chance as the code may know it. Injected, so that a failing run can be repeated from its seed. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
}

/** The operating system's generator. */
export const systemRandom: Random = {
  next: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
};

/** A repeatable sequence (xoshiro128**), good for simulation and useless for secrets. */
export function seededRandom(seed: number): Random {
  const state = new Uint32Array(4);
  let mixed = seed >>> 0;
  for (let index = 0; index < 4; index += 1) {
    // SplitMix32 spreads a small seed over the whole state.
    mixed = (mixed + 0x9e3779b9) >>> 0;
    let word = mixed;
    word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    state[index] = (word ^ (word >>> 16)) >>> 0;
  }
  const rotate = (word: number, bits: number) => (word << bits) | (word >>> (32 - bits));
  return {
    next() {
      const [s0, s1, s2, s3] = state as unknown as [number, number, number, number];
      const result = Math.imul(rotate(Math.imul(s1, 5), 7), 9) >>> 0;
      const t2 = s2 ^ s0;
      const t3 = s3 ^ s1;
      state[1] = s1 ^ t2;
      state[0] = s0 ^ t3;
      state[2] = t2 ^ (s1 << 9);
      state[3] = rotate(t3, 11);
      return result / 2 ** 32;
    },
  };
}

/** Uniform integer in [0, bound). */
export function randomInteger(random: Random, bound: number): number {
  return Math.floor(random.next() * bound);
}
