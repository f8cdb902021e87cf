import { randomBytes } from "node:crypto";
import { applyPatch, createPatch } from "../../src/delta/index.ts";
import { seededRandom } from "../../src/kernel/index.ts";
import type { ArtifactFormat } from "../../src/protocol/index.ts";

export interface ImagePair {
  source: Buffer;
  target: Buffer;
}

const PLENTY = 1024 ** 3;

export async function makePatch(
  format: ArtifactFormat,
  { source, target }: ImagePair,
  memoryBytes?: number,
): Promise<Buffer> {
  const patch: Uint8Array[] = [];
  for await (const chunk of createPatch({
    format,
    source,
    target: inChunks(target, 65_536),
    targetSizeBytes: target.length,
    memoryBytes,
  })) {
    patch.push(chunk);
  }
  return Buffer.concat(patch);
}

export interface RebuildOptions {
  chunkBytes?: number;
  /** The source answers with no more than this at once. */
  readBytes?: number;
  maxMemoryBytes?: number;
}

/** Applies a patch; throws where it reads outside of the source or writes too much. */
export async function rebuildImage(
  format: ArtifactFormat,
  source: Buffer,
  patch: Uint8Array,
  expectedSizeBytes: number,
  { chunkBytes = 1_000, readBytes = PLENTY, maxMemoryBytes = PLENTY }: RebuildOptions = {},
): Promise<Buffer> {
  const written: Buffer[] = [];
  let bytes = 0;
  await applyPatch({
    format,
    source: {
      sizeBytes: source.length,
      async read(offset, length) {
        if (offset < 0 || length < 0 || offset + length > source.length) {
          throw new Error(`read of ${length} at ${offset}, outside of the source`);
        }
        return source.subarray(offset, offset + Math.min(length, readBytes));
      },
    },
    patch: inChunks(patch, chunkBytes),
    expectedSizeBytes,
    maxMemoryBytes,
    async write(chunk) {
      bytes += chunk.length;
      if (bytes > expectedSizeBytes) throw new Error(`wrote ${bytes} of ${expectedSizeBytes}`);
      written.push(Buffer.from(chunk));
    },
  });
  return Buffer.concat(written);
}

export async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += size) {
    yield bytes.subarray(offset, offset + size);
  }
}

/** A copy of an image with bytes changed, parts moved, cut out and put in. */
export function editImage(image: Buffer, seed: number): Buffer {
  const random = seededRandom(seed);
  const integer = (bound: number) => Math.floor(random.next() * bound);
  const parts: Buffer[] = [];
  for (let offset = 0; offset < image.length; ) {
    const length = Math.min(1 + integer(integer(image.length) + 1), image.length - offset);
    const part = Buffer.from(image.subarray(offset, offset + length));
    const kind = integer(6);
    if (kind === 0) part[integer(length)] = integer(256);
    if (kind === 1) parts.push(randomBytes(integer(50)));
    if (kind === 2) parts.unshift(part);
    else if (kind !== 3) parts.push(part);
    offset += length;
  }
  return Buffer.concat(parts);
}

/** What a hostile or broken sender may make of a patch. */
export function damagePatch(patch: Buffer, seed: number): Buffer {
  const random = seededRandom(seed);
  const integer = (bound: number) => Math.floor(random.next() * bound);
  const damaged = Buffer.from(patch);
  for (let times = 1 + integer(4); times > 0; times -= 1) {
    const at = integer(integer(2) === 0 ? Math.min(64, patch.length) : patch.length);
    const kind = integer(4);
    if (kind === 0) damaged[at] = integer(256);
    if (kind === 1) damaged[at] = (damaged[at] as number) ^ (1 << integer(8));
    if (kind === 2)
      damaged.fill(integer(2) === 0 ? 0xff : 0, at, Math.min(patch.length, at + 1 + integer(6)));
    if (kind === 3) damaged.copyWithin(at, integer(patch.length), integer(patch.length));
  }
  return integer(5) === 0 ? damaged.subarray(0, integer(damaged.length)) : damaged;
}
