import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import fs from "node:fs/promises";
import { parentPort, workerData } from "node:worker_threads";
import { applyPatch, createPatch, memoryToApply } from "../delta/index.ts";
import type { ArtifactFormat } from "../protocol/index.ts";

/** What a worker thread is told; the files lie on this machine. */
export interface DeltaJob {
  format: ArtifactFormat;
  source: { file: string; sha256: string } | null;
  target: { file: string; sha256: string; sizeBytes: number };
  patchFile: string;
}

if (parentPort) {
  await build(workerData as DeltaJob);
  parentPort.postMessage("done");
}

/** Makes a patch, then rebuilds the target from it: what cannot be proved is never offered. */
async function build(job: DeltaJob): Promise<void> {
  const source = job.source && (await fs.readFile(job.source.file));
  // A source that has rotted on our disk would make a patch that fails on every device.
  if (job.source && source && sha256(source) !== job.source.sha256) {
    throw new Error("the source image on disk is damaged");
  }
  const { format, target } = job;
  const patch = createPatch({
    format,
    source,
    target: createReadStream(target.file),
    targetSizeBytes: target.sizeBytes,
  });
  await fs.writeFile(job.patchFile, patch);
  const rebuilt = createHash("sha256");
  await applyPatch({
    format,
    source: source && {
      sizeBytes: source.length,
      read: async (offset, length) => source.subarray(offset, offset + length),
    },
    patch: createReadStream(job.patchFile),
    expectedSizeBytes: target.sizeBytes,
    maxMemoryBytes: memoryToApply(format, {
      sourceSizeBytes: source?.length ?? 0,
      targetSizeBytes: target.sizeBytes,
    }),
    async write(chunk) {
      rebuilt.update(chunk);
    },
  });
  if (rebuilt.digest("hex") !== target.sha256) throw new Error("the patch rebuilds another image");
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
