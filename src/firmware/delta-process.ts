import { createHash } from "node:crypto";
import { createReadStream, readdirSync } from "node:fs";
import fs from "node:fs/promises";
import os from "node:os";
import {
  applyPatch,
  createPatch,
  memoryToApply,
  PATCH_HEAD_BYTES,
  patchInfo,
  type UnpackedInfo,
} from "../delta/index.ts";
import { AppError, messageOf } from "../kernel/errors.ts";
import type { ArtifactFormat } from "../protocol/index.ts";
import { priorityBehind, stepBackAfter } from "./delta-priority.ts";

/** What a process that builds is told; the files lie on this machine. */
export interface DeltaJob {
  format: ArtifactFormat;
  source: { file: string; sha256: string } | null;
  target: { file: string; sha256: string; sizeBytes: number };
  patchFile: string;
  /** Of a processor, what has gone of late into building for the same tenant, where it was the most. */
  recentSeconds?: number;
}

/**
 * What it says: how far it is, 0 to 1, and at last what came of it and how many seconds of a processor it
 * took. How long it took says little: who waits for others would seem to be who keeps them waiting.
 */
export type DeltaNews =
  | { progress: number }
  | { outcome: DeltaOutcome; cpuSeconds: number; canBuildAgain: boolean }
  | { failure: string };

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

const STEP_BACK_EVERY_MS = 250;
/** Building these leaves nothing behind that is worth giving back. */
const SMALL_BYTES = 8 * 1024 ** 2;
const parent = process.ppid;
let recentSeconds = 0;
/** What went into beginning belongs to the first build. */
let usedBefore: NodeJS.CpuUsage | undefined;
let steppedBack = 0;

process.on("message", (job: DeltaJob) => void run(job));
// Whoever asked is gone: nobody would take what comes of it.
process.once("disconnect", () => process.exit());
// These reach the whole process group; whoever asked decides what ends when.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});

async function run(job: DeltaJob): Promise<void> {
  recentSeconds = job.recentSeconds ?? 0;
  standBack();
  // Besides the stages: compressors that work in threads of their own tell of none.
  const timer = setInterval(standBack, STEP_BACK_EVERY_MS);
  try {
    const outcome = await outcomeOf(job);
    const isSmall = job.target.sizeBytes <= SMALL_BYTES;
    tell({ outcome, cpuSeconds: ownSeconds(), canBuildAgain: isSmall && steppedBack === 0 });
  } catch (error) {
    tell({ failure: messageOf(error) });
  } finally {
    clearInterval(timer);
    usedBefore = process.cpuUsage();
  }
}

/** What this build has taken of a processor. */
function ownSeconds(): number {
  const { user, system } = process.cpuUsage(usedBefore);
  return (user + system) / 1e6;
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
  if (process.connected) process.send?.(news);
}

/**
 * Whoever builds little is served at once; whoever builds much does it with what the others leave of
 * the processor: ingest, the API, and the small builds of other tenants come first. Of a process of its
 * own all threads step back, those of the compressors and of the collection of garbage as well.
 */
function standBack(): void {
  // While it computes, it hears of nothing: somebody killed would have it build on for hours.
  if (process.ppid !== parent) process.exit();
  const by = stepBackAfter(recentSeconds + ownSeconds());
  if (by <= steppedBack) return;
  steppedBack = by;
  try {
    const priority = priorityBehind(process.ppid, by);
    for (const thread of threads()) os.setPriority(thread, priority);
  } catch {
    // Without it the build takes its share as any other process does.
  }
}

/** setpriority(2): on Linux a priority is that of a thread, elsewhere that of the process. */
function threads(): number[] {
  if (process.platform !== "linux") return [process.pid];
  return readdirSync("/proc/self/task").map(Number);
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
