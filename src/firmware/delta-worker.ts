import { createHash } from "node:crypto";
import { createReadStream, readlinkSync } from "node:fs";
import fs from "node:fs/promises";
import os from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import {
  applyPatch,
  createPatch,
  memoryToApply,
  PATCH_HEAD_BYTES,
  patchInfo,
  type UnpackedInfo,
} from "../delta/index.ts";
import { AppError } from "../kernel/errors.ts";
import type { ArtifactFormat } from "../protocol/index.ts";

/** What a worker thread is told; the files lie on this machine. */
export interface DeltaJob {
  format: ArtifactFormat;
  source: { file: string; sha256: string } | null;
  target: { file: string; sha256: string; sizeBytes: number };
  patchFile: string;
  /** Seconds that have gone of late into building for the same tenant, where they were the most. */
  recentSeconds?: number;
}

/** What a worker thread says: how far it is, 0 to 1, and at last what came of it. */
export type DeltaNews = { progress: number } | { outcome: DeltaOutcome };

export type DeltaOutcome =
  | { status: "made"; unpacked: UnpackedInfo | null }
  /** Such a patch cannot gain anything for these images. */
  | { status: "pointless"; reason: string };

/** Shares of the whole work that the stages end with; proving the patch is the rest. */
const STAGES: Record<string, readonly [number, number]> = {
  unpacking: [0, 0.1],
  indexing: [0.1, 0.15],
  aligning: [0.15, 0.3],
  coding: [0.3, 0.8],
};
const NEWS_STEP = 0.01;

/** What a tenant's building has taken of late, and how far it stands back from then on. */
const STEPS_BACK = [
  { fromSeconds: 30, by: 19 },
  { fromSeconds: 5, by: 10 },
];
const LOWEST_PRIORITY = 19;
const startedAt = performance.now();
let steppedBack = 0;

if (parentPort) {
  standBack();
  tell({ outcome: await outcomeOf(workerData as DeltaJob) });
}

async function outcomeOf(job: DeltaJob): Promise<DeltaOutcome> {
  try {
    await build(job);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "delta-pointless") throw error;
    return { status: "pointless", reason: error.message };
  }
  return { status: "made", unpacked: await unpackedInfo(job.patchFile) };
}

async function unpackedInfo(patchFile: string): Promise<UnpackedInfo | null> {
  const file = await fs.open(patchFile);
  try {
    const head = Buffer.alloc(PATCH_HEAD_BYTES);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    return patchInfo(head.subarray(0, bytesRead)).unpacked ?? null;
  } finally {
    await file.close();
  }
}

function tell(news: DeltaNews): void {
  parentPort?.postMessage(news);
}

/**
 * Whoever builds little is served at once; whoever builds much does it with what the others leave of
 * the processor: ingest, the API, and the small builds of other tenants come first. The priority is
 * that of this thread alone, which ends with the build.
 */
function standBack(): void {
  const { recentSeconds = 0 } = workerData as DeltaJob;
  const seconds = recentSeconds + (performance.now() - startedAt) / 1_000;
  const by = STEPS_BACK.find(({ fromSeconds }) => seconds >= fromSeconds)?.by ?? 0;
  if (by <= steppedBack || process.platform !== "linux") return;
  const further = by - steppedBack;
  steppedBack = by;
  try {
    // proc(5): /proc/thread-self names the thread that asks.
    const thread = Number(readlinkSync("/proc/thread-self").split("/").at(-1));
    os.setPriority(thread, Math.min(LOWEST_PRIORITY, os.getPriority(thread) + further));
  } catch {
    // Without it the build takes its share as any other thread does.
  }
}

function reporter(): (stage: string, share: number) => void {
  let told = 0;
  return (stage, share) => {
    standBack();
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
