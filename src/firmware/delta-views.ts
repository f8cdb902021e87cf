import type { UnpackedInfo } from "../delta/index.ts";
import type { ArtifactOffer } from "../protocol/index.ts";
import type { DeltaFormat, DeltaKey, DeltaRow } from "./deltas-store.ts";

export interface DeltaView {
  /** Null: the full image in a packed form. */
  sourceSha256: string | null;
  targetSha256: string;
  format: string;
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

/** Everything that may be built for a target: the packed image, and patches from each source. */
export function deltaKeys(targetSha256: string, sources: readonly string[]): DeltaKey[] {
  const keys = (source: string, formats: readonly DeltaFormat[]) =>
    formats.map((format) => ({
      source_sha256: source,
      target_sha256: targetSha256,
      format,
    }));
  return [...keys("", PACKED), ...sources.flatMap((source) => keys(source, PATCHES))];
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
