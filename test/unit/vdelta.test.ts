import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { constants, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createPatch, memoryToApply } from "../../src/delta/index.ts";
import type { AddressSpace } from "../../src/delta/vdelta/address-spaces.ts";
import { ARCHITECTURES, type Architecture } from "../../src/delta/vdelta/architectures.ts";
import { encodeFast } from "../../src/delta/vdelta/fast.ts";
import { decodeHeader, encodeHeader, MAX_SPACES } from "../../src/delta/vdelta/header.ts";
import { planDelta } from "../../src/delta/vdelta/plan.ts";
import { PROFILES } from "../../src/delta/vdelta/profile.ts";
import { encodeSmall, type SmallPlan } from "../../src/delta/vdelta/small.ts";
import { firmwarePairs } from "../support/firmware-pairs.ts";
import {
  damagePatch,
  editImage,
  type ImagePair,
  inChunks,
  makePatch,
  type RebuildOptions,
  rebuildImage,
} from "../support/patching.ts";

const FORMATS = ["vdelta-fast", "vdelta-small"] as const;
const [firmware] = firmwarePairs();
const golden: {
  offset: number;
  length: number;
  sourceSha256: string;
  patches: { name: string; format: string; patch: string }[];
} = JSON.parse(
  fs.readFileSync(path.join(import.meta.dirname, "../support/golden-vdelta.json"), "utf8"),
);
const SLICE_BYTES = 24_000;
const SLOW_MS = 300_000;
/** Of processor time: the machine may have other work. */
const MAX_CPU_MS = 60_000;

describe("vdelta", () => {
  it.each(FORMATS)(
    "%s rebuilds edited parts of real images, in any chunks",
    async (format) => {
      const edits = fc.record({
        offset: fc.nat(200_000),
        length: fc.integer({ min: 0, max: SLICE_BYTES }),
        seed: fc.nat(),
      });
      const chunkBytes = fc.constantFrom(1, 7, 1_000, 100_000);
      await fc.assert(
        fc.asyncProperty(edits, chunkBytes, async ({ offset, length, seed }, chunk) => {
          const source = realImage().subarray(offset, offset + length);
          const target = editImage(source, seed);
          await expectIdentity(format, { source, target }, chunk);
        }),
        { numRuns: 12 },
      );
    },
    SLOW_MS,
  );

  it.each(FORMATS)("%s rebuilds what is empty, equal, swapped or unrelated", async (format) => {
    const image = realImage().subarray(40_000, 60_000);
    const halves = [image.subarray(10_000), image.subarray(0, 10_000)];
    const empty = Buffer.alloc(0);
    const pairs: ImagePair[] = [
      { source: empty, target: empty },
      { source: empty, target: image },
      { source: image, target: empty },
      { source: image, target: image },
      { source: image, target: Buffer.concat(halves) },
      { source: image, target: randomBytes(5_000) },
      { source: randomBytes(3), target: image.subarray(0, 2) },
    ];
    for (const pair of pairs) await expectIdentity(format, pair, 999);
  });

  it("lines up erased flash without looking through it from each byte anew", async () => {
    const blocks = Array.from({ length: 40 }, () => randomBytes(100));
    const flash = (gap: number) =>
      Buffer.concat([
        ...blocks.flatMap((block) => [block, Buffer.alloc(gap)]),
        Buffer.alloc(900_000),
      ]);
    const started = process.cpuUsage();
    await expectIdentity("vdelta-fast", { source: flash(20_000), target: flash(20_004) }, 100_000);
    const { user, system } = process.cpuUsage(started);
    expect((user + system) / 1000).toBeLessThan(MAX_CPU_MS);
  });

  it.each(PROFILES.map(({ name, memoryBytes }) => [name, memoryBytes] as const))(
    "vdelta-small rebuilds an image by the profile of %s, in no more memory",
    async (_name, memoryBytes) => {
      const pair = realPair(SLICE_BYTES);
      const patch = await makePatch("vdelta-small", pair, memoryBytes);
      expect(PROFILES[headerOf(patch).profile]?.memoryBytes).toBe(memoryBytes);
      const { length } = pair.target;
      const rebuilt = await rebuildImage("vdelta-small", pair.source, patch, length);
      expect(rebuilt.equals(pair.target)).toBe(true);
      await expectRefusal("vdelta-small", pair, patch, { maxMemoryBytes: memoryBytes });
    },
  );

  it.each(ARCHITECTURES)(
    "guesses alike in both directions as %s, wherever a step ends",
    async (architecture) => {
      const pair = realPair(SLICE_BYTES);
      for (const plan of plansFor(pair, architecture)) {
        for (const patch of [
          encodeSmall(pair.source, pair.target, plan),
          encodeFast(pair.source, pair.target, plan),
        ]) {
          const { coder } = headerOf(patch);
          const { length } = pair.target;
          const options = { chunkBytes: 1, readBytes: 501 };
          const format = `vdelta-${coder}` as const;
          const rebuilt = await rebuildImage(format, pair.source, patch, length, options);
          expect(rebuilt.equals(pair.target)).toBe(true);
        }
      }
    },
  );

  it("keeps to the memory that it announces", async () => {
    const pair = realPair(SLICE_BYTES);
    const sizes = { sourceSizeBytes: pair.source.length, targetSizeBytes: pair.target.length };
    for (const format of FORMATS) {
      const patch = await makePatch(format, pair);
      const maxMemoryBytes = memoryToApply(format, sizes);
      const options = { maxMemoryBytes };
      await rebuildImage(format, pair.source, patch, pair.target.length, options);
      await expectRefusal(format, pair, patch, { maxMemoryBytes: 100_000 });
    }
  });

  it("tells the stage and how far it is, and ends where the listener throws", async () => {
    const pair = realPair(SLICE_BYTES);
    const stages = new Set<string>();
    const make = (onProgress: (stage: string, share: number) => void) =>
      Array.fromAsync(
        createPatch({
          format: "vdelta-small",
          source: pair.source,
          target: inChunks(pair.target, 1_000),
          targetSizeBytes: pair.target.length,
          onProgress,
        }),
      );
    await make((stage, share) => {
      stages.add(stage);
      expect(share).toBeGreaterThanOrEqual(0);
      expect(share).toBeLessThanOrEqual(1);
    });
    expect([...stages]).toEqual(["indexing", "aligning", "coding"]);
    const cancelled = make((stage) => {
      if (stage === "coding") throw new Error("cancelled");
    });
    await expect(cancelled).rejects.toThrow("cancelled");
  });
});

