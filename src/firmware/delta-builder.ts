import { type ChildProcess, fork } from "node:child_process";
import { createReadStream } from "node:fs";
import fs from "node:fs/promises";
import os from "node:os";
import { fileURLToPath } from "node:url";
import type { BlobPlace, BlobStat } from "../blobs/index.ts";
import type { UnpackedInfo } from "../delta/index.ts";
import { priorityBehind, stepBackAfter } from "./delta-priority.ts";
import type { DeltaJob, DeltaNews } from "./delta-process.ts";

type Ended = Extract<DeltaNews, { outcome: unknown }>;

const PROGRAM = fileURLToPath(new URL("./delta-process.ts", import.meta.url));
/** A build that takes longer hangs; 2 GiB at the slowest setting take a fraction of it. */
const BUILD_TIMEOUT_MS = 2 * 3_600_000;

export type BuiltDelta = (
  | { status: "made"; stored: BlobStat; unpacked: UnpackedInfo | null }
  | { status: "pointless"; reason: string }
) & {
  /** Of a processor. */
  cpuSeconds: number;
};

export interface DeltaBuilder {
  /**
   * Builds and verifies in a process of its own, then stores the patch among `blobs`; an Error says what failed. Of a
   * kind that gains nothing for these images there is none.
   */
  build(
    blobs: Pick<BlobPlace, "put" | "temporaryPath">,
    job: Omit<DeltaJob, "patchFile">,
    onProgress?: (progress: number) => void,
  ): Promise<BuiltDelta>;
  /** Ends what is being built; the builds reject. */
  stop(): Promise<void>;
}

const IDLE_MS = 60_000;
/** Old and new image of the builds under way; the encoder takes about ten times as much memory. */
const MAX_BYTES_AT_ONCE = 512 * 1024 ** 2;

/**
 * At most `maxProcesses` builds at once, and of large images fewer; further ones wait their turn. A single
 * one is built whatever its size.
 */
export function createDeltaBuilder(options: { maxProcesses: number }): DeltaBuilder {
  const running = new Set<ChildProcess>();
  const waiting: { sizeBytes: number; begin: () => void }[] = [];
  let building = 0;
  let bytesAtOnce = 0;
  let stopped = false;
  let idle: { child: ChildProcess; timer: NodeJS.Timeout } | undefined;

  function admit(): void {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      const isTooMuch = bytesAtOnce + next.sizeBytes > MAX_BYTES_AT_ONCE;
      if (building >= options.maxProcesses || (building > 0 && isTooMuch)) return;
      waiting.shift();
      building += 1;
      bytesAtOnce += next.sizeBytes;
      next.begin();
    }
  }

  /** What of it stands in memory: the source is about as large as the target. */
  const bytesOf = ({ source, target }: Omit<DeltaJob, "patchFile">) =>
    source ? 2 * target.sizeBytes : target.sizeBytes;

  async function run(job: DeltaJob, onProgress: (progress: number) => void): Promise<Ended> {
    if (stopped) throw new Error("the platform stops");
    const by = stepBackAfter(job.recentSeconds ?? 0);
    const child = by > 0 ? start(by) : (take() ?? start(0));
    running.add(child);
    let mayBuildAgain = false;
    try {
      const ended = outcome(child, onProgress);
      child.send(job, () => {}); // Where it cannot be told it has ended, which says `outcome`.
      const result = await ended;
      mayBuildAgain = result.canBuildAgain;
      return result;
    } finally {
      running.delete(child);
      if (mayBuildAgain && !stopped) keep(child);
      else child.kill("SIGKILL");
    }
  }

  /** One that has built little waits for the next: to begin takes longer than to build a small delta. */
  function keep(child: ChildProcess): void {
    idle?.child.kill("SIGKILL");
    const timer = setTimeout(() => take()?.kill("SIGKILL"), IDLE_MS).unref();
    idle = { child, timer };
    child.once("error", () => {}); // What has ended is not taken.
    child.unref();
    child.channel?.unref();
  }

  function take(): ChildProcess | undefined {
    const child = idle?.child;
    clearTimeout(idle?.timer);
    idle = undefined;
    if (!child?.connected) return undefined;
    child.ref();
    child.channel?.ref();
    return child;
  }

  return {
    async build(blobs, request, onProgress = () => {}) {
      const sizeBytes = bytesOf(request);
      await new Promise<void>((begin) => {
        waiting.push({ sizeBytes, begin });
        admit();
      });
      let patchFile = "";
      try {
        patchFile = await blobs.temporaryPath();
        const { outcome, cpuSeconds } = await run({ ...request, patchFile }, onProgress);
        if (outcome.status === "pointless") return { ...outcome, cpuSeconds };
        const { size } = await fs.stat(patchFile);
        const stored = await blobs.put(createReadStream(patchFile), { maxBytes: size });
        return { ...outcome, stored, cpuSeconds };
      } finally {
        if (patchFile) await fs.rm(patchFile, { force: true });
        building -= 1;
        bytesAtOnce -= sizeBytes;
        admit();
      }
    },
    async stop() {
      stopped = true;
      for (const child of running) child.kill("SIGKILL");
      take()?.kill("SIGKILL");
    },
  };
}

/**
 * A process apart: what it held is given back, its death is only its own, and none of its threads competes with
 * those of this one at the same priority. It knows nothing of what this one knows.
 */
function start(by: number): ChildProcess {
  const child = fork(PROGRAM, {
    execArgv: [],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    env: {},
  });
  try {
    // To begin takes as much as a small build: what comes of it inherits the priority.
    if (by > 0 && child.pid) os.setPriority(child.pid, priorityBehind(process.pid, by));
  } catch {
    // It stands back by itself, as far as that is allowed.
  }
  return child;
}

function outcome(child: ChildProcess, onProgress: (progress: number) => void): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the build took too long")), BUILD_TIMEOUT_MS);
    const end = (settle: () => void) => {
      clearTimeout(timer);
      for (const name of ["message", "exit", "error"]) child.removeAllListeners(name);
      settle();
    };
    child.on("message", (news: DeltaNews) => {
      if ("outcome" in news) end(() => resolve(news));
      else if ("failure" in news) end(() => reject(new Error(news.failure)));
      else onProgress(news.progress);
    });
    child.on("error", (error) => end(() => reject(error)));
    child.on("exit", (status, signal) =>
      end(() => reject(new Error(`the builder ended with ${signal ?? `status ${status}`}`))),
    );
  });
}
