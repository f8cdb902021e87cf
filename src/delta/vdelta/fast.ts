import { constants, crc32, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { type ApplyInput, type PatchSource, refusePatch } from "../format.ts";
import { AddressSpaces } from "./address-spaces.ts";
import { ControlList, controlOf } from "./control.ts";
import { Field, type Images } from "./field.ts";
import { Guesser } from "./guesser.ts";
import { encodeHeader, readVarint, type VdeltaHeader } from "./header.ts";
import { LearnedMaps } from "./learned-maps.ts";
import { unzigzag, zigzag } from "./number-model.ts";
import type { PatchInput } from "./patch-input.ts";
import { PROFILES } from "./profile.ts";
import type { SmallPlan } from "./small.ts";
import { SourceWindow } from "./source-window.ts";
import { TargetWindow } from "./target-window.ts";

/** Each block of the new image has its own packed streams. */
const BLOCK_BYTES = 512 * 1024;
const STEP_BYTES = 32 * 1024;
const MAX_NUMBER_BYTES = 5;
/** Only contexts of a few bytes are read back. */
const WINDOW_BYTES = 64;
const LEVEL = 19;
/** Streams are packed within a window of 1 MB, and nothing larger is unpacked. */
const WINDOW_LOG = 20;

/** Encodes with packed streams: gaps between wrong guesses, the bytes there, literals. */
export function encodeFast(
  source: Uint8Array,
  target: Uint8Array,
  { header, regions }: SmallPlan,
  onProgress: (doneBytes: number) => void = () => {},
): Uint8Array {
  const control = controlOf(regions, header);
  const images: Images = {
    source,
    sourceBase: 0,
    sourceSize: source.length,
    target,
    targetBase: 0,
  };
  const guesser = guesserOf(images, header, control);
  const parts = [
    encodeHeader({ ...header, coder: "fast", steps: control.length }),
    packed(controlBytes(control)),
  ];
  let block = new BlockWriter();
  const visit = (to: number) => {
    if (to === 0 || to % BLOCK_BYTES !== 0) return;
    parts.push(...block.finish());
    block = new BlockWriter();
    onProgress(to);
  };
  for (const { copied, literals, source: from, target: to } of control.steps()) {
    if (copied > 0) guesser.enter(from);
    for (let index = 0; index < copied; index++) {
      visit(to + index);
      guesser.guess(from + index, to + index);
      const byte = target[to + index] as number;
      block.add(byte, guesser.pick);
      guesser.learn(from + index, to + index, byte);
    }
    for (let index = copied; index < copied + literals; index++) {
      visit(to + index);
      block.addLiteral(target[to + index] as number);
    }
  }
  parts.push(...block.finish());
  return new Uint8Array(Buffer.concat(parts));
}

class BlockWriter {
  readonly #gaps: number[] = [];
  readonly #misses: number[] = [];
  readonly #literals: number[] = [];
  #gap = 0;

  add(byte: number, guess: number): void {
    if (byte === guess) {
      this.#gap += 1;
      return;
    }
    this.#gaps.push(this.#gap);
    this.#misses.push((byte - guess) & 0xff);
    this.#gap = 0;
  }

  addLiteral(byte: number): void {
    this.#literals.push(byte);
  }

  finish(): Uint8Array[] {
    return [
      packed(numbers(this.#gaps)),
      packed(Uint8Array.from(this.#misses)),
      packed(Uint8Array.from(this.#literals)),
    ];
  }
}

/** Length, packed length, bytes; stored as it is where packing does not pay. */
function packed(bytes: Uint8Array): Uint8Array {
  const smaller = zstdCompressSync(bytes, {
    params: {
      [constants.ZSTD_c_compressionLevel]: LEVEL,
      [constants.ZSTD_c_contentSizeFlag]: 0,
      [constants.ZSTD_c_windowLog]: WINDOW_LOG,
    },
  });
  const body = smaller.length < bytes.length ? smaller : bytes;
  return new Uint8Array(Buffer.concat([numbers([bytes.length, body.length]), body]));
}

function numbers(values: readonly number[]): Uint8Array {
  const bytes: number[] = [];
  for (const value of values) {
    let rest = value;
    while (rest >= 0x80) {
      bytes.push((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    bytes.push(rest);
  }
  return Uint8Array.from(bytes);
}

/** Rebuilds the image that `encodeFast` took apart; yields it in order. */
export async function* decodeFast(
  input: PatchInput,
  header: VdeltaHeader,
  { source }: Pick<ApplyInput, "source">,
): AsyncGenerator<Uint8Array> {
  const control = await readControl(input, header);
  const images: Images = {
    source: new Uint8Array(0),
    sourceBase: 0,
    sourceSize: header.sourceSize,
    target: new Uint8Array(0),
    targetBase: 0,
  };
  const sourceWindow = new SourceWindow(source as PatchSource, images);
  const targetWindow = new TargetWindow(images, WINDOW_BYTES, STEP_BYTES);
  const guesser = guesserOf(images, header, control);
  let block: BlockReader | undefined;
  let checksum = 0;
  for (const { copied, literals, source: from, target: to } of control.steps()) {
    for (let done = 0; done < copied + literals; ) {
      const at = to + done;
      if (at % BLOCK_BYTES === 0) {
        block?.finish();
        block = await readBlock(input, Math.min(BLOCK_BYTES, header.targetSize - at));
      }
      const isCopy = done < copied;
      const length = Math.min(
        STEP_BYTES,
        (isCopy ? copied : copied + literals) - done,
        BLOCK_BYTES - (at % BLOCK_BYTES),
      );
      targetWindow.reserve(at, length);
      const reader = block as BlockReader;
      if (isCopy) {
        await sourceWindow.load(from + done, length, from + copied);
        if (done === 0) guesser.enter(from);
        copy(guesser, images, reader, from + done, at, length);
      } else {
        images.target.set(reader.takeLiterals(length), at - images.targetBase);
      }
      const made = targetWindow.slice(at, length);
      checksum = crc32(made, checksum);
      yield made;
      done += length;
    }
  }
  block?.finish();
  if (!block) (await readBlock(input, 0)).finish();
  if (checksum !== header.checksum) throw refusePatch("the rebuilt image has another checksum");
  await input.expectEnd();
}

function copy(
  guesser: Guesser,
  images: Images,
  block: BlockReader,
  from: number,
  to: number,
  length: number,
): void {
  const { source, sourceBase, target, targetBase } = images;
  for (let index = 0; index < length; ) {
    const place = from + index;
    if ((place & 3) === 0 && guesser.field.start < 0 && index + 4 <= length) {
      if (guesser.guessWord(place, to + index) && block.gap >= 4) {
        const at = place - sourceBase;
        const made = to + index - targetBase;
        target[made] = source[at] as number;
        target[made + 1] = source[at + 1] as number;
        target[made + 2] = source[at + 2] as number;
        target[made + 3] = source[at + 3] as number;
        block.gap -= 4;
        guesser.learnWord(place);
        index += 4;
        continue;
      }
      guesser.choose(place, to + index);
    } else {
      guesser.guess(place, to + index);
    }
    let byte = guesser.pick;
    if (block.gap === 0) byte = (byte + block.takeMiss()) & 0xff;
    else block.gap -= 1;
    target[to + index - targetBase] = byte;
    guesser.learn(place, to + index, byte);
    index += 1;
  }
}

function controlBytes(control: ControlList): Uint8Array {
  const values: number[] = [];
  for (const { copied, literals, seek } of control.steps()) {
    values.push(copied, literals, zigzag(seek));
  }
  return numbers(values);
}

async function readControl(input: PatchInput, header: VdeltaHeader): Promise<ControlList> {
  const bytes = byteReader(await unpack(input, header.steps * 3 * MAX_NUMBER_BYTES));
  const control = new ControlList(header.steps, header);
  for (let index = 0; index < header.steps; index++) {
    const copied = readVarint(bytes, header.targetSize);
    const literals = readVarint(bytes, header.targetSize);
    control.add({ copied, literals, seek: unzigzag(readVarint(bytes, 2 ** 33)) });
  }
  control.finish();
  bytes.expectEnd();
  return control;
}

async function readBlock(input: PatchInput, blockBytes: number): Promise<BlockReader> {
  // A gap of n bytes is written in no more than n + 1, and a miss follows it.
  const gaps = await unpack(input, blockBytes);
  const misses = await unpack(input, blockBytes);
  const literals = await unpack(input, blockBytes);
  return new BlockReader(gaps, misses, literals, blockBytes);
}

async function unpack(input: PatchInput, maxBytes: number): Promise<Uint8Array> {
  await input.fill(2 * MAX_NUMBER_BYTES);
  const length = readVarint(input, maxBytes);
  const packedLength = readVarint(input, length);
  await input.fill(packedLength);
  const body = input.take(packedLength);
  if (packedLength === length) return body.slice();
  let bytes: Uint8Array;
  try {
    bytes = zstdDecompressSync(body, {
      maxOutputLength: Math.max(1, length),
      params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG },
    });
  } catch (error) {
    throw refusePatch("the patch is corrupt", {}, error);
  }
  if (bytes.length !== length) throw refusePatch("the patch is corrupt");
  return bytes;
}

interface ByteReader {
  next(): number;
  expectEnd(): void;
  hasMore(): boolean;
}

function byteReader(bytes: Uint8Array): ByteReader {
  let position = 0;
  return {
    next() {
      if (position >= bytes.length) throw refusePatch("the patch is cut short");
      return bytes[position++] as number;
    },
    hasMore: () => position < bytes.length,
    expectEnd() {
      if (position < bytes.length) throw refusePatch("the patch holds more than it announces");
    },
  };
}

/** More than a block holds: no guess is wrong any more. */
const NEVER = 2 ** 30;

class BlockReader {
  readonly #gaps: ByteReader;
  readonly #misses: Uint8Array;
  readonly #literals: Uint8Array;
  readonly #maxGap: number;
  #nextMiss = 0;
  #nextLiteral = 0;
  /** Right guesses before the next wrong one; the user counts it down. */
  gap: number;
  readonly #blockBytes: number;

  constructor(gaps: Uint8Array, misses: Uint8Array, literals: Uint8Array, maxGap: number) {
    this.#gaps = byteReader(gaps);
    this.#misses = misses;
    this.#literals = literals;
    this.#maxGap = maxGap;
    this.#blockBytes = maxGap;
    this.gap = this.#readGap();
  }

  takeMiss(): number {
    if (this.#nextMiss >= this.#misses.length) throw refusePatch("the patch is cut short");
    this.gap = this.#readGap();
    return this.#misses[this.#nextMiss++] as number;
  }

  takeLiterals(length: number): Uint8Array {
    const from = this.#nextLiteral;
    this.#nextLiteral += length;
    if (this.#nextLiteral > this.#literals.length) throw refusePatch("the patch is cut short");
    return this.#literals.subarray(from, this.#nextLiteral);
  }

  /** Everything must have been used. */
  finish(): void {
    const isUsed =
      this.gap >= NEVER - this.#blockBytes &&
      this.#nextMiss === this.#misses.length &&
      this.#nextLiteral === this.#literals.length;
    if (!isUsed) throw refusePatch("the patch holds more than it announces");
  }

  #readGap(): number {
    return this.#gaps.hasMore() ? readVarint(this.#gaps, this.#maxGap) : NEVER;
  }
}

function guesserOf(
  images: Images,
  header: Pick<VdeltaHeader, "profile" | "architecture" | "spaces">,
  control: ControlList,
): Guesser {
  const map = control.addressMap();
  const spaces = new AddressSpaces(header.spaces, map);
  const { sizes } = PROFILES[header.profile] as (typeof PROFILES)[number];
  const learned = new LearnedMaps(sizes.learnedBits);
  return new Guesser(header.architecture, new Field({ images, spaces, learned }));
}
