import { describe, expect, it } from "vitest";
import { patchInfo } from "../../src/delta/index.ts";
import { findEspImages } from "../../src/delta/vdelta/esp-image.ts";
import { makePatch, rebuildImage } from "../support/patching.ts";

const HEAD_BYTES = 24;
const FLASH = 0x400d_0020;
const DATA = 0x3f40_0020;

interface Part {
  address: number;
  bytes: Buffer;
}

/** An image as esptool makes it, from its segments. */
function espImage(parts: readonly Part[], change: { sum?: number } = {}): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt8(0xe9, 0);
  head.writeUInt8(parts.length, 1);
  let sum = 0xef;
  const bodies = parts.flatMap(({ address, bytes }) => {
    const about = Buffer.alloc(8);
    about.writeUInt32LE(address, 0);
    about.writeUInt32LE(bytes.length, 4);
    for (const byte of bytes) sum ^= byte;
    return [about, bytes];
  });
  const image = Buffer.concat([head, ...bodies]);
  const padded = Buffer.alloc((image.length | 15) + 1);
  image.copy(padded);
  padded.writeUInt8(sum ^ (change.sum ?? 0), padded.length - 1);
  return padded;
}

/** Code of so many words, and a table of pointers to every eighth of them. */
function firmware(inserted: number): { code: Buffer; table: Buffer } {
  const words = Array.from({ length: 4_000 }, (_, index) => Math.imul(index, 0x9e37_79b1) >>> 0);
  words.splice(1_000, 0, ...Array.from({ length: inserted }, (_, index) => index));
  const code = Buffer.alloc(words.length * 4);
  words.forEach((word, index) => void code.writeUInt32LE(word, index * 4));
  const table = Buffer.alloc(2_000);
  for (let index = 0; index < 500; index++) {
    const place = index * 8;
    table.writeUInt32LE(FLASH + 4 * (place < 1_000 ? place : place + inserted), index * 4);
  }
  return { code, table };
}

function imageOf(inserted: number): Buffer {
  const { code, table } = firmware(inserted);
  return espImage([
    { address: DATA, bytes: table },
    { address: 0, bytes: Buffer.alloc(24) },
    { address: FLASH, bytes: code },
  ]);
}

describe("a firmware image of an Espressif chip", () => {
  it("says at which addresses its segments run, wherever it begins in the flash", () => {
    const image = imageOf(0);
    const flash = Buffer.concat([Buffer.alloc(0xf000, 0xff), image]);
    const [found, ...others] = findEspImages(flash);
    expect(others).toEqual([]);
    expect(found?.start).toBe(0xf000);
    expect(found?.segments).toEqual([
      { start: 0xf000 + 32, length: 2_000, address: DATA },
      { start: 0xf000 + 32 + 2_000 + 8 + 24 + 8, length: 16_000, address: FLASH },
    ]);
  });

  it("is none where the sum is another, or a segment reaches beyond the end", () => {
    const { code, table } = firmware(0);
    const parts = [
      { address: DATA, bytes: table },
      { address: FLASH, bytes: code },
    ];
    expect(findEspImages(espImage(parts))).toHaveLength(1);
    expect(findEspImages(espImage(parts, { sum: 1 }))).toEqual([]);
    const image = espImage(parts);
    for (const cut of [1, 16, 9_000, image.length - 20, image.length - 1]) {
      expect(findEspImages(image.subarray(0, cut)), String(cut)).toEqual([]);
    }
    const forged = Buffer.from(image);
    forged.writeUInt32LE(0xffff_fffc, HEAD_BYTES + 4);
    expect(findEspImages(forged)).toEqual([]);
  });

  it("has its pointers followed from one segment into another", async () => {
    const [source, target] = [imageOf(0), imageOf(5)];
    for (const format of ["vdelta-fast", "vdelta-small"] as const) {
      const patch = await makePatch(format, { source, target });
      expect(patchInfo(patch).vdelta).toMatchObject({ spaces: 2, modules: 1 });
      // 375 pointers have moved; none of them is in the patch.
      expect(patch.length, format).toBeLessThan(200);
      expect(await rebuildImage(format, source, patch, target.length)).toEqual(target);
    }
  });
});
