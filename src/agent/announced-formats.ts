import { PACKING_LIBRARIES } from "../delta/index.ts";
import type { ArtifactFormat } from "../protocol/index.ts";

/** Formats that the device applies, and the libraries that patches between unpacked forms ask for. */
export function announcedFormats(formats: readonly ArtifactFormat[]): string[] {
  const packs = formats.some((format) => format.startsWith("unpacked-"));
  return packs ? [...formats, ...PACKING_LIBRARIES] : [...formats];
}
