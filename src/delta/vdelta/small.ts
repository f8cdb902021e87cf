import { crc32 } from "node:zlib";
import { type ApplyInput, type PatchSource, refusePatch } from "../format.ts";
import type { Region } from "./address-map.ts";
import { ARCHITECTURES } from "./architectures.ts";
import { memoryOf, reserveCodec, sizesOf } from "./codec.ts";
import { ControlList, type ControlStep, controlOf } from "./control.ts";
import { encodeHeader, type VdeltaHeader } from "./header.ts";
import { Kernel, type KernelFunctions } from "./kernel.ts";
import { unzigzag, zigzag } from "./numbers.ts";
import type { PatchInput } from "./patch-input.ts";
import { SourceWindow } from "./source-window.ts";
import { TargetWindow } from "./target-window.ts";

/** Of the patches that are made; older ones are applied. */
const VERSION = 4;
/** Bytes of the new image that are made between two waits for input. */
const STEP_BYTES = 4096;
/** A binary decision takes 12 bits at most, a byte nine decisions. */
const MAX_CODED_BYTES = 14;
const MAX_CODED_NUMBERS_BYTES = 512;
const CODED_BYTES = STEP_BYTES * MAX_CODED_BYTES + MAX_CODED_NUMBERS_BYTES;

export interface SmallPlan {
  header: Omit<VdeltaHeader, "version" | "steps" | "coder">;
  regions: readonly Region[];
}

/** Encodes with the context-mixing coder. */
export function encodeSmall(
  source: Uint8Array,
  target: Uint8Array,
  plan: SmallPlan,
  onProgress: (doneBytes: number) => void = () => {},
): Uint8Array {
  const header = { ...plan.header, version: VERSION };
  const control = controlOf(plan.regions, header);
  const kernel = new Kernel(Number.POSITIVE_INFINITY);
  const { run } = kernel;
  const setUp = reserveCodec(kernel, header, control, header);
  const [sourceAt, targetAt] = [kernel.reserve(source.length), kernel.reserve(target.length)];
  const output = kernel.reserve(CODED_BYTES);
  kernel.commit();
  run.reset(ARCHITECTURES.indexOf(header.architecture));
  run.resetModel();
  setUp();
  kernel.bytes.set(source, sourceAt);
  kernel.bytes.set(target, targetAt);
  run.setSource(sourceAt, source.length);
  run.setTarget(targetAt);
  const head = encodeHeader({ ...header, coder: "small", steps: control.length });
  const parts: Uint8Array[] = [head];
  const collect = () => {
    const to = run.bufferUsed();
    if (to > output) parts.push(kernel.bytes.slice(output, to));
    run.setBuffer(output, output + CODED_BYTES);
  };
  run.setBuffer(output, output + CODED_BYTES);
  run.beginCoding(1);
  const steps = new ControlModel(run);
  for (const step of control.steps()) {
    steps.code(step);
    collect();
  }
  for (const { copied, literals, source: from, target: to } of control.steps()) {
    if (copied > 0) run.enterModelRegion(from);
    for (let done = 0; done < copied; done += STEP_BYTES) {
      run.codeRegion(from + done, to + done, Math.min(STEP_BYTES, copied - done));
      collect();
      onProgress(to + done);
    }
    run.enterLiterals();
    for (let done = 0; done < literals; done += STEP_BYTES) {
      run.codeLiterals(to + copied + done, Math.min(STEP_BYTES, literals - done));
      collect();
      onProgress(to + copied + done);
    }
  }
  run.finishCoding();
  collect();
  return new Uint8Array(Buffer.concat(parts));
}

