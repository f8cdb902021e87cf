import { refusePatch } from "../../format.ts";
import type { BitReader, BitWriter } from "./bits.ts";
import { codesOf, HuffmanReader } from "./huffman.ts";
import { CODE_ORDER, LENGTH_CODES } from "./tables.ts";

const MAX_BITS = 15;
const MAX_LENGTH_BITS = 7;
const REPEAT = 16;
const SHORT_ZEROS = 17;
const LONG_ZEROS = 18;

/**
 * Code lengths for these counts as zlib and gzip choose them: a heap that prefers the rarer, of equal
 * ones the less deep, of equal ones as the heap has it; what is too long is shortened from below.
 */
export function treeLengths(counts: Uint32Array, maxBits: number): Uint8Array {
  const size = counts.length;
  const weights = new Float64Array(2 * size + 1);
  weights.set(counts);
  const depths = new Uint8Array(2 * size + 1);
  const parents = new Int32Array(2 * size + 1);
  const heap: number[] = [0];
  let last = -1;
  for (let symbol = 0; symbol < size; symbol++) {
    if (counts[symbol] === 0) continue;
    heap.push(symbol);
    last = symbol;
  }
  // At least two codes, so that no length is zero bits.
  while (heap.length < 3) {
    const symbol = last < 2 ? ++last : 0;
    heap.push(symbol);
    weights[symbol] = 1;
  }
  const order = buildTree(heap, { weights, depths, parents }, size);
  return limitLengths(order, parents, last, size, maxBits);
}

interface Nodes {
  weights: Float64Array;
  depths: Uint8Array;
  parents: Int32Array;
}

/** Joins the two rarest until one is left; the nodes from the root on. */
function buildTree(heap: number[], nodes: Nodes, size: number): number[] {
  const { weights, depths, parents } = nodes;
  for (let at = (heap.length - 1) >> 1; at >= 1; at--) siftDown(heap, at, nodes);
  const taken: number[] = [];
  let node = size;
  do {
    const rarest = heap[1] as number;
    heap[1] = heap.pop() as number;
    siftDown(heap, 1, nodes);
    const second = heap[1] as number;
    taken.push(rarest, second);
    weights[node] = (weights[rarest] as number) + (weights[second] as number);
    depths[node] = Math.max(depths[rarest] as number, depths[second] as number) + 1;
    parents[rarest] = node;
    parents[second] = node;
    heap[1] = node++;
    siftDown(heap, 1, nodes);
  } while (heap.length > 2);
  taken.push(heap[1] as number);
  return taken.reverse();
}

function siftDown(heap: number[], from: number, nodes: Nodes): void {
  const moved = heap[from] as number;
  let at = from;
  for (let child = 2 * at; child < heap.length; child = 2 * at) {
    const other = heap[child + 1];
    if (other !== undefined && isRarer(other, heap[child] as number, nodes)) child += 1;
    if (isRarer(moved, heap[child] as number, nodes)) break;
    heap[at] = heap[child] as number;
    at = child;
  }
  heap[at] = moved;
}

function isRarer(a: number, b: number, { weights, depths }: Nodes): boolean {
  const left = weights[a] as number;
  const right = weights[b] as number;
  return left < right || (left === right && (depths[a] as number) <= (depths[b] as number));
}

function limitLengths(
  order: readonly number[],
  parents: Int32Array,
  last: number,
  size: number,
  maxBits: number,
): Uint8Array {
  const lengths = new Uint8Array(parents.length);
  const counts = new Int32Array(maxBits + 2);
  let overflow = 0;
  for (const node of order.slice(1)) {
    let bits = (lengths[parents[node] as number] as number) + 1;
    if (bits > maxBits) {
      bits = maxBits;
      overflow += 1;
    }
    lengths[node] = bits;
    if (node <= last) counts[bits] = (counts[bits] as number) + 1;
  }
  if (overflow === 0) return lengths.slice(0, size);
  for (; overflow > 0; overflow -= 2) {
    let bits = maxBits - 1;
    while (counts[bits] === 0) bits -= 1;
    counts[bits] = (counts[bits] as number) - 1;
    counts[bits + 1] = (counts[bits + 1] as number) + 2;
    counts[maxBits] = (counts[maxBits] as number) - 1;
  }
  let at = order.length;
  for (let bits = maxBits; bits > 0; bits--) {
    for (let left = counts[bits] as number; left > 0; ) {
      const node = order[--at] as number;
      if (node > last) continue;
      lengths[node] = bits;
      left -= 1;
    }
  }
  return lengths.slice(0, size);
}

