import { crc32 } from "node:zlib";
import { type ApplyInput, type PatchSource, refusePatch } from "../format.ts";
import type { Region } from "./address-map.ts";
import { AddressSpaces } from "./address-spaces.ts";
import { type BinaryCoder, BinaryDecoder, BinaryEncoder } from "./binary-coder.ts";
import { ControlList, type ControlStep, controlOf } from "./control.ts";
import { Field, type Images } from "./field.ts";
import { Guesser } from "./guesser.ts";
import { encodeHeader, type VdeltaHeader } from "./header.ts";
import { LearnedMaps } from "./learned-maps.ts";
import { NumberModel, unzigzag, zigzag } from "./number-model.ts";
import type { PatchInput } from "./patch-input.ts";
import { type ModelSizes, PROFILES } from "./profile.ts";
import { SmallModel } from "./small-model.ts";
import { SourceWindow } from "./source-window.ts";
import { TargetWindow } from "./target-window.ts";

/** Bytes of the new image that are made between two waits for input. */
const STEP_BYTES = 4096;
/** A binary decision takes 12 bits at most, a byte nine decisions. */
const MAX_CODED_BYTES = 14;
const MAX_CODED_NUMBERS_BYTES = 512;

export interface SmallPlan {
  header: Omit<VdeltaHeader, "steps" | "coder">;
  regions: readonly Region[];
}

/** Encodes with the context-mixing coder. */
export function encodeSmall(
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
  const coder = new BinaryEncoder();
  const numbers = new ControlModel();
  for (const step of control.steps()) numbers.code(coder, step);
  const model = modelOf(coder, images, header, control);
  for (const { copied, literals, source: from, target: to } of control.steps()) {
    if (copied > 0) model.enterRegion(from);
    for (let done = 0; done < copied; done += STEP_BYTES) {
      model.codeRegion(from + done, to + done, Math.min(STEP_BYTES, copied - done), true);
      onProgress(to + done);
    }
    model.literals.enter();
    for (let done = 0; done < literals; done += STEP_BYTES) {
      const at = to + copied + done;
      model.literals.code(at, Math.min(STEP_BYTES, literals - done), true);
      onProgress(at);
    }
  }
  const head = encodeHeader({ ...header, coder: "small", steps: control.length });
  const body = coder.finish();
  const patch = new Uint8Array(head.length + body.length);
  patch.set(head);
  patch.set(body, head.length);
  return patch;
}

/** Rebuilds the image that `encodeSmall` took apart; yields it in order. */
export async function* decodeSmall(
  input: PatchInput,
  header: VdeltaHeader,
  { source }: Pick<ApplyInput, "source">,
): AsyncGenerator<Uint8Array> {
  const old = source as PatchSource;
  await input.fill(MAX_CODED_NUMBERS_BYTES);
  const coder = new BinaryDecoder(input);
  const control = new ControlList(header.steps, header);
  const numbers = new ControlModel();
  for (let index = 0; index < header.steps; index++) {
    await input.fill(MAX_CODED_NUMBERS_BYTES);
    control.add(numbers.code(coder, NO_STEP));
  }
  control.finish();
  const sizes = sizesOf(header);
  const images: Images = {
    source: new Uint8Array(0),
    sourceBase: 0,
    sourceSize: header.sourceSize,
    target: new Uint8Array(0),
    targetBase: 0,
  };
  const sourceWindow = new SourceWindow(old, images);
  const targetWindow = new TargetWindow(images, 2 ** sizes.windowBits, STEP_BYTES);
  const model = modelOf(coder, images, header, control);
  let checksum = 0;
  for (const { copied, literals, source: from, target: to } of control.steps()) {
    if (copied > 0) {
      await sourceWindow.load(from, 1, from + copied);
      model.enterRegion(from);
    }
    for (let done = 0; done < copied + literals; ) {
      const isCopy = done < copied;
      const length = Math.min(STEP_BYTES, isCopy ? copied - done : copied + literals - done);
      await input.fill(length * MAX_CODED_BYTES + MAX_CODED_NUMBERS_BYTES);
      if (isCopy) await sourceWindow.load(from + done, length, from + copied);
      targetWindow.reserve(to + done, length);
      if (isCopy) model.codeRegion(from + done, to + done, length, false);
      else {
        if (done === copied) model.literals.enter();
        model.literals.code(to + done, length, false);
      }
      const made = targetWindow.slice(to + done, length);
      checksum = crc32(made, checksum);
      yield made;
      done += length;
    }
  }
  if (checksum !== header.checksum) throw refusePatch("the rebuilt image has another checksum");
  await input.expectEnd();
}

const NO_STEP: ControlStep = { copied: 0, literals: 0, seek: 0 };

/** The control list's numbers, each in the light of the one before it. */
class ControlModel {
  readonly #numbers = new NumberModel(12);
  #hadLiterals = 0;
  #hadSeek = 0;

  code(coder: BinaryCoder, step: ControlStep): ControlStep {
    const numbers = this.#numbers;
    const copied = numbers.code(coder, step.copied, this.#hadLiterals | (this.#hadSeek << 1));
    const short = copied < 64 ? 1 : 0;
    const literals = numbers.code(coder, step.literals, 4 | short | (this.#hadLiterals << 1));
    this.#hadLiterals = literals > 0 ? 1 : 0;
    const row = 8 | this.#hadLiterals | (short << 1);
    const seek = unzigzag(numbers.code(coder, zigzag(step.seek), row));
    this.#hadSeek = seek === 0 ? 0 : 1;
    return { copied, literals, seek };
  }
}

function sizesOf(header: { profile: number }): ModelSizes {
  return (PROFILES[header.profile] as (typeof PROFILES)[number]).sizes;
}

function modelOf(
  coder: BinaryCoder,
  images: Images,
  header: Pick<VdeltaHeader, "profile" | "architecture" | "spaces">,
  control: ControlList,
): SmallModel {
  const sizes = sizesOf(header);
  const map = control.addressMap();
  const spaces = new AddressSpaces(header.spaces, map);
  const learned = new LearnedMaps(sizes.learnedBits);
  const field = new Field({ images, spaces, learned });
  return new SmallModel({ coder, images, guesser: new Guesser(header.architecture, field), sizes });
}
