import type { UnpackedInfo } from "../delta/index.ts";
import type { ArtifactOffer } from "../protocol/index.ts";
import type { DeltaDemand, DeltaFormat, DeltaRow } from "./deltas-store.ts";

export interface DeltaView {
  /** Null: the full image in a packed form. */
  sourceSha256: string | null;
  targetSha256: string;
  format: string;
  /** How many devices ran the source when it was asked for. */
  devices: number;
  status: "queued" | "building" | "ready" | "failed" | "skipped";
  artifactSha256: string | null;
  sizeBytes: number | null;
  targetSizeBytes: number | null;
  /** Size of the artifact by the size of the image. */
  ratio: number | null;
  buildMs: number | null;
  /** Share of the work that is done, while it is being built. */
  progress: number | null;
  /** Why it failed, or was not made. */
  error: string | null;
  /** What was unpacked, where it lies between the unpacked forms. */
  unpacked: UnpackedInfo | null;
}

/** An image that devices come from. */
export interface DeltaSource {
  sha256: string;
  /** How many devices run it: what most wait for is built first. */
  devices?: number;
  /** Formats that one of them or another applies; nothing else is built. Unknown: all are. */
  formats?: readonly string[];
}

export type Offer = Omit<ArtifactOffer, "url">;

/** The formats of a patch and of the packed image; a new format is a line here. */
const PATCHES: readonly DeltaFormat[] = [
  "zstd-patch",
  "vdelta-fast",
  "vdelta-small",
  "unpacked-fast",
  "unpacked-small",
];
const PACKED: readonly DeltaFormat[] = ["full-zstd"];

/**
 * What is worth building for a target: the packed image for all the devices that ask, and patches from
 * each source, in the formats that somebody applies.
 */
export function deltaKeys(
  targetSha256: string,
  asking: readonly DeltaSource[],
  patchable: readonly DeltaSource[],
): DeltaDemand[] {
  const keys = (source: string, formats: readonly DeltaFormat[], devices: number) =>
    formats.map((format) => ({
      source_sha256: source,
      target_sha256: targetSha256,
      format,
      devices,
    }));
  const everybody = asking.reduce((sum, { devices = 0 }) => sum + devices, 0);
  const packed = PACKED.filter((format) => asking.length === 0 || asking.some(applies(format)));
  return [
    ...keys("", packed, everybody),
    ...patchable.flatMap((source) => {
      const formats = PATCHES.filter((format) => applies(format)(source));
      return keys(source.sha256, formats, source.devices ?? 0);
    }),
  ];
}

function applies(format: DeltaFormat) {
  return ({ formats }: Pick<DeltaSource, "formats">) => formats?.includes(format) ?? true;
}

/** Whether devices that apply these formats gain from a patch. */
export function takesPatches(formats: readonly string[]): boolean {
  return PATCHES.some((format) => formats.includes(format));
}

/** Whether a format lies between what the images hold, unpacked. */
export function isUnpacked(format: string): boolean {
  return format.startsWith("unpacked-");
}

/** Packing again costs a device time: a patch for it has to be smaller by this much. */
const PACKING_PENALTY = 1.05;

/** What offers are ordered by: bytes, and something for the work that they make. */
export function costOf({ format, sizeBytes }: Pick<Offer, "format" | "sizeBytes">): number {
  return isUnpacked(format) ? sizeBytes * PACKING_PENALTY : sizeBytes;
}

/** A delta that is ready, as devices are offered it. */
export function offerOf(row: DeltaRow): Offer {
  return {
    format: row.format,
    sha256: row.artifact_sha256 as string,
    sizeBytes: row.size_bytes as number,
    sourceSha256: row.source_sha256 || null,
  };
}

export function deltaView(row: DeltaRow): DeltaView {
  const { size_bytes: sizeBytes, target_size_bytes: targetSizeBytes } = row;
  return {
    sourceSha256: row.source_sha256 || null,
    targetSha256: row.target_sha256,
    format: row.format,
    devices: row.devices,
    status: row.status,
    artifactSha256: row.artifact_sha256,
    sizeBytes,
    targetSizeBytes,
    ratio: sizeBytes !== null && targetSizeBytes ? sizeBytes / targetSizeBytes : null,
    buildMs: row.build_ms,
    progress: row.progress,
    error: row.error,
    unpacked: row.unpacked as UnpackedInfo | null,
  };
}
