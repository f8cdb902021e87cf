import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { constants, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyPatch, createPatch, memoryToApply, patchInfo } from "../../src/delta/index.ts";
import { seededRandom } from "../../src/kernel/index.ts";
import type { ArtifactFormat } from "../../src/protocol/index.ts";
import { firmwarePairs } from "../support/firmware-pairs.ts";

const FORMATS: ArtifactFormat[] = ["full", "full-zstd", "zstd-patch"];
const PLENTY = 1024 ** 3;

describe("patch formats", () => {
  it.each(FORMATS)("%s rebuilds any target from any source", async (format) => {
    await fc.assert(
      fc.asyncProperty(imagePair(), fc.integer({ min: 1, max: 70_000 }), async (pair, chunk) => {
        const patch = await make(format, pair.source, pair.target);
        const rebuilt = await rebuild(format, pair.source, patch, pair.target.length, { chunk });
        expect(rebuilt.equals(pair.target)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("refuses a patch cut at any place, and one that goes on behind its end", async () => {
    const { source, target } = editedPair(40_000, 7);
    for (const format of ["full-zstd", "zstd-patch"] as const) {
      const patch = await make(format, source, target);
      for (let length = 0; length < patch.length; length += 1 + Math.floor(length / 20)) {
        await expectRefusal(rebuild(format, source, patch.subarray(0, length), target.length));
      }
      await expectRefusal(
        rebuild(format, source, patch.subarray(0, patch.length - 1), target.length),
      );
      const padded = Buffer.concat([patch, Buffer.from([0])]);
      await expectRefusal(rebuild(format, source, padded, target.length));
      const twice = Buffer.concat([patch, patch]);
      await expectRefusal(rebuild(format, source, twice, target.length));
    }
  });

  it("refuses a flipped bit, or lets the hash find it, and never writes beyond the size", async () => {
    const { source, target } = editedPair(30_000, 11);
    for (const format of FORMATS) {
      const patch = await make(format, source, target);
      const step = Math.ceil(patch.length / 300);
      for (let index = 0; index < patch.length; index += index < 40 ? 1 : step) {
        const damaged = Buffer.from(patch);
        damaged[index] = (damaged[index] as number) ^ (1 << (index % 8));
        const rebuilt = await rebuild(format, source, damaged, target.length).catch((error) => {
          expect(error).toMatchObject({ code: "delta-invalid" });
        });
        if (!rebuilt) continue;
        expect(rebuilt.length).toBe(target.length);
        // A bit that RFC 8878 leaves unused may flip without consequence.
        if (!rebuilt.equals(target)) expect(sha256(rebuilt)).not.toBe(sha256(target));
      }
    }
  });

  it("refuses random bytes as a patch", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (bytes, magic) => {
        const patch = magic
          ? Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), bytes])
          : Buffer.from(bytes);
        await expectRefusal(rebuild("zstd-patch", Buffer.from("old image"), patch, 1_000_003));
      }),
      { numRuns: 200 },
    );
  });

  it("refuses the wrong source", async () => {
    const { source, target } = editedPair(50_000, 3);
    const patch = await make("zstd-patch", source, target);
    await expectRefusal(rebuild("zstd-patch", randomBytes(source.length), patch, target.length));
    await expectRefusal(rebuild("zstd-patch", null, patch, target.length));
  });

  it("refuses a bomb before it unpacks it: by its announced size, by its window", async () => {
    const bomb = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024));
    let written = 0;
    const counting = { onWrite: (bytes: number) => (written += bytes) };
    await expectRefusal(rebuild("full-zstd", null, bomb, 1000, counting));
    const wide = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024), {
      params: { [constants.ZSTD_c_windowLog]: 26 },
    });
    const refusal = rebuild("full-zstd", null, wide, 64 * 1024 * 1024, {
      maxMemoryBytes: 16 * 1024 * 1024,
      ...counting,
    });
    await expect(refusal).rejects.toMatchObject({
      code: "delta-invalid",
      details: { maxMemoryBytes: 16 * 1024 * 1024 },
    });
    expect(written).toBe(0);
    await expectRefusal(rebuild("full", null, Buffer.alloc(1001), 1000));
    await expectRefusal(rebuild("full", null, Buffer.alloc(999), 1000));
  });

  it("says what memory applying takes, and keeps to the bound that it is given", async () => {
    const { source, target } = editedPair(200_000, 5);
    const patch = await make("zstd-patch", source, target);
    const sizes = { sourceSizeBytes: source.length, targetSizeBytes: target.length };
    const needed = memoryToApply("zstd-patch", sizes);
    const enough = { maxMemoryBytes: needed };
    const rebuilt = await rebuild("zstd-patch", source, patch, target.length, enough);
    expect(rebuilt.equals(target)).toBe(true);
    const tooLittle = { maxMemoryBytes: 2 * source.length - 1 };
    await expectRefusal(rebuild("zstd-patch", source, patch, target.length, tooLittle));
    expect(memoryToApply("full", sizes)).toBe(0);
  });

  it("tells from the first bytes what a patch is", async () => {
    const { source, target } = editedPair(5_000, 9);
    const patch = await make("zstd-patch", source, target);
    expect(patchInfo(patch.subarray(0, 18))).toEqual({
      formats: ["full-zstd", "zstd-patch"],
      targetSizeBytes: target.length,
      windowBytes: target.length,
      checksum: true,
    });
    expect(patchInfo(target)).toMatchObject({ formats: ["full"], targetSizeBytes: null });
  });

  it("will not diff against a source that zstd would take for a trained dictionary", async () => {
    const source = Buffer.concat([Buffer.from([0x37, 0xa4, 0x30, 0xec]), randomBytes(500)]);
    await expectRefusal(make("zstd-patch", source, Buffer.from("new")));
  });

  it("passes on what goes wrong outside the patch", async () => {
    const { source, target } = editedPair(30_000, 13);
    const patch = await make("zstd-patch", source, target);
    const failing = applyPatch({
      format: "zstd-patch",
      source: sourceOf(source),
      patch: chunks(patch, 100),
      expectedSizeBytes: target.length,
      maxMemoryBytes: PLENTY,
      write: () => Promise.reject(new Error("no space left")),
    });
    await expect(failing).rejects.toThrow("no space left");
    const lost = (async function* () {
      yield patch.subarray(0, 10);
      throw new Error("connection lost");
    })();
    const cut = applyPatch({
      format: "full-zstd",
      source: null,
      patch: lost,
      expectedSizeBytes: target.length,
      maxMemoryBytes: PLENTY,
      write: async () => {},
    });
    await expect(cut).rejects.toThrow("connection lost");
  });
});

