import { createReadStream } from "node:fs";
import fs from "node:fs/promises";
import { Worker } from "node:worker_threads";
import type { BlobStat, BlobStore } from "../blobs/index.ts";
import type { UnpackedInfo } from "../delta/index.ts";
import type { DeltaJob, DeltaNews, DeltaOutcome } from "./delta-worker.ts";

const WORKER = new URL("./delta-worker.ts", import.meta.url);
/** A build that takes longer hangs; 2 GiB at the slowest setting take a fraction of it. */
const BUILD_TIMEOUT_MS = 2 * 3_600_000;

export type BuiltDelta =
  | { status: "made"; stored: BlobStat; unpacked: UnpackedInfo | null }
  | { status: "pointless"; reason: string };

export interface DeltaBuilder {
  /**
   * Builds and verifies in a worker thread, then stores the patch; an Error says what failed. Of a
   * kind that gains nothing for these images there is none.
   */
  build(
    job: Omit<DeltaJob, "patchFile">,
    onProgress?: (progress: number) => void,
  ): Promise<BuiltDelta>;
  /** Ends what is being built; the builds reject. */
  stop(): Promise<void>;
}

/** At most `maxWorkers` builds at once; further ones wait their turn. */
export function createDeltaBuilder(options: {
  blobs: BlobStore;
  maxWorkers: number;
}): DeltaBuilder {
  const { blobs } = options;
  const running = new Set<Worker>();
  const waiting: (() => void)[] = [];
  let free = options.maxWorkers;
  let stopped = false;

  async function run(job: DeltaJob, onProgress: (progress: number) => void): Promise<DeltaOutcome> {
    if (stopped) throw new Error("the platform stops");
    // A thread of its own for each build: what it held is given back, and its death is only its own.
    const worker = new Worker(WORKER, { workerData: job });
    running.add(worker);
    try {
      return await outcome(worker, onProgress);
    } finally {
      running.delete(worker);
      await worker.terminate();
    }
  }

  return {
    async build(request, onProgress = () => {}) {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      const patchFile = blobs.temporaryPath();
      try {
        const outcome = await run({ ...request, patchFile }, onProgress);
        if (outcome.status === "pointless") return outcome;
        const { size } = await fs.stat(patchFile);
        const stored = await blobs.put(createReadStream(patchFile), { maxBytes: size });
        return { ...outcome, stored };
      } finally {
        await fs.rm(patchFile, { force: true });
        const next = waiting.shift();
        if (next) next();
        else free += 1;
      }
    },
    async stop() {
      stopped = true;
      await Promise.all([...running].map((worker) => worker.terminate()));
    },
  };
}

function outcome(worker: Worker, onProgress: (progress: number) => void): Promise<DeltaOutcome> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the build took too long")), BUILD_TIMEOUT_MS);
    worker.on("message", (news: DeltaNews) => {
      if ("outcome" in news) resolve(news.outcome);
      else onProgress(news.progress);
    });
    worker.once("error", reject);
    worker.once("exit", (code) => reject(new Error(`the builder ended with status ${code}`)));
    worker.once("exit", () => clearTimeout(timer));
  });
}
