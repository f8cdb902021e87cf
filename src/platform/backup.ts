import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { stopLeftoverPostgres } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { createSealer, parseMasterKey } from "../kernel/sealing.ts";
import { parseContents, refuseLinkOutside } from "./backup-contents.ts";
import {
  type BackupContents,
  checkAll,
  copyAll,
  look,
  type OnBackupProgress,
  syncFolder,
} from "./backup-files.ts";
import { lockDataDirectory } from "./data-lock.ts";

const CONTENTS = "backup.json";
const KEY = "master.key";
/** Of a process that is over. */
const LEFT_OUT = new Set(["postgres/cluster/postmaster.pid"]);
const ENGINE_DEADLINE_MS = 20_000;
const FINGERPRINT_PURPOSE = "vautn backup fingerprint";

/**
 * Copies the data folder of a platform that does not run to `target`, a folder that is made, with the
 * SHA-256 of each file. What is under way bears the name `<target>.partial`.
 * @throws AppError `conflict` where the platform runs or a link leads out of the folder, `already-exists`,
 * `not-found`.
 */
export async function backUp(options: {
  dataDirectory: string;
  target: string;
  version: string;
  withKey: boolean;
  onProgress?: OnBackupProgress;
}): Promise<BackupContents> {
  const { dataDirectory, target, onProgress } = options;
  if (!fs.existsSync(path.join(dataDirectory, "postgres", "cluster"))) {
    throw new AppError("not-found", `${dataDirectory} holds no embedded stores to back up`);
  }
  refuseExisting(target);
  const partial = `${target}.partial`;
  refuseInside(target, dataDirectory, "the data folder");
  // What bears that name is removed.
  refuseInside(dataDirectory, partial, "what is under way");
  const lock = await lockStopped(dataDirectory);
  try {
    await stopLeftoverPostgres(path.join(dataDirectory, "postgres"));
    await engineIsOver(path.join(dataDirectory, "clickhouse"));
    const leftOut = new Set([...LEFT_OUT, ...(options.withKey ? [] : [KEY])]);
    const found = look(dataDirectory, leftOut);
    refuseLinkOutside(dataDirectory, found.links);
    fs.rmSync(partial, { recursive: true, force: true });
    fs.mkdirSync(path.join(partial, "data"), { recursive: true, mode: 0o700 });
    const files = await copyAll(dataDirectory, path.join(partial, "data"), found, onProgress);
    const contents: BackupContents = {
      format: "vautn-backup-1",
      createdAt: new Date().toISOString(),
      version: options.version,
      hasKey: files.some(({ path: name }) => name === KEY),
      keyFingerprint: fingerprintOf(readKey(path.join(dataDirectory, KEY))),
      sizeBytes: found.sizeBytes,
      folders: found.folders,
      links: found.links,
      files,
    };
    writeSynced(path.join(partial, CONTENTS), JSON.stringify(contents));
    fs.renameSync(partial, target);
    syncFolder(path.dirname(path.resolve(target)));
    return contents;
  } finally {
    fs.rmSync(partial, { recursive: true, force: true });
    await lock.release();
  }
}

/**
 * Compares a backup with what it says of itself and, where `dataDirectory` is named, puts it there: a
 * folder that is absent or empty. Nothing bears that name before all of it is right.
 * @throws AppError `invalid-content` for a backup that is damaged or a key that is another one;
 * `already-exists`, `conflict` for a folder that it cannot be put to.
 */
export async function restoreBackup(options: {
  source: string;
  dataDirectory?: string;
  /** 64 hex digits; for a backup without its key. Put into the data folder. */
  masterKey?: string;
  /** The same of a platform that may have it from its environment: put there only if one was. */
  environmentKey?: string;
  onProgress?: OnBackupProgress;
}): Promise<BackupContents> {
  const { source, dataDirectory, onProgress } = options;
  const contents = readContents(source);
  const given = options.masterKey ?? options.environmentKey;
  const key = given ? parseMasterKey(given, "the master key") : undefined;
  if (key && contents.keyFingerprint && fingerprintOf(key) !== contents.keyFingerprint) {
    throw new AppError("invalid-content", "this is not the master key that the backup belongs to");
  }
  if (dataDirectory && !contents.hasKey && contents.keyFingerprint && !key) {
    throw new AppError("invalid-content", "the backup holds no master key: it has to be named");
  }
  const from = path.join(source, "data");
  if (!dataDirectory) {
    await checkAll(from, contents, onProgress);
    return contents;
  }
  const partial = `${dataDirectory}.partial`;
  refuseInside(dataDirectory, source, "the backup");
  refuseInside(source, partial, "what is under way");
  clearPlace(dataDirectory);
  fs.rmSync(partial, { recursive: true, force: true });
  try {
    fs.mkdirSync(partial, { recursive: true, mode: 0o700 });
    await checkAll(from, contents, onProgress, partial);
    const isKeyKept = options.masterKey !== undefined || contents.keyFingerprint !== null;
    if (key && isKeyKept && !contents.hasKey) {
      writeSynced(path.join(partial, KEY), `${key.toString("hex")}\n`);
    }
    fs.renameSync(partial, dataDirectory);
    syncFolder(path.dirname(path.resolve(dataDirectory)));
  } finally {
    fs.rmSync(partial, { recursive: true, force: true });
  }
  return contents;
}

