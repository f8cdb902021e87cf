import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { deltaWarning } from "../../src/firmware/delta-warning.ts";
import { firmwareParts } from "../support/packed-images.ts";

async function warningOf(image: Uint8Array): Promise<string | null> {
  const read = async (start: number, end: number) => Buffer.from(image.subarray(start, end + 1));
  return deltaWarning({ sizeBytes: image.length, read });
}

it("warns of images that look encrypted, whose deltas cost as much as they do", async () => {
  const random = randomBytes(300_000);
  // A false gzip magic would be one in sixteen million a byte.
  const encrypted = Buffer.from(random.map((byte) => (byte === 0x1f ? 0x1e : byte)));
  expect(await warningOf(encrypted)).toContain("encrypted");
});

it("says nothing of machine code, of what deltas unpack, and of very small images", async () => {
  const { source } = firmwareParts(0, 150_000);
  expect(await warningOf(source)).toBeNull();
  expect(await warningOf(gzipSync(source))).toBeNull();
  expect(await warningOf(randomBytes(100))).toBeNull();
});
