import { AppError } from "../kernel/errors.ts";

/** The old image, read at random while a patch is applied. */
export interface PatchSource {
  sizeBytes: number;
  /**
   * Up to `length` bytes from `offset`; fewer only at the end of the image. They may be the beginning of
   * `into`, which has room for them, so that nothing is left to be collected.
   */
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
}

export interface CreateInput {
  source: Uint8Array | null;
  target: AsyncIterable<Uint8Array>;
  targetSizeBytes: number;
  /** What the device has for the model, for formats with memory profiles. */
  memoryBytes?: number | undefined;
  /** Told the stage and the share of it that is done, 0 to 1; throws to cancel. */
  onProgress?: ((stage: string, share: number) => void) | undefined;
}

export interface ApplyInput {
  source: PatchSource | null;
  patch: AsyncIterable<Uint8Array>;
  expectedSizeBytes: number;
  maxMemoryBytes: number;
}

/**
 * How far an image has been rebuilt, in a few bytes that a device keeps beside it. Whoever goes on from
 * here reads the patch from its beginning again, but writes nothing twice.
 */
export interface PatchCheckpoint {
  /** Bytes of the new image that are safely written. */
  writtenBytes: number;
  /** CRC-32 of those bytes. */
  checksum: number;
}

/** What the first bytes of a patch tell. */
export interface PatchInfo {
  /** Formats that the bytes may be; zstd does not say whether it needs a source. */
  formats: string[];
  /** Null where the format does not carry it. */
  targetSizeBytes: number | null;
  /** Memory for the decoder's window, without the source. */
  windowBytes: number;
  checksum: boolean;
  /** Where it is one of ours. */
  vdelta?: VdeltaInfo;
  /** Where it is between the unpacked forms of both images. */
  unpacked?: UnpackedInfo;
}

export interface UnpackedInfo {
  /** Streams of the new image that are packed again, by what packs them. */
  streams: { codec: string; count: number }[];
  /** Sizes of the images with everything unpacked. */
  sourceFormBytes: number;
  targetFormBytes: number;
  /** What the list of streams takes in the patch. */
  recipeBytes: number;
  /** A library and its version that the device must have, or null. */
  requires: string | null;
}

export interface VdeltaInfo {
  coder: string;
  /** The model's memory profile. */
  profile: string;
  /** The processor whose instructions are followed. */
  architecture: string;
  sourceSizeBytes: number;
  /** Steps of the control list. */
  steps: number;
  /** Address spaces, and the modules that they make up. */
  spaces: number;
  modules: number;
}

/** One way to carry an image. A new format is one more entry in the table of patch.ts. */
export interface PatchFormat {
  needsSource: boolean;
  create(input: CreateInput): AsyncIterable<Uint8Array>;
  /** Yields the image in order. What it yields is bounded and counted by the caller. */
  apply(input: ApplyInput): AsyncIterable<Uint8Array>;
  /** Upper bound of what `apply` holds, so that a device can choose before it downloads. */
  memoryToApply(sizes: { sourceSizeBytes: number; targetSizeBytes: number }): number;
}

/** The refusal of a patch that does not rebuild its target. */
export function refusePatch(
  message: string,
  details: Record<string, unknown> = {},
  cause?: unknown,
): AppError {
  return new AppError("delta-invalid", message, details, cause === undefined ? {} : { cause });
}