function readContents(source: string): BackupContents {
  const file = path.join(source, CONTENTS);
  if (!fs.existsSync(file)) {
    throw new AppError("not-found", `${source} is no backup: it has no ${CONTENTS}`);
  }
  return parseContents(fs.readFileSync(file, "utf8"), file);
}

async function lockStopped(directory: string): ReturnType<typeof lockDataDirectory> {
  try {
    return await lockDataDirectory(directory);
  } catch (cause) {
    const message = `a platform runs on ${directory}: stop it, back up, start it again`;
    throw new AppError("conflict", message, {}, { cause });
  }
}

/** The engine ends by itself after its supervisor, and writes until then. */
async function engineIsOver(directory: string): Promise<void> {
  const status = path.join(directory, "store", "status");
  const pid = fs.existsSync(status) && /^PID: (\d+)/.exec(fs.readFileSync(status, "utf8"))?.[1];
  if (!pid) return;
  const deadline = Date.now() + ENGINE_DEADLINE_MS;
  while (holdsOpen(pid, status)) {
    if (Date.now() > deadline) {
      throw new AppError("conflict", `the time-series engine of ${directory} still runs (${pid})`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Whether the process has the file open; its number alone may be another one's by now. */
function holdsOpen(pid: string, file: string): boolean {
  try {
    const wanted = fs.realpathSync(file);
    const descriptors = fs.readdirSync(`/proc/${pid}/fd`);
    return descriptors.some((fd) => targetOf(`/proc/${pid}/fd/${fd}`) === wanted);
  } catch {
    return false; // No such process, or no Linux.
  }
}

function targetOf(link: string): string | undefined {
  try {
    return fs.readlinkSync(link);
  } catch {
    return undefined; // Closed meanwhile.
  }
}

function refuseExisting(target: string): void {
  if (fs.existsSync(target)) throw new AppError("already-exists", `${target} exists already`);
}

function refuseInside(inner: string, outer: string, what: string): void {
  const relative = path.relative(realPath(outer), realPath(inner));
  if (relative === "" || !(relative.startsWith("..") || path.isAbsolute(relative))) {
    throw new AppError("conflict", `${inner} lies in ${what} itself`);
  }
}

/** Where something lies, or will lie, whatever links lead there. */
function realPath(name: string): string {
  const absolute = path.resolve(name);
  const parent = path.dirname(absolute);
  if (fs.existsSync(absolute) || parent === absolute) return fs.realpathSync(absolute);
  return path.join(realPath(parent), path.basename(absolute));
}

/** Before hours of copying: what is whole takes the place by its name. */
function clearPlace(directory: string): void {
  try {
    fs.rmdirSync(directory);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") return;
    if (code === "ENOTEMPTY" || code === "EEXIST") {
      throw new AppError("already-exists", `${directory} is not empty`, {}, { cause });
    }
    const message = `${directory} cannot be replaced (${code}): name a folder in it that is not there yet`;
    throw new AppError("conflict", message, {}, { cause });
  }
}

function readKey(file: string): Buffer | undefined {
  return fs.existsSync(file) ? parseMasterKey(fs.readFileSync(file, "utf8"), file) : undefined;
}

function fingerprintOf(key: Buffer | undefined): string | null {
  if (!key) return null;
  const derived = createSealer(key).deriveKey(FINGERPRINT_PURPOSE);
  return createHash("sha256").update(derived).digest("hex").slice(0, 32);
}

function writeSynced(file: string, text: string): void {
  fs.writeFileSync(file, text, { mode: 0o600, flag: "wx", flush: true });
}
