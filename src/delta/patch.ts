import { crc32 } from "node:zlib";
import type { ArtifactFormat } from "../protocol/index.ts";
import { isUnpacked } from "./containers/head.ts";
import { unpackedFast, unpackedInfo, unpackedSmall } from "./containers/unpacked.ts";
import {
  type ApplyInput,
  type CreateInput,
  type PatchCheckpoint,
  type PatchFormat,
  type PatchInfo,
  refusePatch,
} from "./format.ts";
import { isVdelta, MAX_HEADER_BYTES } from "./vdelta/header.ts";
import { vdeltaFast, vdeltaInfo, vdeltaSmall } from "./vdelta/vdelta.ts";
import { fullZstd, zstdPatch } from "./zstd.ts";
import { frameInfo } from "./zstd-frame.ts";

/** The image as it is. */
const full: PatchFormat = {
  needsSource: false,
  create: (input) => input.target,
  apply: (input) => input.patch,
  memoryToApply: () => 0,
};

/** No format says more about itself behind these bytes. */
export const PATCH_HEAD_BYTES = MAX_HEADER_BYTES;

/** Every format that this build can make and apply. */
export const PATCH_FORMATS: Readonly<Record<ArtifactFormat, PatchFormat>> = {
  full,
  "full-zstd": fullZstd,
  "zstd-patch": zstdPatch,
  "vdelta-fast": vdeltaFast,
  "vdelta-small": vdeltaSmall,
  "unpacked-fast": unpackedFast,
  "unpacked-small": unpackedSmall,
};

export interface CreatePatchOptions extends CreateInput {
  format: ArtifactFormat;
}

/**
 * Makes a patch that rebuilds `target` from `source` (null for the full formats), in chunks.
 * Holds the source in memory; the target passes through.
 */
export function createPatch({ format, ...input }: CreatePatchOptions): AsyncIterable<Uint8Array> {
  const { needsSource, create } = PATCH_FORMATS[format];
  if (needsSource && !input.source) throw refusePatch(`${format} needs a source`);
  return create(input);
}

export interface ApplyPatchOptions extends ApplyInput {
  format: ArtifactFormat;
  /** Called in order, each call after the one before has resolved; until then the chunk is good. */
  write(chunk: Uint8Array): Promise<void>;
  /** Where an earlier run was cut off: what it had written is made again, compared, not written. */
  resumeFrom?: PatchCheckpoint | undefined;
  /** Told after each `write` has resolved. */
  onCheckpoint?: ((checkpoint: PatchCheckpoint) => void) | undefined;
}

/**
 * Rebuilds an image of exactly `expectedSizeBytes` and hands it to `write`. The patch may be
 * hostile: what is cut, corrupt, padded, larger than announced or needs more than `maxMemoryBytes`
 * is refused with `delta-invalid`. A patch can still rebuild a wrong image of the right size, so the
 * caller compares the hash. Errors of `patch`, `source` and `write` pass unchanged.
 */
export async function applyPatch(options: ApplyPatchOptions): Promise<void> {
  const { format, write, resumeFrom, onCheckpoint, ...input } = options;
  const { needsSource, apply } = PATCH_FORMATS[format];
  if (needsSource && !input.source) throw refusePatch(`${format} needs a source`);
  const resumeAt = resumeFrom?.writtenBytes ?? 0;
  let made = 0;
  let checksum = 0;
  const expectSame = () => {
    if (made !== resumeAt || checksum === (resumeFrom?.checksum ?? 0)) return;
    throw refusePatch("the patch does not make what was written before", {
      writtenBytes: resumeAt,
    });
  };
  expectSame();
  for await (const chunk of apply(input)) {
    if (made + chunk.length > input.expectedSizeBytes) {
      throw refusePatch("the patch makes too large an image");
    }
    const known = Math.max(0, Math.min(chunk.length, resumeAt - made));
    for (const part of [chunk.subarray(0, known), chunk.subarray(known)]) {
      if (part.length === 0) continue;
      checksum = crc32(part, checksum);
      made += part.length;
      expectSame();
      if (made <= resumeAt) continue;
      await write(part);
      onCheckpoint?.({ writtenBytes: made, checksum });
    }
  }
  if (made !== input.expectedSizeBytes) {
    throw refusePatch("the patch is cut short", {
      writtenBytes: made,
      expectedSizeBytes: input.expectedSizeBytes,
    });
  }
}

/** Bytes of memory that applying holds at most, so that a device can choose before it downloads. */
export function memoryToApply(
  format: ArtifactFormat,
  sizes: { sourceSizeBytes: number; targetSizeBytes: number },
): number {
  return PATCH_FORMATS[format].memoryToApply(sizes);
}

/** What the first `PATCH_HEAD_BYTES` of a patch, or all there are, tell about it. */
export function patchInfo(patch: Uint8Array): PatchInfo {
  if (isVdelta(patch)) return vdeltaInfo(patch);
  if (isUnpacked(patch)) return unpackedInfo(patch);
  const plain = { formats: ["full"], targetSizeBytes: null, windowBytes: 0, checksum: false };
  return frameInfo(patch) ?? plain;
}
