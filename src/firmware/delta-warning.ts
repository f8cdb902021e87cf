import fs from "node:fs/promises";
import { constants, zstdCompressSync } from "node:zlib";

const SAMPLES = 8;
const SAMPLE_BYTES = 128 * 1024;
/** Smaller images say too little, and cost little. */
const SMALLEST_BYTES = 16 * 1024;
/** What random bytes come to; machine code comes to half. */
const INCOMPRESSIBLE_SHARE = 0.98;
/** What deltas unpack: xz, gzip, zstd, and squashfs, whose blocks may be zlib's. */
const UNPACKABLE = ["fd377a585a00", "1f8b08", "28b52ffd", "68737173"].map((magic) =>
  Buffer.from(magic, "hex"),
);

const WARNING =
  "The image looks encrypted, or packed in a way that deltas cannot look into: each update from it " +
  "or to it will cost about the whole image. Publish it plain, and leave encryption to the transport.";

/** Why deltas of an image will save nothing; null where nothing speaks against them. */
export async function deltaWarning(imageFile: string): Promise<string | null> {
  const file = await fs.open(imageFile);
  try {
    const { size } = await file.stat();
    if (size < SMALLEST_BYTES) return null;
    let taken = 0;
    let packed = 0;
    for (let index = 0; index < SAMPLES; index++) {
      const sample = Buffer.alloc(Math.min(SAMPLE_BYTES, size));
      const from = Math.floor(((size - sample.length) * index) / (SAMPLES - 1));
      await file.read(sample, 0, sample.length, from);
      if (UNPACKABLE.some((magic) => sample.includes(magic))) return null;
      taken += sample.length;
      packed += zstdCompressSync(sample, {
        params: { [constants.ZSTD_c_compressionLevel]: 1 },
      }).length;
    }
    return packed > INCOMPRESSIBLE_SHARE * taken ? WARNING : null;
  } finally {
    await file.close();
  }
}
