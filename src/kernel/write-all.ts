import type { FileHandle } from "node:fs/promises";

/** Writes all of `chunk` at `position`: a single write may take less of it and say so (write(2)). */
export async function writeAll(
  file: Pick<FileHandle, "write">,
  chunk: Uint8Array,
  position: number,
): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, done, chunk.length - done, position + done);
    done += bytesWritten;
  }
}