describe("vdelta of each version", () => {
  const { offset, length, sourceSha256, patches } = golden;
  const [source, target] = [firmware?.source, firmware?.target].map((image) =>
    image?.subarray(offset, offset + length),
  ) as [Buffer, Buffer];
  it.each(patches)("still applies as it was made: $name", async ({ format, patch }) => {
    expect(createHash("sha256").update(source).digest("hex")).toBe(sourceSha256);
    const bytes = Buffer.from(patch, "base64");
    const rebuilt = await rebuildImage(format as Format, source, bytes, length);
    expect(rebuilt.equals(target)).toBe(true);
  });
});

describe("a hostile vdelta", () => {
  it.each(FORMATS)(
    "%s: every byte flipped and every length cut is refused",
    async (format) => {
      const pair = realPair(1_500);
      const patch = await makePatch(format, pair);
      for (let length = 0; length < patch.length; length += 1) {
        await expectRefusal(format, pair, patch.subarray(0, length));
      }
      for (let index = 0; index < patch.length; index += 1) {
        const damaged = Buffer.from(patch);
        damaged[index] = (damaged[index] as number) ^ (1 << (index % 8));
        await expectRefusalOrSame(format, pair, damaged);
      }
      await expectRefusal(format, pair, Buffer.concat([patch, Buffer.from([0])]));
    },
    SLOW_MS,
  );

  it.each(FORMATS)("%s: the wrong source is refused", async (format) => {
    const pair = realPair(SLICE_BYTES);
    const patch = await makePatch(format, pair);
    const { length } = pair.source;
    const other = { ...pair, source: randomBytes(length) };
    await expectRefusal(format, other, patch);
    await expectRefusal(format, { ...pair, source: pair.source.subarray(1) }, patch);
  });

  it("cannot announce more steps, spaces or bytes than it may have", async () => {
    const pair = realPair(SLICE_BYTES);
    const patch = await makePatch("vdelta-small", pair);
    const header = headerOf(patch);
    const body = patch.subarray(encodeHeader(header).length);
    const forge = (change: Partial<typeof header>) =>
      Buffer.concat([encodeHeader({ ...header, ...change }), body]);
    const space = {
      module: 1,
      source: 0,
      length: 1,
      sourceAddress: 0,
      target: 0,
      targetAddress: 0,
    };
    const forged = [
      forge({ steps: header.targetSize + 1 }),
      forge({ steps: header.targetSize + 2 }),
      forge({ steps: 0 }),
      forge({ sourceSize: 2 ** 31 - 1 }),
      forge({ targetSize: header.targetSize + 1 }),
      forge({ targetSize: 2 ** 31 - 1 }),
      forge({ spaces: [{ ...space, source: header.sourceSize }] }),
      forge({ spaces: [{ ...space, target: header.targetSize + 1 }] }),
      forge({ spaces: [{ ...space, module: 2 }] }),
      forge({ spaces: spacesLike(space, 17, 0) }),
      forge({ spaces: spacesLike(space, MAX_SPACES + 1, 1) }),
      forge({ checksum: header.checksum ^ 1 }),
    ];
    for (const each of forged) {
      await expectRefusal("vdelta-small", pair, each, { maxMemoryBytes: 64 * 1024 ** 2 });
    }
  });

  it("cannot unpack more than a block, nor through a window wider than that", async () => {
    const pair = { source: Buffer.alloc(10), target: Buffer.alloc(10) };
    const header = headerOf(await makePatch("vdelta-fast", pair));
    const bomb = zstdCompressSync(Buffer.alloc(64 * 1024 ** 2));
    const wide = zstdCompressSync(randomBytes(1000), {
      params: { [constants.ZSTD_c_windowLog]: 26, [constants.ZSTD_c_contentSizeFlag]: 0 },
    });
    for (const stream of [bomb, wide]) {
      const packed = Buffer.concat([varint(2 ** 26), varint(stream.length), stream]);
      await expectRefusal("vdelta-fast", pair, Buffer.concat([encodeHeader(header), packed]));
    }
  });

  it(
    "is refused, or rebuilds an image of the right size, whatever was done to it",
    async () => {
      const started = process.cpuUsage();
      for (const format of FORMATS) {
        const pair = realPair(3_000);
        const patch = await makePatch(format, pair);
        for (let seed = 0; seed < 150; seed += 1) {
          await expectRefusalOrSame(format, pair, damagePatch(patch, seed));
        }
      }
      const { user, system } = process.cpuUsage(started);
      expect((user + system) / 1000).toBeLessThan(MAX_CPU_MS);
    },
    SLOW_MS,
  );
});