describe("real firmware", () => {
  const pairs = firmwarePairs();
  it.each(pairs.map((pair) => [pair.name, pair] as const))(
    "%s: the patch rebuilds the new image and is smaller than the full one",
    async (_name, pair) => {
      const patch = await make("zstd-patch", pair.source, pair.target);
      const full = await make("full-zstd", pair.source, pair.target);
      expect(patch.length).toBeLessThan(full.length);
      const rebuilt = await rebuild("zstd-patch", pair.source, patch, pair.target.length);
      expect(sha256(rebuilt)).toBe(sha256(pair.target));
    },
  );

  const zstd = spawnSync("zstd", ["--version"]).error === undefined;
  it.skipIf(!zstd)("is read by the stock zstd, and reads what that makes", async () => {
    const pair = pairs[0];
    if (!pair) throw new Error("no firmware pair found");
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-delta-"));
    const file = (name: string) => path.join(folder, name);
    try {
      fs.writeFileSync(file("old"), pair.source);
      fs.writeFileSync(file("new"), pair.target);
      fs.writeFileSync(file("ours"), await make("zstd-patch", pair.source, pair.target));
      const from = `--patch-from=${file("old")}`;
      runZstd("-d", from, file("ours"), "-o", file("rebuilt"));
      expect(fs.readFileSync(file("rebuilt")).equals(pair.target)).toBe(true);
      runZstd("-19", from, file("new"), "-o", file("theirs"));
      const theirs = fs.readFileSync(file("theirs"));
      const rebuilt = await rebuild("zstd-patch", pair.source, theirs, pair.target.length);
      expect(rebuilt.equals(pair.target)).toBe(true);
    } finally {
      fs.rmSync(folder, { recursive: true, force: true });
    }
  });
});

