import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { stopLeftoverPostgres } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { createSealer, parseMasterKey } from "../kernel/sealing.ts";
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
 * @throws AppError `conflict` where the platform runs, `already-exists`, `not-found`.
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
  refuseInside(target, dataDirectory);
  const lock = await lockStopped(dataDirectory);
  const partial = `${target}.partial`;
  try {
    await stopLeftoverPostgres(path.join(dataDirectory, "postgres"));
    await engineIsOver(path.join(dataDirectory, "clickhouse"));
    fs.rmSync(partial, { recursive: true, force: true });
    fs.mkdirSync(path.join(partial, "data"), { recursive: true, mode: 0o700 });
    const leftOut = new Set([...LEFT_OUT, ...(options.withKey ? [] : [KEY])]);
    const found = look(dataDirectory, leftOut);
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
 * @throws AppError `invalid-content` for a backup that is damaged or a key that is another one.
 */
export async function restoreBackup(options: {
  source: string;
  dataDirectory?: string;
  /** 64 hex digits; for a backup without its key. */
  masterKey?: string;
  onProgress?: OnBackupProgress;
}): Promise<BackupContents> {
  const { source, dataDirectory, onProgress } = options;
  const contents = readContents(source);
  const key = options.masterKey ? parseMasterKey(options.masterKey, "the master key") : undefined;
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
  if (fs.existsSync(dataDirectory) && fs.readdirSync(dataDirectory).length > 0) {
    throw new AppError("already-exists", `${dataDirectory} is not empty`);
  }
  const partial = `${dataDirectory}.partial`;
  fs.rmSync(partial, { recursive: true, force: true });
  try {
    fs.mkdirSync(partial, { recursive: true, mode: 0o700 });
    await checkAll(from, contents, onProgress, partial);
    if (key && !contents.hasKey) writeSynced(path.join(partial, KEY), `${key.toString("hex")}\n`);
    if (fs.existsSync(dataDirectory)) fs.rmdirSync(dataDirectory);
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
  let contents: BackupContents;
  try {
    contents = JSON.parse(fs.readFileSync(file, "utf8")) as BackupContents;
  } catch (cause) {
    throw new AppError("invalid-content", `${file} is damaged`, {}, { cause });
  }
  if (contents?.format !== "vautn-backup-1") {
    throw new AppError("invalid-content", `${file} is of a format that this version does not know`);
  }
  const names = [...contents.folders, ...contents.links, ...contents.files].map((one) => one.path);
  if (names.some(leadsOutside) || contents.links.some(isLinkOutside)) {
    throw new AppError("invalid-content", `${file} names a place outside of the backup`);
  }
  return contents;
}

function leadsOutside(name: string): boolean {
  return path.posix.isAbsolute(name) || path.posix.normalize(name).startsWith("..");
}

function isLinkOutside({ path: name, target }: BackupContents["links"][number]): boolean {
  return path.posix.isAbsolute(target) || leadsOutside(path.posix.join(name, "..", target));
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

function refuseInside(target: string, directory: string): void {
  const relative = path.relative(path.resolve(directory), path.resolve(target));
  if (relative === "" || !(relative.startsWith("..") || path.isAbsolute(relative))) {
    throw new AppError("conflict", `${target} lies in the data folder itself`);
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
