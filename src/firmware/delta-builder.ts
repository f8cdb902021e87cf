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

/** Old and new image of the builds under way; the encoder takes about ten times as much memory. */
const MAX_BYTES_AT_ONCE = 512 * 1024 ** 2;

/**
 * At most `maxWorkers` builds at once, and of large images fewer; further ones wait their turn. A single
 * one is built whatever its size.
 */
export function createDeltaBuilder(options: {
  blobs: BlobStore;
  maxWorkers: number;
}): DeltaBuilder {
  const { blobs } = options;
  const running = new Set<Worker>();
  const waiting: { sizeBytes: number; begin: () => void }[] = [];
  let building = 0;
  let bytesAtOnce = 0;
  let stopped = false;

  function admit(): void {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      const isTooMuch = bytesAtOnce + next.sizeBytes > MAX_BYTES_AT_ONCE;
      if (building >= options.maxWorkers || (building > 0 && isTooMuch)) return;
      waiting.shift();
      building += 1;
      bytesAtOnce += next.sizeBytes;
      next.begin();
    }
  }

  /** What of it stands in memory: the source is about as large as the target. */
  const bytesOf = ({ source, target }: Omit<DeltaJob, "patchFile">) =>
    source ? 2 * target.sizeBytes : target.sizeBytes;

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
      const sizeBytes = bytesOf(request);
      await new Promise<void>((begin) => {
        waiting.push({ sizeBytes, begin });
        admit();
      });
      const patchFile = blobs.temporaryPath();
      try {
        const outcome = await run({ ...request, patchFile }, onProgress);
        if (outcome.status === "pointless") return outcome;
        const { size } = await fs.stat(patchFile);
        const stored = await blobs.put(createReadStream(patchFile), { maxBytes: size });
        return { ...outcome, stored };
      } finally {
        await fs.rm(patchFile, { force: true });
        building -= 1;
        bytesAtOnce -= sizeBytes;
        admit();
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
