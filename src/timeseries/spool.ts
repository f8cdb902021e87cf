import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

const SHARED_MEMORY = "/dev/shm";
const MIN_FREE_BYTES = 1024 ** 3;

/** Where the request bodies of an engine may lie, best first. */
export function spoolCandidates(directory: string): string[] {
  const name = createHash("sha256").update(path.resolve(directory)).digest("hex").slice(0, 16);
  const shared = path.join(SHARED_MEMORY, `vautn-${process.getuid?.() ?? 0}-${name}`);
  return [...(hasRoom(SHARED_MEMORY) ? [shared] : []), path.join(directory, "incoming")];
}

/**
 * An empty folder for request bodies: in shared memory where there is room, else in the data folder.
 * Whoever calls holds the engine's lock on `directory`, so that leftovers are nobody's.
 */
export function prepareSpool(directory: string): string {
  for (const candidate of spoolCandidates(directory)) {
    try {
      fs.rmSync(candidate, { recursive: true, force: true });
      // Fails where another user has put something in this place.
      fs.mkdirSync(candidate, { mode: 0o700 });
      return candidate;
    } catch {}
  }
  throw new Error(`no folder for request bodies can be made in ${directory}`);
}

function hasRoom(place: string): boolean {
  try {
    const { bavail, bsize } = fs.statfsSync(place);
    return bavail * bsize >= MIN_FREE_BYTES;
  } catch {
    return false; // No such file system here.
  }
}
