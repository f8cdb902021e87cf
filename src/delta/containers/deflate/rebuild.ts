import { refusePatch } from "../../format.ts";
import type { ByteReader } from "../byte-reader.ts";
import type { ByteWriter } from "../byte-writer.ts";
import { BlockWriter } from "./encoder.ts";
import { DYNAMIC, STORED } from "./inflate.ts";
import {
  LEVELS,
  LOOK_AHEAD,
  MAX_FEED_BYTES,
  type SearchSettings,
  TokenPredictor,
} from "./predictor.ts";
import { distanceOf, lengthOf, MAX_MATCH, matchToken, sizeOf, type Token } from "./tables.ts";

/** What a packer did otherwise than expected: after so many right guesses, this token. */
export interface Correction {
  gap: number;
  token: Token;
}

export interface BlockPlan {
  type: number;
  /** Tokens; of a stored block bytes. */
  count: number;
  /** Undefined: the codes that zlib would choose. */
  head: Uint8Array | undefined;
}

export interface DeflatePlan {
  search: SearchSettings;
  blocks: BlockPlan[];
  corrections: Correction[];
}

/** The tokens of a block are kept until its codes are known. */
export const MAX_BLOCK_TOKENS = 2 ** 20;
const MAX_STORED_BYTES = 65_535;
const MAX_BLOCKS = 2 ** 24;
const MAX_CORRECTIONS = 2 ** 26;
const MAX_HEAD_BYTES = 512;
const AHEAD_BYTES = LOOK_AHEAD + MAX_MATCH;
const IS_EXPLICIT = 4;

export function writePlan(writer: ByteWriter, { search, blocks, corrections }: DeflatePlan): void {
  writer.byte(search.level);
  writer.byte(search.hashBits);
  writer.varint(blocks.length);
  for (const { type, count, head } of blocks) {
    writer.byte(head ? type | IS_EXPLICIT : type);
    writer.varint(count);
    if (head) writer.counted(head);
  }
  writer.varint(corrections.length);
  for (const { gap, token } of corrections) {
    writer.varint(gap);
    writer.varint(token < 256 ? 0 : lengthOf(token) - 2);
    if (token >= 256) writer.varint(distanceOf(token));
  }
}

/** A literal among the corrections is whatever byte is there. */
const ANY_LITERAL = 0;

export function readPlan(reader: ByteReader): DeflatePlan {
  const search = { level: reader.byte(), hashBits: reader.byte() };
  const isKnown = LEVELS[search.level]?.chain && [15, 16].includes(search.hashBits);
  if (!isKnown) throw refusePatch("a deflate stream was made in a way not known here");
  const blocks: BlockPlan[] = [];
  for (let left = reader.varint(MAX_BLOCKS); left > 0; left--) {
    const flags = reader.byte();
    const type = flags & 3;
    if (type > DYNAMIC || flags > 6) throw refusePatch("a deflate stream holds a block of no kind");
    const count = reader.varint(type === STORED ? MAX_STORED_BYTES : MAX_BLOCK_TOKENS);
    const head = flags & IS_EXPLICIT ? reader.counted(MAX_HEAD_BYTES) : undefined;
    blocks.push({ type, count, head });
  }
  const corrections: Correction[] = [];
  for (let left = reader.varint(MAX_CORRECTIONS); left > 0; left--) {
    const gap = reader.varint(2 ** 31);
    const length = reader.varint(MAX_MATCH - 2);
    const token = length === 0 ? ANY_LITERAL : matchToken(length + 2, reader.varint(32768));
    corrections.push({ gap, token });
  }
  return { search, blocks, corrections };
}

/** Gives a predictor its content in time. */
export class Content {
  readonly #chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  readonly #predictor: TokenPredictor;
  readonly #onBytes: (bytes: Uint8Array) => void;
  #rest: Uint8Array = new Uint8Array(0);
  #hasEnded = false;

  constructor(
    chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    predictor: TokenPredictor,
    onBytes: (bytes: Uint8Array) => void,
  ) {
    this.#chunks =
      Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
    this.#predictor = predictor;
    this.#onBytes = onBytes;
  }

  get isWanting(): boolean {
    return !this.#hasEnded && this.#predictor.known - this.#predictor.position < AHEAD_BYTES;
  }

  get isDone(): boolean {
    return this.#hasEnded && this.#predictor.known === this.#predictor.position;
  }

  async fill(): Promise<void> {
    while (this.isWanting) {
      if (this.#rest.length === 0) {
        const { done, value } = await this.#chunks.next();
        if (done) {
          this.#hasEnded = true;
          return;
        }
        this.#rest = value;
        this.#onBytes(value);
      }
      const chunk = this.#rest.subarray(0, MAX_FEED_BYTES);
      this.#rest = this.#rest.subarray(chunk.length);
      this.#predictor.feed(chunk);
    }
  }
}

/** Packs content by a plan. */
export async function* rebuildDeflate(
  plan: DeflatePlan,
  chunks: AsyncIterable<Uint8Array>,
  onBytes: (bytes: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  const predictor = new TokenPredictor(plan.search);
  const content = new Content(chunks, predictor, onBytes);
  const writer = new BlockWriter();
  const tokens = new CorrectedTokens(predictor, plan.corrections);
  for (const [index, { type, count, head }] of plan.blocks.entries()) {
    const isLast = index === plan.blocks.length - 1;
    if (type === STORED) {
      writer.stored(await storedBytes(predictor, content, count), isLast);
    } else {
      const block = new Uint32Array(count);
      for (let at = 0; at < count; at++) {
        if (content.isWanting) await content.fill();
        block[at] = tokens.next();
      }
      writer.coded(block, isLast, type, head);
    }
    yield* writer.takeChunks();
  }
  await content.fill();
  if (!content.isDone) throw refusePatch("a deflate stream leaves content out");
  yield* writer.finish();
}

class CorrectedTokens {
  readonly #predictor: TokenPredictor;
  readonly #corrections: readonly Correction[];
  #next = 0;
  #left: number;

  constructor(predictor: TokenPredictor, corrections: readonly Correction[]) {
    this.#predictor = predictor;
    this.#corrections = corrections;
    this.#left = corrections[0]?.gap ?? Number.POSITIVE_INFINITY;
  }

  next(): Token {
    const predictor = this.#predictor;
    if (predictor.position >= predictor.known) throw refusePatch("a token lies behind the content");
    let token = predictor.predict();
    if (this.#left === 0) {
      const correction = this.#corrections[this.#next++] as Correction;
      token =
        correction.token === ANY_LITERAL ? predictor.byteAt(predictor.position) : correction.token;
      this.#left = this.#corrections[this.#next]?.gap ?? Number.POSITIVE_INFINITY;
    } else {
      this.#left -= 1;
    }
    predictor.accept(token);
    return token;
  }
}

/** A stored block's bytes. The packer had tokens for them, which the search still has to follow. */
export async function storedBytes(
  predictor: TokenPredictor,
  content: Content,
  count: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(count);
  for (let filled = 0; filled < count; ) {
    if (content.isWanting) await content.fill();
    const from = predictor.position;
    if (from >= predictor.known) throw refusePatch("a stored block lies behind the content");
    const token = predictor.predict();
    const size = sizeOf(token);
    const isWithin = filled + size <= count && from + size <= predictor.known;
    predictor.accept(isWithin ? token : predictor.byteAt(from));
    const taken = isWithin ? size : 1;
    bytes.set(predictor.slice(from, taken), filled);
    filled += taken;
  }
  return bytes;
}
