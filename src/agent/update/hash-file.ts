import { createHash } from "node:crypto";
import type { StorageFile } from "../ports.ts";

const READ_BYTES = 256 * 1024;

/** SHA-256 of the first `sizeBytes`, as the storage returns them; in hex. */
export async function hashFile(file: StorageFile, sizeBytes: number): Promise<string> {
  const hash = createHash("sha256");
  for (let offset = 0; offset < sizeBytes; ) {
    const chunk = await file.read(offset, Math.min(READ_BYTES, sizeBytes - offset));
    if (chunk.length === 0) break;
    hash.update(chunk);
    offset += chunk.length;
  }
  return hash.digest("hex");
}
