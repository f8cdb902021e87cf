import fs from "node:fs/promises";
import { AppError, type Clock } from "../kernel/index.ts";
import type { ArtifactDisk } from "./artifact-disk.ts";
import { type ArtifactFetch, HELD_BACK_BYTES } from "./artifact-fetch.ts";

const READ_BYTES = 256 * 1024;
/** A reader waits for the platform's next bytes for so long, and then looks elsewhere. */
const STALL_MS = 45_000;

export interface Part {
  start: number;
  end: number;
}

/** Bytes of an artifact that is here and verified; it is not thrown away meanwhile. */
export async function* wholeContent(
  disk: ArtifactDisk,
  sha256: string,
  part: Part,
): AsyncGenerator<Uint8Array> {
  const release = disk.use(sha256);
  if (!release) throw new AppError("not-found", "there is no such artifact");
  try {
    const file = await fs.open(disk.wholePath(sha256), "r");
    try {
      yield* readPart(file, part.start, part.end + 1);
    } finally {
      await file.close();
    }
  } finally {
    release();
  }
}

/**
 * Bytes of an artifact as they arrive. Whoever reads to its end gets the last of them when all has
 * been verified; whoever wants a part from the middle gets none of it before. So nobody takes for
 * good what is not.
 */
export async function* arrivingContent(
  fetch: ArtifactFetch,
  disk: ArtifactDisk,
  part: Part,
  clock: Clock,
): AsyncGenerator<Uint8Array> {
  // Opened at once: when it is whole, it goes by another name, and the handle stays good.
  const file = await fs
    .open(disk.partialPath(fetch.sha256), "r")
    .catch(() => fs.open(disk.wholePath(fetch.sha256), "r"));
  const { beginnings } = fetch;
  const toTheEnd = part.end === fetch.sizeBytes - 1;
  let position = part.start;
  try {
    while (position <= part.end) {
      if (fetch.state === "failed" || fetch.beginnings !== beginnings) {
        throw new AppError("unavailable", "the artifact did not arrive whole");
      }
      const early = toTheEnd ? Math.min(fetch.received, fetch.sizeBytes - HELD_BACK_BYTES) : 0;
      const until = fetch.state === "verified" ? part.end + 1 : early;
      if (until > position) {
        for await (const chunk of readPart(file, position, until)) {
          position += chunk.length;
          yield chunk;
        }
      } else {
        await changeWithin(fetch, clock);
      }
    }
  } finally {
    await file.close();
  }
}

async function* readPart(
  file: fs.FileHandle,
  start: number,
  until: number,
): AsyncGenerator<Uint8Array> {
  for (let position = start; position < until; ) {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, until - position));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) throw new AppError("unavailable", "the artifact is shorter than it was");
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

function changeWithin(fetch: ArtifactFetch, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(STALL_MS, () =>
      reject(new AppError("unavailable", "nothing comes from the platform")),
    );
    void fetch.change().then(() => {
      timer.cancel();
      resolve();
    });
  });
}
