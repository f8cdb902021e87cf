import { versionSortKey } from "../devices/index.ts";
import { AppError } from "../kernel/index.ts";
import type { SteppingStone } from "./plan-store.ts";
import type { Release } from "./types.ts";

/** Crashes within the last fortnight from which on a device is a crasher of its own. */
export const CHRONIC_CRASHES = 2;
export const CHRONIC_DAYS = 14;

/** An update on the way to the release: a stepping stone, or the release itself as the last. */
export interface Hop {
  releaseId: string;
  version: string;
  sha256: string;
  sizeBytes: number;
  /** Versions as texts that sort; null where there is none. */
  versionKey: string | null;
  minimumKey: string | null;
}

/**
 * The stepping stones, oldest first, and the release after them. Refuses stones that are not
 * published, not older than the release, or from which the next one cannot be reached.
 */
export function hopsTo(
  release: Release,
  wanted: readonly string[],
  stones: readonly SteppingStone[],
): Hop[] {
  const missing = wanted.find((version) => !stones.some((stone) => stone.version === version));
  if (missing !== undefined) throw badStone(`${release.product} ${missing} is not published`);
  const hops = stones
    .map(
      (stone): Hop => ({
        releaseId: stone.id,
        version: stone.version,
        sha256: stone.image_sha256,
        sizeBytes: stone.image_size_bytes,
        ...keysOf(stone.version, stone.minimum_source_version),
      }),
    )
    .sort((left, right) => ((left.versionKey ?? "") < (right.versionKey ?? "") ? -1 : 1));
  hops.push({
    releaseId: release.id,
    version: release.version,
    sha256: release.imageSha256,
    sizeBytes: release.imageSizeBytes,
    ...keysOf(release.version, release.minimumSourceVersion),
  });
  hops.slice(1).forEach((hop, index) => {
    const before = hops[index] as Hop;
    if ((before.versionKey ?? "~") >= (hop.versionKey ?? "~")) {
      throw badStone(`${before.version} is not older than ${hop.version}`);
    }
    if (hop.minimumKey !== null && (before.versionKey ?? "") < hop.minimumKey) {
      throw badStone(`${hop.version} cannot be installed on ${before.version}`);
    }
  });
  return hops;
}

function keysOf(version: string, minimum: string | null) {
  return {
    versionKey: versionSortKey(version),
    minimumKey: minimum === null ? null : versionSortKey(minimum),
  };
}

function badStone(message: string): AppError {
  const path = "/policy/steppingStones";
  return new AppError("invalid-request", `${path}: ${message}`, { path });
}

/** Why a device cannot be brought back to an image, if it cannot. Pure. */
export function whyNoWayBack(
  source: { source_version: string | null; security_counter: number | null },
  isPublished: boolean,
  securityFloor: number,
): string | undefined {
  if (!isPublished) {
    return `its earlier image ${source.source_version ?? "(unknown)"} was never published here`;
  }
  if ((source.security_counter ?? 0) < securityFloor) {
    return `${source.source_version} lies below the security floor that the new image has raised`;
  }
  return undefined;
}

/** Refusals in a sentence: the commonest reasons with their counts. */
export function summarise(refused: readonly { reason: string; devices: number }[]): string {
  return refused
    .slice(0, 3)
    .map(({ reason, devices }) => `${devices} ${devices === 1 ? "device" : "devices"}: ${reason}`)
    .join("; ");
}
