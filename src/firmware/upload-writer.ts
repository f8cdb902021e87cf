import { createHash, timingSafeEqual } from "node:crypto";
import { AppError, randomId } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { holdBlob } from "./collection-store.ts";
import type { FirmwareDeps } from "./deps.ts";
import { stagingOf } from "./tenant-blobs.ts";
import * as store from "./uploads-store.ts";

/** A writer that died holds its upload for no longer than this. */
const LEASE_MS = 6_000;
const RENEW_MS = 2_000;
/** How much of what has come may be lost to a crash: by size and by age. */
const CHECKPOINT_BYTES = 8 * 1024 ** 2;
/** An upload that rests lives for so long, and none longer than the second, whatever comes. */
export const UPLOAD_REST_MS = 24 * 3_600_000;
export const UPLOAD_LIFE_MS = 7 * UPLOAD_REST_MS;

const received = counter("vautn_upload_bytes_total", "Bytes of uploads that were taken in", [
  "tenant",
]);

export interface AppendOptions {
  /** Where the content begins; must be where the upload stands. */
  offset: number;
  content: AsyncIterable<Uint8Array>;
  /** Of the content. With it, the content is taken as a whole or not at all. */
  checksum?: { algorithm: "sha1" | "sha256"; digest: Buffer } | undefined;
  /** How long the content is, where its sender says so. */
  sizeBytes?: number | undefined;
}

/** An upload that this process writes to, and nobody else. */
export interface Held {
  row: store.UploadRow;
  /** `blob`: one that the change refers to. */
  change(change: store.UploadChange, blob?: string): Promise<void>;
}

/** Runs `work` as the one writer of the upload. */
export async function whileHeld<T>(
  deps: Pick<FirmwareDeps, "db" | "clock">,
  tenantId: string,
  id: string,
  work: (held: Held) => Promise<T>,
): Promise<T> {
  const { db, clock } = deps;
  const token = randomId();
  const lease = () => new Date(clock.now() + LEASE_MS);
  const row = await db.tenant(tenantId, (tx) => {
    const lock = { token, now: new Date(clock.now()), until: lease() };
    return store.lockUpload(tx, tenantId, id, lock);
  });
  if (!row) {
    const there = await db.tenant(tenantId, (tx) => store.findUpload(tx, tenantId, id));
    throw there ? locked() : new AppError("not-found", "there is no such upload", { upload: id });
  }
  const change = async (wanted: store.UploadChange, blob?: string) => {
    const ours = await db.tenant(tenantId, async (tx) => {
      if (blob !== undefined) await holdBlob(tx, blob);
      return store.changeUpload(tx, tenantId, id, token, wanted);
    });
    if (!ours) throw locked();
  };
  const renewal = setInterval(() => {
    // Where this fails, the next checkpoint finds out.
    change({ locked_until: lease() }).catch(() => {});
  }, RENEW_MS);
  try {
    return await work({ row, change });
  } finally {
    clearInterval(renewal);
    // A lease that cannot be given back ends by itself.
    await change({ lock_token: null, locked_until: null }).catch(() => {});
  }
}

/**
 * Writes content to where the upload stands; resolves with where it stands then. Every byte below
 * that is synced. Content that ends too early is kept as far as it came, and the error passed on.
 */
export async function writeContent(
  deps: FirmwareDeps,
  held: Held,
  options: AppendOptions,
): Promise<Pick<store.UploadRow, "offset_bytes" | "staging_state">> {
  const { row } = held;
  const staging = stagingOf(deps.blobs, row);
  const { offset, checksum } = options;
  if (offset !== row.offset_bytes) {
    throw new AppError("upload-offset", `the upload stands at ${row.offset_bytes}`, {
      offsetBytes: row.offset_bytes,
    });
  }
  const room = row.size_bytes - offset;
  if ((options.sizeBytes ?? 0) > room) throw tooMuch(row);
  const writer = await staging.writer(row.id, offset, row.staging_state);
  const hash = checksum ? createHash(checksum.algorithm) : undefined;
  let position = offset;
  let saved = { position: offset, at: deps.clock.now(), state: row.staging_state };
  const save = async () => {
    if (position === saved.position) return;
    const state = await writer.sync();
    const where = { offset_bytes: position, staging_state: state };
    await held.change({ ...where, expires_at: expiry(deps, row) });
    received.inc({ tenant: row.tenant_id }, position - saved.position);
    saved = { position, at: deps.clock.now(), state };
  };
  try {
    for await (const chunk of withPauses(deps.clock, options.content, staging.checkpointMs)) {
      if (chunk === PAUSE) {
        if (!hash) await save();
        continue;
      }
      if (position + chunk.length > row.size_bytes) throw tooMuch(row);
      await writer.write(chunk);
      hash?.update(chunk);
      position += chunk.length;
      const due =
        position - saved.position >= CHECKPOINT_BYTES ||
        deps.clock.now() - saved.at >= staging.checkpointMs;
      if (due && !hash) await save();
    }
    if (hash && checksum) assertChecksum(hash.digest(), checksum.digest);
    await save();
  } catch (error) {
    if (!hash) await save().catch(() => {}); // The first error says more.
    throw error;
  } finally {
    await writer.close();
  }
  return { offset_bytes: position, staging_state: saved.state };
}

const PAUSE = Symbol("pause");

/**
 * The chunks, and `PAUSE` when none has come for so long: what a line has brought before it stands still
 * is to be saved while it does, and not with the chunk that comes next or never.
 */
async function* withPauses(
  clock: FirmwareDeps["clock"],
  content: AsyncIterable<Uint8Array>,
  pauseMs: number,
): AsyncGenerator<Uint8Array | typeof PAUSE> {
  if (!Number.isFinite(pauseMs)) {
    yield* content;
    return;
  }
  const iterator = content[Symbol.asyncIterator]();
  const read = () => {
    const next = iterator.next();
    // Where it fails while something is being saved, the next look at it says so.
    next.catch(() => {});
    return next;
  };
  try {
    for (let next = read(); ; ) {
      const pause = Promise.withResolvers<typeof PAUSE>();
      const timer = clock.after(pauseMs, () => pause.resolve(PAUSE));
      const step = await Promise.race([next, pause.promise]).finally(() => timer.cancel());
      if (step === PAUSE) yield PAUSE;
      else if (step.done) return;
      else {
        yield step.value;
        next = read();
      }
    }
  } finally {
    // Not waited for: it may stand behind a chunk that never comes.
    void iterator.return?.().catch(() => {});
  }
}

function expiry({ clock }: FirmwareDeps, row: store.UploadRow): Date {
  const latest = row.created_at.getTime() + UPLOAD_LIFE_MS;
  return new Date(Math.min(latest, clock.now() + UPLOAD_REST_MS));
}

function assertChecksum(actual: Buffer, wanted: Buffer): void {
  if (actual.length === wanted.length && timingSafeEqual(actual, wanted)) return;
  // tus 1.0 §checksum: what came is discarded; the upload stands where it stood.
  throw new AppError("checksum-mismatch", "the bytes do not have the checksum that was sent");
}

function locked(): AppError {
  return new AppError("upload-locked", "another request writes to this upload", {
    retryAfterSeconds: Math.ceil(LEASE_MS / 1000),
  });
}

function tooMuch({ size_bytes: sizeBytes }: store.UploadRow): AppError {
  return new AppError("payload-too-large", `the upload was announced with ${sizeBytes} bytes`, {
    maxBytes: sizeBytes,
  });
}
