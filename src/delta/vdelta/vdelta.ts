import {
  type ApplyInput,
  type CreateInput,
  type PatchFormat,
  type PatchInfo,
  type PatchSource,
  refusePatch,
} from "../format.ts";
import { memoryOf } from "./codec.ts";
import { STEP_MEMORY_BYTES } from "./control.ts";
import { decodeFast, encodeFast } from "./fast.ts";
import { decodeHeader, MAX_HEADER_BYTES, type VdeltaHeader } from "./header.ts";
import { PatchInput } from "./patch-input.ts";
import { planDelta } from "./plan.ts";
import { FIRST_OF_4, PROFILES, profileWithin } from "./profile.ts";
import { decodeSmall, encodeSmall } from "./small.ts";

/** What a device of ours takes without being asked, for images of up to SMALL_IMAGE_BYTES and for larger ones. */
const DEFAULT_MEMORY_BYTES = 4 * 1024 * 1024;
const LARGE_MEMORY_BYTES = 12 * 1024 * 1024;
/** Below this the tables of 4 MB are not filled; larger ones would only take longer to be made. */
const SMALL_IMAGE_BYTES = 1024 * 1024;
/** Windows over both images, input, packed streams. */
const BUFFER_BYTES = 3 * 1024 * 1024;
/** An encoder makes no patch whose control list takes more than this. */
const MAX_CONTROL_BYTES = 6 * 1024 * 1024;

/** Guessed from the old image, what is left packed with zstd: quick to apply. */
export const vdeltaFast: PatchFormat = formatOf("fast");
/** Guessed from the old image, what is left coded by mixed contexts: small. */
export const vdeltaSmall: PatchFormat = formatOf("small");

function formatOf(coder: VdeltaHeader["coder"]): PatchFormat {
  return {
    needsSource: true,
    create: (input) => create(coder, input),
    apply: (input) => apply(coder, input),
    memoryToApply: ({ targetSizeBytes }) =>
      defaultMemory(coder, targetSizeBytes) + BUFFER_BYTES + MAX_CONTROL_BYTES,
  };
}

/** The fast coder has one table that grows, and little use for more of it. */
function defaultMemory(coder: VdeltaHeader["coder"], targetBytes: number): number {
  const isLarge = coder === "small" && targetBytes > SMALL_IMAGE_BYTES;
  return isLarge ? LARGE_MEMORY_BYTES : DEFAULT_MEMORY_BYTES;
}

async function* create(
  coder: VdeltaHeader["coder"],
  input: CreateInput,
): AsyncGenerator<Uint8Array> {
  const source = input.source as Uint8Array;
  const target = await readWhole(input);
  const memoryBytes = input.memoryBytes ?? defaultMemory(coder, target.length);
  // Fast patches are of version 2.
  const profile = profileWithin(memoryBytes, coder === "small" ? PROFILES.length : FIRST_OF_4);
  if (profile === undefined) {
    throw refusePatch("no memory profile of vdelta is as small as that", {
      memoryBytes: input.memoryBytes,
      smallestBytes: PROFILES[0].memoryBytes,
    });
  }
  const { onProgress } = input;
  const maxRegions = Math.floor(MAX_CONTROL_BYTES / STEP_MEMORY_BYTES) - 2;
  const plans = planDelta(source, target, { profile, maxRegions, onProgress });
  const encode = coder === "small" ? encodeSmall : encodeFast;
  let smallest: Uint8Array | undefined;
  plans.forEach((plan, index) => {
    const patch = encode(source, target, plan, (done) => {
      onProgress?.("coding", (index + done / target.length) / plans.length);
    });
    if (!smallest || patch.length < smallest.length) smallest = patch;
  });
  if (smallest) yield smallest;
}

async function readWhole(input: CreateInput): Promise<Uint8Array> {
  const whole = new Uint8Array(input.targetSizeBytes);
  let filled = 0;
  for await (const chunk of input.target) {
    if (filled + chunk.length > whole.length)
      throw refusePatch("the target is larger than announced");
    whole.set(chunk, filled);
    filled += chunk.length;
  }
  if (filled !== whole.length) throw refusePatch("the target is smaller than announced");
  return whole;
}

async function* apply(coder: VdeltaHeader["coder"], input: ApplyInput): AsyncGenerator<Uint8Array> {
  const patch = new PatchInput(input.patch);
  try {
    await patch.fill(MAX_HEADER_BYTES);
    const header = decodeHeader(patch);
    check(header, coder, input);
    yield* coder === "small" ? decodeSmall(patch, header, input) : decodeFast(patch, header, input);
  } finally {
    await patch.close();
  }
}

function check(header: VdeltaHeader, coder: VdeltaHeader["coder"], input: ApplyInput): void {
  const source = input.source as PatchSource;
  if (header.coder !== coder) throw refusePatch(`the patch is a vdelta-${header.coder}`);
  if (header.sourceSize !== source.sizeBytes) {
    throw refusePatch("the patch is for another old image", {
      claimedBytes: header.sourceSize,
      sourceBytes: source.sizeBytes,
    });
  }
  if (header.targetSize !== input.expectedSizeBytes) {
    throw refusePatch("the patch does not hold the image's size", {
      claimedBytes: header.targetSize,
      expectedSizeBytes: input.expectedSizeBytes,
    });
  }
  const neededBytes = memoryOf(header);
  if (neededBytes > input.maxMemoryBytes) {
    throw refusePatch(`the patch needs ${neededBytes} bytes of memory`, {
      neededBytes,
      maxMemoryBytes: input.maxMemoryBytes,
    });
  }
}

/** What the head of a vdelta says; `head` begins like one. */
export function vdeltaInfo(head: Uint8Array): PatchInfo {
  let position = 0;
  const header = decodeHeader({
    next() {
      if (position >= head.length) throw refusePatch("the patch is cut short");
      return head[position++] as number;
    },
  });
  const { coder, spaces } = header;
  return {
    formats: [`vdelta-${coder}`],
    targetSizeBytes: header.targetSize,
    windowBytes: memoryOf(header),
    checksum: true,
    vdelta: {
      coder,
      profile: (PROFILES[header.profile] as (typeof PROFILES)[number]).name,
      architecture: header.architecture,
      sourceSizeBytes: header.sourceSize,
      steps: header.steps,
      spaces: spaces.length,
      modules: spaces.at(-1)?.module ?? 0,
    },
  };
}
