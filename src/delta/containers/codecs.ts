import type { Codec } from "./codec.ts";
import { gzipCodec, zlibCodec } from "./deflate-codec.ts";
import { xzCodec } from "./xz-codec.ts";
import { zstdCodec } from "./zstd-codec.ts";

/** By the numbers that patches call them by: new ones go to the end. */
export const CODECS: readonly Codec[] = [xzCodec, gzipCodec, zlibCodec, zstdCodec];

/** Libraries with their versions that packing here uses: what a device announces. */
export const PACKING_LIBRARIES: readonly string[] = CODECS.flatMap(
  ({ requires }) => requires ?? [],
);
