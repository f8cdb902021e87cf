import { codesFor, expectedHead, headBits } from "./encoder.ts";
import { type DeflateStream, DYNAMIC, STORED } from "./inflate.ts";
import { type SearchSettings, TokenPredictor } from "./predictor.ts";
import {
  type BlockPlan,
  Content,
  type Correction,
  type DeflatePlan,
  storedBytes,
} from "./rebuild.ts";

/** Likeliest first: the best level (kernels, squashfs), the usual one, the rest. */
const LEVELS_TO_TRY = [9, 6, 8, 7, 5, 4, 1, 2, 3] as const;
const HASH_BITS = [15, 16] as const;
/** The way is chosen by so much of a stream. */
const SAMPLE_TOKENS = 20_000;
/** As many wrong guesses in a sample are taken as right without trying on. */
const FEW_MISSES = 8;

/** How to make the stream again, with the search that guesses best; `first` is tried before. */
export async function planDeflate(
  bytes: Uint8Array,
  stream: DeflateStream,
  first: SearchSettings | undefined,
): Promise<DeflatePlan> {
  const search = await chooseSearch(stream, first);
  const corrections = await correct(stream, search, Number.POSITIVE_INFINITY);
  return { search, blocks: blockPlans(bytes, stream), corrections };
}

async function chooseSearch(
  stream: DeflateStream,
  first: SearchSettings | undefined,
): Promise<SearchSettings> {
  const ways = LEVELS_TO_TRY.flatMap((level) => HASH_BITS.map((hashBits) => ({ level, hashBits })));
  let best: SearchSettings = ways[0] as SearchSettings;
  let fewest = Number.POSITIVE_INFINITY;
  for (const way of first ? [first, ...ways] : ways) {
    const { length } = await correct(stream, way, SAMPLE_TOKENS);
    if (length >= fewest) continue;
    fewest = length;
    best = way;
    if (fewest <= FEW_MISSES) break;
  }
  return best;
}

/** Where the guesses are wrong, in the first so many tokens. */
async function correct(
  { content, tokens, blocks }: DeflateStream,
  search: SearchSettings,
  maxTokens: number,
): Promise<Correction[]> {
  const predictor = new TokenPredictor(search);
  const feed = new Content([content], predictor, () => {});
  const corrections: Correction[] = [];
  let gap = 0;
  let at = 0;
  for (const { type, count } of blocks) {
    if (at >= maxTokens) break;
    if (type === STORED) {
      await storedBytes(predictor, feed, count);
      continue;
    }
    for (const end = Math.min(at + count, maxTokens); at < end; at++) {
      if (feed.isWanting) await feed.fill();
      const token = tokens[at] as number;
      if (predictor.predict() === token) {
        gap += 1;
      } else {
        corrections.push({ gap, token });
        gap = 0;
      }
      predictor.accept(token);
    }
  }
  return corrections;
}

function blockPlans(bytes: Uint8Array, { tokens, blocks }: DeflateStream): BlockPlan[] {
  let at = 0;
  return blocks.map(({ type, count, head }) => {
    if (type === STORED) return { type, count, head: undefined };
    at += count;
    if (type !== DYNAMIC || !head) return { type, count, head: undefined };
    const expected = expectedHead(codesFor(tokens.subarray(at - count, at)));
    const found = headBits(bytes, head);
    // The one has its last bits padded with zeros, the other's first byte says how many they are.
    const isExpected = Buffer.compare(expected, found.subarray(1)) === 0;
    return { type, count, head: isExpected ? undefined : found };
  });
}
