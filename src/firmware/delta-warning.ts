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

/** An image of which samples are read, so that it need not be on this machine. */
export interface SampledImage {
  sizeBytes: number;
  /** Bytes `start` to `end`, both included. */
  read(start: number, end: number): Promise<Buffer>;
}

/** Why deltas of an image will save nothing; null where nothing speaks against them. */
export async function deltaWarning(image: SampledImage): Promise<string | null> {
  const { sizeBytes } = image;
  if (sizeBytes < SMALLEST_BYTES) return null;
  const length = Math.min(SAMPLE_BYTES, sizeBytes);
  let taken = 0;
  let packed = 0;
  for (let index = 0; index < SAMPLES; index++) {
    const from = Math.floor(((sizeBytes - length) * index) / (SAMPLES - 1));
    const sample = await image.read(from, from + length - 1);
    if (UNPACKABLE.some((magic) => sample.includes(magic))) return null;
    taken += sample.length;
    packed += zstdCompressSync(sample, {
      params: { [constants.ZSTD_c_compressionLevel]: 1 },
    }).length;
  }
  return packed > INCOMPRESSIBLE_SHARE * taken ? WARNING : null;
}
