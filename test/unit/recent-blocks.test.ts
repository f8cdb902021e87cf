import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import type { Readable } from "node:stream";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { BLOCK_BYTES, RecentBlocks } from "../../src/blobs/recent-blocks.ts";

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-recent-"));
afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));

function fileOf(content: Buffer, name = "f") {
  const file = path.join(directory, name);
  fs.writeFileSync(file, content);
  return { name, path: file, sizeBytes: content.length };
}

async function bytesOf(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

describe("blocks that were read lately", () => {
  it("are the file's bytes for every range, whoever reads beside whom", async () => {
    const content = randomBytes(3 * BLOCK_BYTES + 17);
    const file = fileOf(content);
    const blocks = new RecentBlocks(2 * BLOCK_BYTES);
    const place = fc.nat(content.length - 1);
    const ranges = fc.array(fc.tuple(place, place), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(ranges, async (pairs) => {
        const parts = pairs.map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) }));
        const read = await Promise.all(parts.map((part) => bytesOf(blocks.stream(file, part))));
        return parts.every(({ start, end }, index) =>
          read[index]?.equals(content.subarray(start, end + 1)),
        );
      }),
      { numRuns: 40 },
    );
    expect(blocks.bytes).toBeLessThanOrEqual(2 * BLOCK_BYTES);
  });

  it("are read from the file once, until they are forgotten", async () => {
    const content = Buffer.alloc(BLOCK_BYTES + 5, "a");
    const file = fileOf(content);
    const blocks = new RecentBlocks();
    const all = { start: 0, end: content.length - 1 };
    await bytesOf(blocks.stream(file, all));
    fs.writeFileSync(file.path, Buffer.alloc(content.length, "b"));
    expect((await bytesOf(blocks.stream(file, all))).equals(content)).toBe(true);
    blocks.forget("f");
    expect(blocks.bytes).toBe(0);
    expect((await bytesOf(blocks.stream(file, all)))[0]).toBe("b".charCodeAt(0));
  });

  it("outlive a reader who goes away in the middle, and keep no failure", async () => {
    const content = randomBytes(2 * BLOCK_BYTES);
    const file = fileOf(content);
    const blocks = new RecentBlocks();
    const all = { start: 0, end: content.length - 1 };
    const gone = blocks.stream(file, all);
    gone.read();
    const beside = bytesOf(blocks.stream(file, all));
    gone.destroy();
    expect((await beside).equals(content)).toBe(true);

    const missing = { ...fileOf(content, "g"), path: path.join(directory, "none") };
    await expect(bytesOf(blocks.stream(missing, all))).rejects.toThrow("ENOENT");
    const found = fileOf(content, "g");
    expect((await bytesOf(blocks.stream(found, all))).equals(content)).toBe(true);
    const short = { ...fileOf(content.subarray(0, 10), "h"), sizeBytes: 20 };
    const twenty = { start: 0, end: 19 };
    await expect(bytesOf(blocks.stream(short, twenty))).rejects.toThrow("ends at byte 10");
  });
});
