import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyPatch, type PatchCheckpoint } from "../../src/delta/index.ts";
import { firmwarePairs } from "../support/firmware-pairs.ts";
import { editImage, type ImagePair, inChunks, makePatch } from "../support/patching.ts";

const FORMATS = ["full-zstd", "zstd-patch", "vdelta-fast", "vdelta-small"] as const;
const IMAGE_BYTES = 300_000;
const SLOW_MS = 300_000;
const PLENTY = 1024 ** 3;

class PowerCut extends Error {}

describe("applying a patch after a power cut", () => {
  it.each(FORMATS)(
    "%s goes on from a checkpoint at any byte, and writes nothing twice",
    async (format) => {
      const pair = editedPair();
      const patch = await makePatch(format, pair);
      const cuts = fc.array(fc.nat(pair.target.length), { minLength: 1, maxLength: 3 });
      await fc.assert(
        fc.asyncProperty(cuts, async (places) => {
          const flash = Buffer.alloc(pair.target.length);
          let checkpoint: PatchCheckpoint | undefined;
          for (const cut of [...places.sort((a, b) => a - b), PLENTY]) {
            checkpoint = await run({ format, pair, patch, flash, cut, checkpoint });
          }
          expect(flash.equals(pair.target)).toBe(true);
        }),
        { numRuns: 6 },
      );
    },
    SLOW_MS,
  );

  it("is refused where the patch does not make what was written", async () => {
    const pair = editedPair();
    const patch = await makePatch("vdelta-fast", pair);
    const flash = Buffer.alloc(pair.target.length);
    const checkpoint = { writtenBytes: 1000, checksum: crc32(pair.target.subarray(0, 999)) };
    const work = run({ format: "vdelta-fast", pair, patch, flash, cut: PLENTY, checkpoint });
    await expect(work).rejects.toMatchObject({ code: "delta-invalid" });
    expect(flash.equals(Buffer.alloc(pair.target.length))).toBe(true);
  });
});

interface Run {
  format: (typeof FORMATS)[number];
  pair: ImagePair;
  patch: Buffer;
  flash: Buffer;
  /** Power is lost before this byte is written. */
  cut: number;
  checkpoint: PatchCheckpoint | undefined;
}

/** Applies until the cut; returns what the device has kept of it. */
async function run({ format, pair, patch, flash, cut, checkpoint }: Run) {
  let position = checkpoint?.writtenBytes ?? 0;
  let kept = checkpoint;
  const work = applyPatch({
    format,
    source: {
      sizeBytes: pair.source.length,
      read: async (offset, length) => pair.source.subarray(offset, offset + length),
    },
    patch: inChunks(patch, 10_000),
    expectedSizeBytes: pair.target.length,
    maxMemoryBytes: PLENTY,
    async write(chunk) {
      flash.set(chunk.subarray(0, Math.max(0, cut - position)), position);
      if (position + chunk.length > cut) {
        // A part of the chunk has reached the flash, and the device can say so after it.
        const writtenBytes = Math.max(position, cut);
        kept = { writtenBytes, checksum: crc32(flash.subarray(0, writtenBytes)) };
        throw new PowerCut();
      }
      position += chunk.length;
    },
    resumeFrom: checkpoint,
    onCheckpoint: (reached) => {
      kept = reached;
    },
  });
  await work.catch((error) => {
    if (!(error instanceof PowerCut)) throw error;
  });
  return kept;
}

function editedPair(): ImagePair {
  const [firmware] = firmwarePairs();
  if (!firmware) throw new Error("no firmware pair found");
  const source = firmware.source.subarray(0, IMAGE_BYTES);
  return { source, target: editImage(source, 3) };
}
