import type { BinaryCoder } from "./binary-coder.ts";
import { RECIPROCAL, SQUASH, squash, stretch } from "./tables.ts";

export interface MixerOptions {
  /** Contexts mixed for each decision. */
  contexts: number;
  slotBits: number;
  setBits: readonly [number, number];
  mapBits: readonly [number, number];
  /** Observations after which a counter no longer slows down, at most 255. */
  countLimit: number;
  learningRate: number;
}

/** Which weights and which rows of the maps serve a decision; reduced to the tables' sizes. */
export interface Selectors {
  first: number;
  second: number;
  firstMap: number;
  secondMap: number;
}

const MAP_POINTS = 33;
/** A confidence of more observations than this counts no more. */
const CONFIDENCE_LIMIT = 30;
const BIAS_INPUT = 40;
const INITIAL_WEIGHT = 62_259;
const MIN_PROBABILITY = 16;

/**
 * Predicts one bit from many hashed contexts by two sets of weights whose answers are averaged, and
 * refines the answer by two adaptive maps. Integers only.
 *
 * A slot is 16 bits of probability, 8 check bits, 8 bits of count: a context that was never seen is
 * known as such and has no say.
 */
export class ContextMixer {
  /** Set before `enter`. */
  readonly contexts: Int32Array;
  /** Set before each call of `code`. */
  readonly selectors: Selectors = { first: 0, second: 0, firstMap: 0, secondMap: 0 };
  readonly #count: number;
  readonly #slots: Int32Array;
  readonly #slotMask: number;
  readonly #weights: [Int32Array, Int32Array];
  readonly #maps: [Uint16Array, Uint16Array];
  readonly #setMasks: readonly [number, number];
  readonly #mapBits: readonly [number, number];
  /** Hashes of the contexts. */
  readonly #bases: Int32Array;
  readonly #inputs: Int32Array;
  readonly #chosen: Int32Array;
  readonly #countLimit: number;
  readonly #learningRate: number;

  constructor(options: MixerOptions) {
    const { contexts, slotBits, setBits, mapBits } = options;
    this.#count = contexts;
    this.contexts = new Int32Array(contexts);
    this.#slots = new Int32Array(2 ** slotBits).fill(1 << 31);
    this.#slotMask = 2 ** slotBits - 1;
    const inputs = 2 * contexts + 1;
    this.#weights = [initialWeights(contexts, setBits[0]), initialWeights(contexts, setBits[1])];
    this.#maps = [initialMap(mapBits[0]), initialMap(mapBits[1])];
    this.#setMasks = [2 ** setBits[0] - 1, 2 ** setBits[1] - 1];
    this.#mapBits = mapBits;
    this.#bases = new Int32Array(contexts);
    this.#inputs = new Int32Array(inputs);
    this.#chosen = new Int32Array(contexts);
    this.#countLimit = options.countLimit;
    this.#learningRate = options.learningRate;
  }

  /**
   * Takes the contexts for up to four decisions, `prefix` telling such groups apart. The slots of a
   * group lie within 16 neighbours, one line of a processor's cache.
   */
  enter(prefix: number): void {
    const { contexts } = this;
    const salt = Math.imul(prefix, 0x9e3779b1);
    for (let index = 0; index < this.#count; index++) {
      let hash = (contexts[index] as number) + salt + Math.imul(index, 0x632be5ab);
      hash = Math.imul(hash, 0x85ebca6b);
      hash ^= hash >>> 15;
      hash = Math.imul(hash, 0xc2b2ae35);
      this.#bases[index] = hash ^ (hash >>> 13);
    }
  }