function runZstd(...args: string[]): void {
  const { status, stderr } = spawnSync("zstd", ["-q", "-f", ...args], { encoding: "utf8" });
  expect(status, stderr).toBe(0);
}

/** Pairs of every kind: edited, unrelated, equal, empty. */
function imagePair(): fc.Arbitrary<{ source: Buffer; target: Buffer }> {
  const bytes = fc.uint8Array({ maxLength: 2_000 }).map((array) => Buffer.from(array));
  return fc.oneof(
    fc.record({ source: bytes, target: bytes }),
    bytes.map((image) => ({ source: image, target: image })),
    bytes.map((image) => ({ source: image, target: Buffer.alloc(0) })),
    bytes.map((image) => ({ source: Buffer.alloc(0), target: image })),
    fc
      .record({ size: fc.integer({ min: 1, max: 300_000 }), seed: fc.nat() })
      .map(({ size, seed }) => editedPair(size, seed)),
  );
}

/** An image of repetitive words and a copy with bytes changed, moved, cut out and put in. */
function editedPair(size: number, seed: number): { source: Buffer; target: Buffer } {
  const random = seededRandom(seed);
  const integer = (bound: number) => Math.floor(random.next() * bound);
  const source = Buffer.alloc(size);
  for (let index = 0; index < size; index += 1) source[index] = integer(integer(256) + 1);
  const parts: Buffer[] = [];
  for (let offset = 0; offset < size; ) {
    const length = Math.min(1 + integer(size), size - offset);
    const part = Buffer.from(source.subarray(offset, offset + length));
    const kind = integer(4);
    if (kind === 0) part[integer(length)] = integer(256);
    if (kind === 1) parts.push(randomBytes(integer(50)));
    if (kind !== 2) parts.push(part);
    offset += length;
  }
  return { source, target: Buffer.concat(parts) };
}

async function make(format: ArtifactFormat, source: Buffer, target: Buffer): Promise<Buffer> {
  const patch: Uint8Array[] = [];
  for await (const chunk of createPatch({
    format,
    source,
    target: chunks(target, 65_536),
    targetSizeBytes: target.length,
  })) {
    patch.push(chunk);
  }
  return Buffer.concat(patch);
}

async function rebuild(
  format: ArtifactFormat,
  source: Buffer | null,
  patch: Buffer,
  expectedSizeBytes: number,
  options: { chunk?: number; maxMemoryBytes?: number; onWrite?: (bytes: number) => void } = {},
): Promise<Buffer> {
  const written: Uint8Array[] = [];
  let bytes = 0;
  await applyPatch({
    format,
    source: source && sourceOf(source),
    patch: chunks(patch, options.chunk ?? 1_000),
    expectedSizeBytes,
    maxMemoryBytes: options.maxMemoryBytes ?? PLENTY,
    async write(chunk) {
      bytes += chunk.length;
      expect(bytes).toBeLessThanOrEqual(expectedSizeBytes);
      options.onWrite?.(chunk.length);
      written.push(Buffer.from(chunk));
    },
  });
  return Buffer.concat(written);
}

function sourceOf(image: Buffer) {
  return {
    sizeBytes: image.length,
    read: async (offset: number, length: number) => image.subarray(offset, offset + length),
  };
}

async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += size) {
    yield bytes.subarray(offset, offset + size);
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function expectRefusal(work: Promise<unknown>): Promise<void> {
  await expect(work).rejects.toMatchObject({ code: "delta-invalid" });
}
