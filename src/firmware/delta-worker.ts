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

/** What a worker thread says: how far it is, 0 to 1, and at last that it is done. */
export type DeltaNews = { progress: number } | "done";

/** Shares of the whole work that the stages end with; proving the patch is the rest. */
const STAGES: Record<string, readonly [number, number]> = {
  indexing: [0, 0.1],
  aligning: [0.1, 0.3],
  coding: [0.3, 0.8],
};
const NEWS_STEP = 0.01;

if (parentPort) {
  await build(workerData as DeltaJob);
  tell("done");
}

function tell(news: DeltaNews): void {
  parentPort?.postMessage(news);
}

function reporter(): (stage: string, share: number) => void {
  let told = 0;
  return (stage, share) => {
    const [from, to] = STAGES[stage] ?? [0, 0];
    const progress = from + (to - from) * share;
    if (progress < told + NEWS_STEP) return;
    told = progress;
    tell({ progress });
  };
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
    onProgress: reporter(),
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