export interface BlockCodes {
  literals: Uint8Array;
  distances: Uint8Array;
}

/** The codes that zlib and gzip choose for a block with these counts. */
export function blockCodes(literals: Uint32Array, distances: Uint32Array): BlockCodes {
  return {
    literals: treeLengths(literals, MAX_BITS),
    distances: treeLengths(distances, MAX_BITS),
  };
}

/** Writes the codes as the head of a dynamic block: RFC 1951 §3.2.7. */
export function writeCodes(output: BitWriter, { literals, distances }: BlockCodes): void {
  const literalCount = Math.max(257, lastUsed(literals) + 1);
  const distanceCount = Math.max(1, lastUsed(distances) + 1);
  const runs = [
    ...runsOf(literals.subarray(0, literalCount)),
    ...runsOf(distances.subarray(0, distanceCount)),
  ];
  const counts = new Uint32Array(LENGTH_CODES);
  for (const { symbol } of runs) counts[symbol] = (counts[symbol] as number) + 1;
  const lengths = treeLengths(counts, MAX_LENGTH_BITS);
  let told = LENGTH_CODES;
  while (told > 4 && lengths[CODE_ORDER[told - 1] as number] === 0) told -= 1;
  output.bits(literalCount - 257, 5);
  output.bits(distanceCount - 1, 5);
  output.bits(told - 4, 4);
  for (const symbol of CODE_ORDER.slice(0, told)) output.bits(lengths[symbol] as number, 3);
  const codes = codesOf(lengths);
  for (const { symbol, extra, bits } of runs) {
    output.bits(codes[symbol] as number, lengths[symbol] as number);
    output.bits(extra, bits);
  }
}

function lastUsed(lengths: Uint8Array): number {
  let last = lengths.length - 1;
  while (last >= 0 && lengths[last] === 0) last -= 1;
  return last;
}

interface Run {
  symbol: number;
  extra: number;
  bits: number;
}

/** Lengths with their repetitions, each table by itself, as zlib writes them. */
function runsOf(lengths: Uint8Array): Run[] {
  const runs: Run[] = [];
  let previous = -1;
  for (let at = 0; at < lengths.length; ) {
    const length = lengths[at] as number;
    const most = length === 0 ? 138 : length === previous ? 6 : 7;
    let count = 1;
    while (count < most && lengths[at + count] === length) count += 1;
    at += count;
    const least = length === 0 ? 3 : length === previous ? 3 : 4;
    if (count < least) {
      for (let index = 0; index < count; index++) runs.push({ symbol: length, extra: 0, bits: 0 });
    } else if (length !== 0) {
      if (length !== previous) {
        runs.push({ symbol: length, extra: 0, bits: 0 });
        count -= 1;
      }
      runs.push({ symbol: REPEAT, extra: count - 3, bits: 2 });
    } else if (count <= 10) {
      runs.push({ symbol: SHORT_ZEROS, extra: count - 3, bits: 3 });
    } else {
      runs.push({ symbol: LONG_ZEROS, extra: count - 11, bits: 7 });
    }
    previous = length;
  }
  return runs;
}

/** Reads the codes from the head of a dynamic block. */
export function readCodes(input: BitReader): BlockCodes {
  const literalCount = input.bits(5) + 257;
  const distanceCount = input.bits(5) + 1;
  const told = input.bits(4) + 4;
  const codeLengths = new Uint8Array(LENGTH_CODES);
  for (const symbol of CODE_ORDER.slice(0, told)) codeLengths[symbol] = input.bits(3);
  const reader = new HuffmanReader(codeLengths);
  const lengths = new Uint8Array(literalCount + distanceCount);
  for (let at = 0; at < lengths.length; ) {
    const symbol = reader.read(input);
    if (symbol < REPEAT) {
      lengths[at++] = symbol;
      continue;
    }
    if (symbol === REPEAT && at === 0) throw refusePatch("a deflate stream repeats nothing");
    const count =
      symbol === REPEAT
        ? 3 + input.bits(2)
        : symbol === SHORT_ZEROS
          ? 3 + input.bits(3)
          : 11 + input.bits(7);
    if (at + count > lengths.length) throw refusePatch("a deflate stream repeats too often");
    lengths.fill(symbol === REPEAT ? (lengths[at - 1] as number) : 0, at, at + count);
    at += count;
  }
  return {
    literals: lengths.slice(0, literalCount),
    distances: lengths.slice(literalCount),
  };
}