  /** Codes one bit; `node`, 1 to 15, tells the decisions of a group apart. */
  code(coder: BinaryCoder, bit: number, node: number): number {
    const { first, second, firstMap, secondMap } = this.selectors;
    const inputs = this.#inputs;
    const last = inputs.length;
    const [weightsA, weightsB] = this.#weights;
    const baseA = (first & this.#setMasks[0]) * last;
    const baseB = (second & this.#setMasks[1]) * last;
    this.#look(node);
    let logitA = 0;
    let logitB = 0;
    for (let index = 0; index < last; index++) {
      const input = inputs[index] as number;
      logitA += Math.imul(weightsA[baseA + index] as number, input) >> 10;
      logitB += Math.imul(weightsB[baseB + index] as number, input) >> 10;
    }
    logitA = clampLogit(logitA >> 6);
    logitB = clampLogit(logitB >> 6);
    const probabilityA = SQUASH[logitA + 2048] as number;
    const probabilityB = SQUASH[logitB + 2048] as number;
    const logit = (logitA + logitB) >> 1;

    const position = logit + 2048;
    const low = position >> 7;
    const share = position & 127;
    const [mapA, mapB] = this.#maps;
    const rowA = fold(firstMap, this.#mapBits[0]) * MAP_POINTS + low;
    const rowB = fold(secondMap, this.#mapBits[1]) * MAP_POINTS + low;
    const refinedA = interpolate(mapA, rowA, share);
    const refinedB = interpolate(mapB, rowB, share);
    let probability = ((SQUASH[position] as number) * 2 + refinedA + refinedB) >> 2;
    if (probability < MIN_PROBABILITY) probability = MIN_PROBABILITY;
    else if (probability > 65536 - MIN_PROBABILITY) probability = 65536 - MIN_PROBABILITY;

    const coded = coder.code(bit, probability);
    const target = coded ? 65535 : 0;
    const nearer = share < 64 ? 0 : 1;
    mapA[rowA + nearer] = approach(mapA[rowA + nearer] as number, target, 6);
    mapB[rowB + nearer] = approach(mapB[rowB + nearer] as number, target, 6);
    const errorA = Math.imul(target - probabilityA, this.#learningRate) >> 6;
    const errorB = Math.imul(target - probabilityB, this.#learningRate) >> 6;
    for (let index = 0; index < last; index++) {
      const input = inputs[index] as number;
      const a = baseA + index;
      const b = baseB + index;
      weightsA[a] = (weightsA[a] as number) + ((Math.imul(input, errorA) + 8192) >> 14);
      weightsB[b] = (weightsB[b] as number) + ((Math.imul(input, errorB) + 8192) >> 14);
    }
    this.#learn(target);
    return coded;
  }

  /** Finds each context's slot and what it says. */
  #look(node: number): void {
    const bases = this.#bases;
    const chosen = this.#chosen;
    const mask = this.#slotMask;
    const mark = Math.imul(node, 0x1d);
    const slots = this.#slots;
    const inputs = this.#inputs;
    const count = this.#count;
    for (let index = 0; index < count; index++) {
      const base = bases[index] as number;
      const check = ((base >>> 24) ^ mark) & 0xff;
      let at = (base ^ node) & mask;
      let slot = slots[at] as number;
      if (((slot >>> 8) & 0xff) !== check) {
        const other = slots[at ^ 1] as number;
        if (((other >>> 8) & 0xff) === check) {
          at ^= 1;
          slot = other;
        } else {
          // The one of the two that has seen less makes room.
          if ((other & 0xff) < (slot & 0xff)) at ^= 1;
          slot = (1 << 31) | (check << 8);
          slots[at] = slot;
        }
      }
      chosen[index] = at;
      const seen = slot & 0xff;
      if (seen === 0) {
        inputs[index] = 0;
        inputs[count + index] = 0;
      } else {
        const probability = slot >>> 16;
        const confidence = seen > CONFIDENCE_LIMIT ? CONFIDENCE_LIMIT : seen;
        inputs[index] = stretch(probability);
        inputs[count + index] = Math.imul(probability - 32768, confidence) >> 11;
      }
    }
    inputs[2 * count] = BIAS_INPUT;
  }

  #learn(target: number): void {
    const slots = this.#slots;
    for (let index = 0; index < this.#count; index++) {
      const at = this.#chosen[index] as number;
      const slot = slots[at] as number;
      const seen = slot & 0xff;
      let probability = slot >>> 16;
      probability += Math.imul(target - probability, RECIPROCAL[seen] as number) >> 15;
      if (probability < 1) probability = 1;
      else if (probability > 65535) probability = 65535;
      const next = seen < this.#countLimit ? seen + 1 : seen;
      slots[at] = (probability << 16) | (slot & 0xff00) | next;
    }
  }
}

function initialWeights(contexts: number, setBits: number): Int32Array {
  const inputs = 2 * contexts + 1;
  const weights = new Int32Array(inputs * 2 ** setBits);
  const weight = Math.floor((INITIAL_WEIGHT * 64) / squareRootTimes64(contexts));
  for (let index = 0; index < weights.length; index++) {
    if (index % inputs < contexts) weights[index] = weight;
  }
  return weights;
}

/** floor(64 * sqrt(value)), in integers. */
function squareRootTimes64(value: number): number {
  let root = 0;
  while ((root + 1) * (root + 1) <= value * 4096) root += 1;
  return root;
}

function initialMap(bits: number): Uint16Array {
  const map = new Uint16Array(MAP_POINTS * 2 ** bits);
  for (let index = 0; index < map.length; index++) {
    map[index] = squash(((index % MAP_POINTS) - 16) * 128);
  }
  return map;
}

function clampLogit(logit: number): number {
  return logit > 2047 ? 2047 : logit < -2047 ? -2047 : logit;
}

function interpolate(map: Uint16Array, at: number, share: number): number {
  return ((map[at] as number) * (128 - share) + (map[at + 1] as number) * share) >> 7;
}

function approach(value: number, target: number, shift: number): number {
  return value + ((target - value) >> shift);
}

/** A selector of up to 16 bits in `bits` bits. */
function fold(value: number, bits: number): number {
  return (value ^ (value >>> bits)) & (2 ** bits - 1);
}
