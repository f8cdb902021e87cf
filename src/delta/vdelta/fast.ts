import { constants, crc32, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { type ApplyInput, type PatchSource, refusePatch } from "../format.ts";
import { ARCHITECTURES } from "./architectures.ts";
import { memoryOf, reserveCodec } from "./codec.ts";
import { ControlList, controlOf, STEP_WORDS } from "./control.ts";
import { encodeHeader, readVarint, type VdeltaHeader } from "./header.ts";
import { Kernel } from "./kernel.ts";
import { unzigzag, zigzag } from "./numbers.ts";
import type { PatchInput } from "./patch-input.ts";
import type { SmallPlan } from "./small.ts";
import { SourceWindow } from "./source-window.ts";
import { TargetWindow } from "./target-window.ts";

/** Each block of the new image has its own packed streams. */
const BLOCK_BYTES = 512 * 1024;
/** So much is made before it is handed on; divides a block. */
const STEP_BYTES = 64 * 1024;
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
  const kernel = new Kernel(Number.POSITIVE_INFINITY);
  const { run } = kernel;
  const setUp = reserveCodec(kernel, header, control);
  const [sourceAt, targetAt] = [kernel.reserve(source.length), kernel.reserve(target.length)];
  const gapsAt = kernel.reserve(BLOCK_BYTES);
  const missesAt = kernel.reserve(BLOCK_BYTES);
  kernel.commit();
  run.reset(ARCHITECTURES.indexOf(header.architecture));
  setUp();
  kernel.bytes.set(source, sourceAt);
  kernel.bytes.set(target, targetAt);
  run.setSource(sourceAt, source.length);
  run.setTarget(targetAt);
  const head = encodeHeader({ ...header, version: 2, coder: "fast", steps: control.length });
  const parts = [head, packed(controlBytes(control))];
  let literals: Uint8Array[] = [];
  const finish = (to: number) => {
    const { bytes } = kernel;
    const gaps = bytes.subarray(gapsAt, run.gapsUsed());
    const misses = bytes.subarray(missesAt, run.missesUsed());
    parts.push(packed(gaps), packed(misses), packed(Buffer.concat(literals)));
    literals = [];
    run.beginBlock(gapsAt, missesAt);
    onProgress(to);
  };
  run.beginBlock(gapsAt, missesAt);
  for (const piece of piecesOf(control)) {
    const { isCopy, from, to, length } = piece;
    if (to > 0 && to % BLOCK_BYTES === 0) finish(to);
    if (piece.isFirst) run.enterRegion(from);
    if (isCopy) run.encodeRegion(from, to, length);
    else literals.push(target.subarray(to, to + length));
  }
  finish(target.length);
  return new Uint8Array(Buffer.concat(parts));
}

interface Piece {
  isCopy: boolean;
  /** Whether a region begins with it. */
  isFirst: boolean;
  from: number;
  to: number;
  length: number;
}

/** The steps cut into pieces that lie within a block and are not too long. */
function* piecesOf(control: ControlList): Generator<Piece> {
  for (const { copied, literals, source, target } of control.steps()) {
    for (let done = 0; done < copied + literals; ) {
      const isCopy = done < copied;
      const to = target + done;
      const left = (isCopy ? copied : copied + literals) - done;
      const length = Math.min(STEP_BYTES, left, BLOCK_BYTES - (to % BLOCK_BYTES));
      const from = source + done;
      yield { isCopy, isFirst: isCopy && done === 0, from, to, length };
      done += length;
    }
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
  const kernel = new Kernel(memoryOf(header));
  const { run } = kernel;
  const setUp = reserveCodec(kernel, header, control);
  const steps = kernel.reserve(control.length * STEP_WORDS * 4);
  const sourceWindow = new SourceWindow(source as PatchSource, kernel);
  const targetWindow = new TargetWindow(kernel, WINDOW_BYTES, STEP_BYTES);
  const block = new BlockReader(input, kernel, header.targetSize);
  kernel.commit();
  run.reset(ARCHITECTURES.indexOf(header.architecture));
  setUp();
  control.writeSteps(kernel.words(steps, control.length * STEP_WORDS));
  run.openSteps(steps);
  let checksum = 0;
  for (let done = 0; done < header.targetSize; ) {
    if (done % BLOCK_BYTES === 0) await block.next(header.targetSize - done);
    const end = Math.min(done + STEP_BYTES, header.targetSize);
    targetWindow.reserve(done, end - done);
    while (done < end) {
      done = run.decodeSteps(end);
      if (run.isBlockCorrupt()) throw refusePatch("the patch is corrupt");
      if (done === end) break;
      const [from, regionEnd] = [run.wantedFrom.value, run.wantedEnd.value];
      await sourceWindow.load(from, Math.min(end - done, regionEnd - from), regionEnd);
    }
    const made = targetWindow.take(done);
    checksum = crc32(made, checksum);
    yield made;
  }
  if (header.targetSize === 0) await block.next(0);
  block.finish();
  if (checksum !== header.checksum) throw refusePatch("the rebuilt image has another checksum");
  await input.expectEnd();
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

/** Bytes that stay valid until more is read. */
async function unpack(input: PatchInput, maxBytes: number): Promise<Uint8Array> {
  await input.fill(2 * MAX_NUMBER_BYTES);
  const length = readVarint(input, maxBytes);
  const packedLength = readVarint(input, length);
  await input.fill(packedLength);
  const body = input.take(packedLength);
  if (packedLength === length) return body;
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
}

function byteReader(bytes: Uint8Array): ByteReader {
  let position = 0;
  return {
    next() {
      if (position >= bytes.length) throw refusePatch("the patch is cut short");
      return bytes[position++] as number;
    },
    expectEnd() {
      if (position < bytes.length) throw refusePatch("the patch holds more than it announces");
    },
  };
}

/** The streams of one block after the other, as the kernel reads them. */
class BlockReader {
  readonly #input: PatchInput;
  readonly #kernel: Kernel;
  /** Where the gaps, the misses and the literals go. */
  readonly #streams: [number, number, number];
  #blockBytes = -1;

  constructor(input: PatchInput, kernel: Kernel, targetSize: number) {
    this.#input = input;
    this.#kernel = kernel;
    // A gap of n bytes is written in no more than n + 1, and a miss follows it.
    const room = Math.min(BLOCK_BYTES, targetSize);
    this.#streams = [kernel.reserve(room), kernel.reserve(room), kernel.reserve(room)];
  }

  /** Goes on to the next block; so many bytes are still to be made. */
  async next(leftBytes: number): Promise<void> {
    this.finish();
    const { run } = this.#kernel;
    const blockBytes = Math.min(BLOCK_BYTES, leftBytes);
    const [gaps, misses, literals] = this.#streams;
    const gapBytes = await this.#read(gaps, blockBytes);
    const missBytes = await this.#read(misses, blockBytes);
    const literalBytes = await this.#read(literals, blockBytes);
    this.#blockBytes = blockBytes;
    run.openBlock(gaps, gapBytes, misses, missBytes);
    run.openLiterals(literals, literalBytes);
  }

  async #read(at: number, maxBytes: number): Promise<number> {
    const bytes = await unpack(this.#input, maxBytes);
    this.#kernel.bytes.set(bytes, at);
    return bytes.length;
  }

  /** Everything in the present block must have been used. */
  finish(): void {
    if (this.#blockBytes < 0 || this.#kernel.run.isBlockDone(this.#blockBytes)) return;
    throw refusePatch("the patch holds more than it announces");
  }
}
