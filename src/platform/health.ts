import fs from "node:fs";
import path from "node:path";
import type { Bus } from "../bus/index.ts";
import type { Config } from "../kernel/config.ts";
import { createHealthChecks, type HealthCheck, Unwell } from "../kernel/health-checks.ts";
import type { Clock } from "../kernel/index.ts";
import { RESERVED_DISK_BYTES } from "../kernel/limits.ts";

const GIB = 1024 ** 3;
/** Below this the disk is nearly full; below what is reserved gateways take nothing in. */
const LOW_DISK_BYTES = GIB;
/** Of the gibibyte that a process's journal may hold before it refuses. */
const LAGGING_JOURNAL_BYTES = 256 * 1024 ** 2;
const FULL_JOURNAL_BYTES = 0.9 * GIB;
/** A store that takes longer to say that it is there keeps everybody waiting. */
const SLOW_MS = 1_000;
const MAX_JOURNALS = 100;
/** Devices wait for their messages to reach the disk: beyond this it is slow for everybody. */
const SLOW_WRITE_MS = 250;
/** Less than what a check may take. */
const LONGEST_WRITE_MS = 2_000;
/** Looking at the disk is a write, too. */
const WRITE_EVERY_MS = 10_000;

export interface HealthDeps {
  config: Pick<Config, "dataDirectory"> & Partial<Pick<Config, "natsUrl">>;
  clock: Clock;
  db: { ping(): Promise<void> };
  timeseries: { ping(): Promise<void> };
  blobs: { ping(): Promise<void> };
  bus: Pick<Bus, "isUplinkUp" | "isUplinkFlooded">;
  /** How long a small write takes to be durable in a folder; the disk itself where absent. */
  writeMs?(directory: string): Promise<number>;
}

/** What the platform depends on, asked anew at most once a second. */
export function createPlatformHealth(deps: HealthDeps) {
  const { config, clock, db, timeseries, blobs, bus, writeMs = durableWriteMs } = deps;
  const answers =
    (ping: () => Promise<void>): HealthCheck =>
    async () => {
      const since = performance.now();
      await ping();
      const ms = Math.round(performance.now() - since);
      return ms > SLOW_MS ? { reason: `took ${ms} ms to answer` } : undefined;
    };
  const writes = createWriteCheck(clock, () => writeMs(config.dataDirectory));
  return createHealthChecks(clock, {
    postgresql: answers(() => db.ping()),
    clickhouse: answers(() => timeseries.ping()),
    blobs: answers(() => blobs.ping().catch(unreadable)),
    disk: async () => diskReason(config.dataDirectory),
    writes,
    journal: async () => journalReason(path.join(config.dataDirectory, "journal")),
    ...(config.natsUrl ? { bus: async () => busReason(bus) } : {}),
  });
}

/** Without it the machines go on, and find in the stores what they were not told. */
function busReason({ isUplinkUp, isUplinkFlooded }: HealthDeps["bus"]) {
  if (isUplinkUp) return undefined;
  const late = "machines hear of each other late";
  return {
    reason: isUplinkFlooded ? `${late}: the server sends what is not of this installation` : late,
  };
}

/** Says what is amiss in words that name no place. */
function unreadable(cause: unknown): never {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === "ENOENT") throw new Unwell("the folder of images is missing", { cause });
  if (code === "EACCES" || code === "EROFS") {
    throw new Unwell("the folder of images cannot be written to", { cause });
  }
  throw cause;
}

/** A full disk is found before the stores stumble over it. */
function diskReason(directory: string): { reason: string } | undefined {
  // With all stores elsewhere a process may have no folder of its own.
  if (!fs.existsSync(directory)) return undefined;
  const { bavail, bsize } = fs.statfsSync(directory);
  const free = bavail * bsize;
  const reason = `${Math.round(free / 1024 ** 2)} MiB are free`;
  if (free < RESERVED_DISK_BYTES) throw new Unwell(reason);
  return free < LOW_DISK_BYTES ? { reason } : undefined;
}

/**
 * How long a small write takes to be durable in the data folder. Degraded after two slow ones in a row: one
 * may stand behind a large one.
 */
function createWriteCheck(clock: Clock, writeMs: () => Promise<number>): HealthCheck {
  let latest: { at: number; found: { reason: string } | undefined } | undefined;
  let slowBefore = false;
  let writing: Promise<number> | undefined;
  let looking: ReturnType<HealthCheck> | undefined;

  async function look(at: number): ReturnType<HealthCheck> {
    // One that hangs holds a thread that all other files of the process need: there is never a second.
    writing ??= writeMs().finally(() => {
      writing = undefined;
    });
    const ms = await withoutHanging(writing);
    const isSlow = ms > SLOW_WRITE_MS;
    const reason = `a small write took ${Math.round(ms)} ms to reach the disk; devices wait as long`;
    latest = { at, found: isSlow && slowBefore ? { reason } : undefined };
    slowBefore = isSlow;
    return latest.found;
  }
  return async () => {
    const now = clock.now();
    if (latest && now - latest.at < WRITE_EVERY_MS && now >= latest.at) return latest.found;
    looking ??= look(now).finally(() => {
      looking = undefined;
    });
    return looking;
  };
}

/** A disk that hangs is slow, not gone: `LONGEST_WRITE_MS` is what is said of it. */
async function withoutHanging(write: Promise<number>): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const longest = new Promise<number>((resolve) => {
    timer = setTimeout(() => resolve(LONGEST_WRITE_MS), LONGEST_WRITE_MS);
  });
  return Promise.race([write, longest]).finally(() => clearTimeout(timer));
}

/** Zero where there is no folder, or it takes nothing: other checks tell of that. */
export async function durableWriteMs(directory: string): Promise<number> {
  const file = path.join(directory, `.write-check-${process.pid}`);
  const started = performance.now();
  try {
    const handle = await fs.promises.open(file, "w", 0o600);
    try {
      await handle.write(Buffer.alloc(4_096));
      await handle.datasync();
    } finally {
      await handle.close();
    }
    return performance.now() - started;
  } catch {
    return 0;
  } finally {
    await fs.promises.rm(file, { force: true });
  }
}

/** What was taken in and has not reached the time-series store, of the fullest journal. */
function journalReason(directory: string): { reason: string } | undefined {
  const sizes = readNames(directory).map((name) => sizeOf(path.join(directory, name)));
  const most = Math.max(0, ...sizes);
  const reason = `${Math.round(most / 1024 ** 2)} MiB wait for the time-series store`;
  if (most > FULL_JOURNAL_BYTES) throw new Unwell(reason);
  return most > LAGGING_JOURNAL_BYTES ? { reason } : undefined;
}

function sizeOf(directory: string): number {
  return readNames(directory)
    .map((name) => fs.statSync(path.join(directory, name), { throwIfNoEntry: false })?.size ?? 0)
    .reduce((sum, size) => sum + size, 0);
}

function readNames(directory: string): string[] {
  try {
    return fs.readdirSync(directory).slice(0, MAX_JOURNALS * 2);
  } catch (error) {
    // A process without a journal, or a segment that was taken meanwhile.
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}
