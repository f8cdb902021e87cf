import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteWriter } from "../../src/delta/containers/byte-writer.ts";
import { decodeHead, encodeHead } from "../../src/delta/containers/head.ts";
import {
  decodeRecipe,
  encodeRecipe,
  packRecipe,
  unpackRecipe,
} from "../../src/delta/containers/recipe.ts";
import { patchInfo } from "../../src/delta/index.ts";
import type { ArtifactFormat } from "../../src/protocol/index.ts";
import { firmwareParts, hasTool, pipeThrough, squashfsOf } from "../support/packed-images.ts";
import {
  damagePatch,
  editImage,
  type ImagePair,
  makePatch,
  type RebuildOptions,
  rebuildImage,
} from "../support/patching.ts";
import { asIntelHex, asUf2 } from "../support/text-images.ts";

const golden: {
  source: string;
  target: string;
  patches: { name: string; format: string; patch: string }[];
} = JSON.parse(
  fs.readFileSync(path.join(import.meta.dirname, "../support/golden-unpacked.json"), "utf8"),
);
const FAST = "unpacked-fast";
const SMALL = "unpacked-small";
const SLOW_MS = 60_000;
const parts = firmwareParts(30_000, 40_000);

/** An image that holds other things before and behind what is packed. */
function around(packed: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from("head of an image "), packed, Buffer.from(" and its end")]);
}

function packedPair(pack: (bytes: Buffer) => Uint8Array, pair = parts): ImagePair {
  return { source: around(pack(pair.source)), target: around(pack(pair.target)) };
}

/** Makes a patch, proves it, and says what was unpacked. */
async function proved(pair: ImagePair, format: typeof FAST | typeof SMALL = FAST) {
  const patch = await makePatch(format, pair);
  const rebuilt = await rebuildImage(format, pair.source, patch, pair.target.length);
  expect(rebuilt.equals(pair.target)).toBe(true);
  const streams = patchInfo(patch).unpacked?.streams ?? [];
  return { patch, codecs: Object.fromEntries(streams.map(({ codec, count }) => [codec, count])) };
}

const tool = (name: string) =>
  [`${name}${hasTool(name) ? "" : " (skipped: not installed)"}`, hasTool(name)] as const;

describe.each([
  [...tool("gzip"), "gzip", "gzip", ["-1", "-4", "-6", "-9"].map((level) => ["-nc", level])],
  [
    ...tool("pigz"),
    "pigz",
    "gzip",
    [
      ["-nc", "-9"],
      ["-nc", "-p1", "-6"],
      ["-zc", "-9"],
    ],
  ],
  [
    ...tool("xz"),
    "xz",
    "xz",
    [
      ["-c", "-T1"],
      ["-c", "-T1", "-9e", "--check=crc32"],
      ["-c", "-T1", "-4", "--check=sha256"],
      ["-c", "-T2", "--block-size=20000"],
      ["-c", "-T1", "--armthumb", "--lzma2=preset=6,lc=0,lp=2,dict=64KiB"],
      ["-c", "-T1", "--x86", "--lzma2"],
      ["-c", "-T1", "--arm64", "--lzma2"],
      ["-c", "-T1", "--arm", "--lzma2", "--check=none"],
    ],
  ],
] as const)("what %s packs", (_title, isThere, name, codec, ways) => {
  it.skipIf(!isThere).each(ways.map((options) => [options.join(" "), options] as const))(
    "is unpacked and packed again to the bit: %s",
    async (_options, options) => {
      const pair = packedPair((bytes) => pipeThrough(name, options, bytes));
      const { patch, codecs } = await proved(pair);
      const wanted = options.includes("-zc" as never) ? "zlib" : codec;
      expect(codecs).toEqual({ [wanted]: 1 });
      // What is packed whole differs from its first change on.
      expect(patch.length).toBeLessThan(0.8 * pair.target.length);
    },
    SLOW_MS,
  );
});