function spacesLike(space: AddressSpace, count: number, moduleStep: number): AddressSpace[] {
  return Array.from({ length: count }, (_, index) => ({
    ...space,
    module: 1 + index * moduleStep,
    source: index,
  }));
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Buffer.from([...bytes, rest]);
}

function realImage(): Buffer {
  if (!firmware) throw new Error("no firmware pair found");
  return firmware.source;
}

/** Code of both releases: many branches and pointers differ. */
function realPair(length: number): ImagePair {
  if (!firmware) throw new Error("no firmware pair found");
  const offset = 30_000;
  return {
    source: firmware.source.subarray(offset, offset + length),
    target: firmware.target.subarray(offset, offset + length),
  };
}

/** With and without addresses; a firmware's spaces also at odd places. */
function plansFor({ source, target }: ImagePair, architecture: Architecture): SmallPlan[] {
  const [plan] = planDelta(source, target, { profile: 1, maxRegions: 1_000 });
  if (!plan) throw new Error("no plan was made");
  const half = source.length >> 1;
  const first = { module: 1, source: 5, length: half, sourceAddress: 0x08000000 };
  const second = { module: 1, source: half + 9, length: 3_000, sourceAddress: 0xfffffff0 };
  const spaces = [
    { ...first, target: 5, targetAddress: 0x08000100 },
    { ...second, target: half, targetAddress: 0x10 },
  ];
  return [[], spaces].map((each) => ({
    ...plan,
    header: { ...plan.header, architecture, spaces: each },
  }));
}

function headerOf(patch: Uint8Array) {
  let position = 0;
  return decodeHeader({ next: () => patch[position++] ?? 0 });
}

type Format = (typeof FORMATS)[number];

async function expectIdentity(format: Format, pair: ImagePair, chunkBytes: number): Promise<void> {
  const patch = await makePatch(format, pair);
  const { length } = pair.target;
  const rebuilt = await rebuildImage(format, pair.source, patch, length, { chunkBytes });
  expect(rebuilt.equals(pair.target)).toBe(true);
}

async function expectRefusal(
  format: Format,
  { source, target }: ImagePair,
  patch: Uint8Array,
  options?: RebuildOptions,
): Promise<void> {
  const work = rebuildImage(format, source, patch, target.length, options);
  await expect(work).rejects.toMatchObject({ code: "delta-invalid" });
}

/** A change may hit a bit that nothing depends on; then nothing may come of it. */
async function expectRefusalOrSame(
  format: Format,
  { source, target }: ImagePair,
  patch: Uint8Array,
): Promise<void> {
  const rebuilt = await rebuildImage(format, source, patch, target.length).catch((error) => {
    expect(error).toMatchObject({ code: "delta-invalid" });
  });
  if (rebuilt) expect(rebuilt.equals(target)).toBe(true);
}