/** Rebuilds the image that `encodeSmall` took apart; yields it in order. */
export async function* decodeSmall(
  input: PatchInput,
  header: VdeltaHeader,
  { source }: Pick<ApplyInput, "source">,
): AsyncGenerator<Uint8Array> {
  const kernel = new Kernel(memoryOf(header));
  const { run } = kernel;
  const reader = new CodedReader(input, kernel);
  const sourceWindow = new SourceWindow(source as PatchSource, kernel);
  const targetWindow = new TargetWindow(kernel, 2 ** sizesOf(header).windowBits, STEP_BYTES);
  kernel.commit();
  run.reset(ARCHITECTURES.indexOf(header.architecture));
  run.resetModel();
  const control = await readControl(reader, run, header);
  const setUp = reserveCodec(kernel, header, control, header);
  kernel.commit();
  setUp();
  let checksum = 0;
  for (const { copied, literals, source: from, target: to } of control.steps()) {
    if (copied > 0) run.enterModelRegion(from);
    for (let done = 0; done < copied + literals; ) {
      const isCopy = done < copied;
      const length = Math.min(STEP_BYTES, isCopy ? copied - done : copied + literals - done);
      const opening = reader.open(length * MAX_CODED_BYTES + MAX_CODED_NUMBERS_BYTES);
      if (opening) await opening;
      const loading = isCopy && sourceWindow.load(from + done, length, from + copied);
      if (loading) await loading;
      targetWindow.reserve(to + done, length);
      if (isCopy) run.codeRegion(from + done, to + done, length);
      else {
        if (done === copied) run.enterLiterals();
        run.codeLiterals(to + done, length);
      }
      reader.check();
      done += length;
      const end = to + done;
      if (!targetWindow.isDue(end) && end < header.targetSize) continue;
      const made = targetWindow.take(end);
      checksum = crc32(made, checksum);
      yield made;
    }
  }
  if (checksum !== header.checksum) throw refusePatch("the rebuilt image has another checksum");
  reader.expectEnd();
  await input.expectEnd();
}

async function readControl(
  reader: CodedReader,
  run: KernelFunctions,
  header: VdeltaHeader,
): Promise<ControlList> {
  await reader.open(MAX_CODED_NUMBERS_BYTES);
  run.beginCoding(0);
  const control = new ControlList(header.steps, header);
  const steps = new ControlModel(run);
  for (let index = 0; index < header.steps; index++) {
    const opening = reader.open(MAX_CODED_NUMBERS_BYTES);
    if (opening) await opening;
    const step = steps.code(NO_STEP);
    reader.check();
    if (run.isImpossible.value) throw refusePatch("the patch holds an impossible number");
    control.add(step);
  }
  control.finish();
  return control;
}

/** Hands the patch to the kernel, in large parts. */
class CodedReader {
  readonly #input: PatchInput;
  readonly #kernel: Kernel;
  readonly #at: number;
  /** How much of the buffer is filled. */
  #filled = 0;
  #hasEnded = false;

  constructor(input: PatchInput, kernel: Kernel) {
    this.#input = input;
    this.#kernel = kernel;
    this.#at = kernel.reserve(2 * CODED_BYTES);
    kernel.run.setBuffer(this.#at, this.#at);
  }

  /** Makes `wanted` bytes readable, or all that are left; returns nothing where they are already. */
  open(wanted: number): Promise<void> | undefined {
    const left = this.#at + this.#filled - this.#kernel.run.bufferUsed();
    return this.#hasEnded || left >= wanted ? undefined : this.#refill(wanted, left);
  }

  async #refill(wanted: number, left: number): Promise<void> {
    const { bytes, run } = this.#kernel;
    const end = this.#at + this.#filled;
    bytes.copyWithin(this.#at, end - left, end);
    await this.#input.fill(wanted - left);
    const more = this.#input.peek(2 * CODED_BYTES - left);
    this.#hasEnded = more.length < wanted - left;
    bytes.set(more, this.#at + left);
    this.#input.take(more.length);
    this.#filled = left + more.length;
    run.setBuffer(this.#at, this.#at + this.#filled);
  }

  /** Refuses what was made of more than there is. */
  check(): void {
    if (this.#kernel.run.isCutShort.value) throw refusePatch("the patch is cut short");
  }

  expectEnd(): void {
    if (this.#kernel.run.bufferUsed() < this.#at + this.#filled) {
      throw refusePatch("something follows the end of the patch");
    }
  }
}

const NO_STEP: ControlStep = { copied: 0, literals: 0, seek: 0 };

/** The control list's numbers, each in the light of the one before it. */
class ControlModel {
  readonly #run: KernelFunctions;
  #hadLiterals = 0;
  #hadSeek = 0;

  constructor(run: KernelFunctions) {
    this.#run = run;
  }

  code(step: ControlStep): ControlStep {
    const number = (value: number, row: number) => this.#run.codeNumber(value, row) >>> 0;
    const copied = number(step.copied, this.#hadLiterals | (this.#hadSeek << 1));
    const short = copied < 64 ? 1 : 0;
    const literals = number(step.literals, 4 | short | (this.#hadLiterals << 1));
    this.#hadLiterals = literals > 0 ? 1 : 0;
    const row = 8 | this.#hadLiterals | (short << 1);
    const seek = unzigzag(number(zigzag(step.seek), row));
    this.#hadSeek = seek === 0 ? 0 : 1;
    return { copied, literals, seek };
  }
}