describe("a squashfs", () => {
  const isThere = hasTool("mksquashfs");
  const title = isThere ? "" : " (skipped: squashfs-tools is not installed)";
  const files = ({ source }: { source: Buffer }) =>
    new Map([
      ["a", source.subarray(0, 22_000)],
      ["b", source.subarray(22_000, 22_900)],
      ["c", source.subarray(23_000)],
    ]);
  it.skipIf(!isThere).each(["gzip", "xz"])(
    `packed with %s is unpacked block by block, its files in one piece${title}`,
    async (compressor) => {
      const options = ["-comp", compressor, "-b", "4096"];
      const pair = {
        source: squashfsOf(files(parts), options),
        target: squashfsOf(files({ source: parts.target }), options),
      };
      const { patch, codecs } = await proved(pair, SMALL);
      expect(codecs[compressor === "gzip" ? "zlib" : "xz"]).toBeGreaterThan(4);
      expect(patch.length).toBeLessThan(0.5 * pair.target.length);
    },
    SLOW_MS,
  );
});

describe("a firmware as text or in blocks", () => {
  const firmware = firmwareParts(0, 100_000);
  const ways: [string, (bytes: Buffer) => Buffer, string][] = [
    ["UF2", asUf2, "uf2"],
    ["UF2 in blocks of 476 bytes", (bytes) => asUf2(bytes, 476), "uf2"],
    ["Intel HEX", asIntelHex, "intel-hex"],
    ["Intel HEX of DOS", (bytes) => asIntelHex(bytes, { ending: "\r\n" }), "intel-hex"],
    [
      "Intel HEX in small letters, without an end",
      (bytes) => asIntelHex(bytes, { recordBytes: 32, isLowerCase: true, isOpen: true }),
      "intel-hex",
    ],
  ];
  it.each(ways)(
    "%s costs what its bytes cost",
    async (_title, wrap, codec) => {
      const pair = { source: wrap(firmware.source), target: wrap(firmware.target) };
      const { patch, codecs } = await proved(pair);
      expect(codecs).toEqual({ [codec]: 1 });
      const plain = await makePatch("vdelta-fast", firmware);
      expect(patch.length).toBeLessThan(1.05 * plain.length + 300);
    },
    SLOW_MS,
  );

  it("stays as it is where a line is written otherwise", async () => {
    const pair = { source: asIntelHex(firmware.source), target: asIntelHex(firmware.target) };
    pair.target.write(pair.target.subarray(0, 15).toString().toLowerCase(), 0);
    const patch = await makePatch(FAST, pair).catch(pointless);
    if (patch) await proved(pair);
  });
});

