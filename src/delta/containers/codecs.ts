import type { Codec } from "./codec.ts";
import { gzipCodec, zlibCodec } from "./deflate-codec.ts";
import { intelHexCodec } from "./intel-hex-codec.ts";
import { uf2Codec } from "./uf2-codec.ts";
import { xzCodec } from "./xz-codec.ts";
import { zstdCodec } from "./zstd-codec.ts";

/** By the numbers that patches call them by: new ones go to the end. */
export const CODECS: readonly Codec[] = [
  xzCodec,
  gzipCodec,
  zlibCodec,
  zstdCodec,
  uf2Codec,
  intelHexCodec,
];

/** Libraries with their versions that packing here uses: what a device announces. */
export const PACKING_LIBRARIES: readonly string[] = CODECS.flatMap(
  ({ requires }) => requires ?? [],
);
