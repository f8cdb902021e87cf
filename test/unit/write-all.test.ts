import type { FileHandle } from "node:fs/promises";
import { expect, it } from "vitest";
import { writeAll } from "../../src/kernel/write-all.ts";

it("goes on where a write took less than it was given", async () => {
  const disk = Buffer.alloc(13);
  const file = {
    async write(chunk: Uint8Array, from: number, length: number, position: number) {
      const bytesWritten = Math.min(3, length);
      disk.set(chunk.subarray(from, from + bytesWritten), position);
      return { bytesWritten, buffer: chunk };
    },
  } as unknown as FileHandle;
  await writeAll(file, Buffer.from("0123456789"), 2);
  expect(disk.toString("latin1")).toBe("\0\x000123456789\0");
});