describe("a delta between unpacked forms", () => {
  it("follows streams into each other", async () => {
    const nested = packedPair((bytes) =>
      gzipSync(Buffer.concat([Buffer.alloc(700, 1), deflateSync(around(bytes)), bytes])),
    );
    const { codecs } = await proved(nested);
    expect(codecs).toMatchObject({ gzip: 1, zlib: 1 });
  });

  it("packs zstd frames of this version of the library", async () => {
    const pair = packedPair((bytes) => zstdCompressSync(bytes));
    const { patch, codecs } = await proved(pair);
    expect(codecs).toEqual({ zstd: 1 });
    expect(patchInfo(patch).unpacked?.requires).toBe(`zstd-${process.versions.zstd}`);
  });

  it("is refused where the device has another version of what it asks for", async () => {
    const pair = packedPair((bytes) => zstdCompressSync(bytes));
    const { head, headBytes } = decodeHead(await makePatch(FAST, pair));
    const patch = await makePatch(FAST, pair);
    const other = encodeHead({ ...head, requires: "zstd-0.1.2" });
    await expectRefusal(pair, Buffer.concat([other, patch.subarray(headBytes)]));
  });

  it("leaves packed what both images hold", async () => {
    const same = gzipSync(parts.source);
    const both = (bytes: Buffer) => Buffer.concat([same, gzipSync(bytes)]);
    const { codecs } = await proved(packedPair(both));
    expect(codecs).toEqual({ gzip: 1 });
    await expect(
      makePatch(
        FAST,
        packedPair(() => same),
      ),
    ).rejects.toMatchObject({
      code: "delta-pointless",
    });
  });

  it("is pointless where nothing is packed, or it cannot be packed again", async () => {
    const pointless = { code: "delta-pointless" };
    await expect(makePatch(FAST, parts)).rejects.toMatchObject(pointless);
    const secret = { source: randomBytes(20_000), target: randomBytes(20_000) };
    await expect(makePatch(SMALL, secret)).rejects.toMatchObject(pointless);
  });

  it(
    "rebuilds whatever is packed how often, in any chunks",
    async () => {
      const packers = [
        (bytes: Buffer) => gzipSync(bytes, { level: 9 }),
        (bytes: Buffer) => deflateSync(bytes, { level: 6, memLevel: 9 }),
        (bytes: Buffer) => deflateSync(bytes, { level: 1, windowBits: 15 }),
        (bytes: Buffer) => zstdCompressSync(bytes),
        (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(513), randomBytes(7)]),
      ];
      const way = fc.array(fc.constantFrom(...packers), { minLength: 1, maxLength: 4 });
      const edits = fc.record({ offset: fc.nat(20_000), length: fc.nat(20_000), seed: fc.nat() });
      const chunks = fc.constantFrom(1, 77, 100_000);
      await fc.assert(
        fc.asyncProperty(way, edits, chunks, async (ways, { offset, length, seed }, chunk) => {
          const pack = (bytes: Buffer) => ways.reduce((packed, each) => each(packed), bytes);
          const source = parts.source.subarray(offset, offset + length);
          const pair = { source: pack(source), target: pack(editImage(source, seed)) };
          const patch = await makePatch(FAST, pair).catch(pointless);
          if (!patch) return;
          const options = { chunkBytes: chunk, readBytes: Math.max(10, chunk) };
          const made = await rebuildImage(FAST, pair.source, patch, pair.target.length, options);
          expect(made.equals(pair.target)).toBe(true);
        }),
        { numRuns: 20 },
      );
    },
    SLOW_MS,
  );

  it("says what memory it takes, and takes no more than it may", async () => {
    const pair = packedPair((bytes) => gzipSync(bytes));
    const patch = await makePatch(FAST, pair);
    const maxMemoryBytes = patchInfo(patch).windowBytes;
    await rebuildImage(FAST, pair.source, patch, pair.target.length, { maxMemoryBytes });
    await expectRefusal(pair, patch, { maxMemoryBytes: maxMemoryBytes - 1 });
    await expectRefusal(pair, patch, { maxMemoryBytes: 100_000 });
  });
});

describe("the first version of an unpacked delta", () => {
  const [source, target] = [golden.source, golden.target].map((image) =>
    Buffer.from(image, "base64"),
  ) as [Buffer, Buffer];
  it.each(golden.patches)("still applies as it was made: $name", async ({ format, patch }) => {
    const bytes = Buffer.from(patch, "base64");
    const rebuilt = await rebuildImage(format as ArtifactFormat, source, bytes, target.length);
    expect(rebuilt.equals(target)).toBe(true);
  });
});

