import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import { AppError } from "../kernel/index.ts";
import type { BlobStat, PutOptions } from "./blob-store.ts";
import { asStorageFull } from "./disk.ts";

/** Writes all of `content` to a new file, synced; refuses what is too long or not what it should be. */
export async function writeHashed(
  file: string,
  content: AsyncIterable<Uint8Array>,
  { maxBytes, expectedSha256 }: PutOptions,
): Promise<BlobStat> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const handle = await fs.open(file, "wx", 0o600).catch(full);
  try {
    for await (const chunk of content) {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) {
        throw new AppError("payload-too-large", `more than ${maxBytes} bytes`, { maxBytes });
      }
      hash.update(chunk);
      await handle.appendFile(chunk).catch(full);
    }
    await handle.sync().catch(full);
  } finally {
    await handle.close();
  }
  const sha256 = hash.digest("hex");
  if (expectedSha256 !== undefined && sha256 !== expectedSha256) {
    throw new AppError("image-mismatch", "the content has another hash", {
      expectedSha256,
      actualSha256: sha256,
    });
  }
  return { sha256, sizeBytes };
}

function full(error: unknown): never {
  throw asStorageFull(error);
}