describe("a hostile delta between unpacked forms", () => {
  const pair = packedPair((bytes) => gzipSync(deflateSync(bytes)), firmwareParts(40_000, 1_500));

  it(
    "is refused whichever byte is another, and wherever it ends",
    async () => {
      const patch = await makePatch(FAST, pair);
      for (let length = 0; length < patch.length; length += 1) {
        await expectRefusal(pair, patch.subarray(0, length));
      }
      for (let index = 0; index < patch.length; index += 1) {
        const damaged = Buffer.from(patch);
        damaged[index] = (damaged[index] as number) ^ (1 << (index % 8));
        await expectRefusalOrSame(pair, damaged);
      }
      await expectRefusal(pair, Buffer.concat([patch, Buffer.from([0])]));
    },
    SLOW_MS,
  );

  it("is refused, or rebuilds the image, whatever was done to its head and recipe", async () => {
    const patch = await makePatch(FAST, pair);
    const { head, headBytes } = decodeHead(patch);
    const packed = patch.subarray(headBytes, headBytes + head.packedRecipeBytes);
    const recipe = Buffer.from(unpackRecipe(packed, head.recipeBytes));
    const rest = patch.subarray(headBytes + head.packedRecipeBytes);
    for (let seed = 0; seed < 300; seed += 1) {
      const bytes = damagePatch(recipe, seed);
      const body = packRecipe(bytes);
      const sizes = { recipeBytes: bytes.length, packedRecipeBytes: body.length };
      const forged = encodeHead({ ...head, ...sizes, memoryBytes: 2 ** 26 });
      await expectRefusalOrSame(pair, Buffer.concat([forged, body, rest]));
    }
  });

  it("cannot make a device unpack more than it announces", async () => {
    const bomb = gzipSync(Buffer.alloc(2 ** 26));
    const forPair = { source: Buffer.concat([bomb, parts.source]), target: pair.target };
    const stream = {
      codec: 1,
      offset: 10,
      packedBytes: bomb.length - 10,
      settings: new Uint8Array(0),
      parts: [],
    };
    const forge = (contentBytes: number, memoryBytes: number) => {
      const recipe = encodeRecipe({
        source: { streams: [{ ...stream, contentBytes }], cuts: [] },
        target: { streams: [], cuts: [] },
      });
      const packed = packRecipe(recipe);
      const sourceSize = forPair.source.length;
      return Buffer.concat([
        encodeHead({
          checksum: 0,
          sourceSize,
          targetSize: forPair.target.length,
          sourceFormSize: sourceSize - stream.packedBytes + contentBytes,
          targetFormSize: forPair.target.length,
          memoryBytes,
          streams: [0],
          requires: "",
          recipeBytes: recipe.length,
          packedRecipeBytes: packed.length,
        }),
        packed,
      ]);
    };
    const options = { maxMemoryBytes: 2 ** 24 };
    await expectRefusal(forPair, forge(2 ** 26, 2 ** 20), options);
    await expectRefusal(forPair, forge(2 ** 26, 2 ** 30), options);
    await expectRefusal(forPair, forge(2 ** 30, 2 ** 31 - 1), options);
  });

  it("cannot cut its forms so that bytes are missing, doubled or outside", () => {
    const sizes = { sourceSize: 1_000, targetSize: 1_000 };
    const streams: never[] = [];
    const forge = (write: (writer: ByteWriter) => void) => {
      const writer = new ByteWriter();
      write(writer);
      return writer.finish();
    };
    const nested = forge((writer) => {
      writer.varint(100);
      for (let depth = 0; depth < 20; depth += 1) {
        writer.varint(1);
        writer.bytes([0, 1, 20, 30]);
      }
    });
    expect(() => decodeRecipe(nested, sizes)).toThrow("too deeply");
    const outside = encodeRecipe({
      source: { streams: [{ ...HUGE, offset: 990 }], cuts: [] },
      target: { streams, cuts: [] },
    });
    expect(() => decodeRecipe(outside, sizes)).toThrow("outside");
  });
});

const HUGE = {
  codec: 0,
  offset: 0,
  packedBytes: 11,
  contentBytes: 100,
  settings: new Uint8Array(0),
  parts: [],
};

function pointless(error: unknown): undefined {
  expect(error).toMatchObject({ code: "delta-pointless" });
}

async function expectRefusal(
  { source, target }: ImagePair,
  patch: Uint8Array,
  options?: RebuildOptions,
): Promise<void> {
  const work = rebuildImage(FAST, source, patch, target.length, options);
  await expect(work).rejects.toMatchObject({ code: "delta-invalid" });
}

async function expectRefusalOrSame(
  { source, target }: ImagePair,
  patch: Uint8Array,
): Promise<void> {
  const rebuilt = await rebuildImage(FAST, source, patch, target.length).catch((error) => {
    expect(error).toMatchObject({ code: "delta-invalid" });
  });
  if (rebuilt) expect(rebuilt.equals(target)).toBe(true);
}
