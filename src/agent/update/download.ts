import { type Clock, messageOf, type Random, sleep } from "../../kernel/index.ts";
import type { ComponentOffer } from "../../protocol/index.ts";
import { fullJitter } from "../connection/back-off.ts";
import type { ArtifactServer, ArtifactSource, Storage, StorageFile } from "../ports.ts";
import { hashFile } from "./hash-file.ts";
import { OfferFailed } from "./offer-failed.ts";

/** The one staging file: an update has one artifact under way at a time. */
export const STAGING_FILE = "staging.part";

const BACK_OFF = { baseMs: 1_000, capMs: 60_000 };
const IDLE_LIMIT_MS = 60_000;
/** Longer than this nobody is made to wait by a header. */
const MAX_RETRY_AFTER_SECONDS = 3_600;
const MAX_WRONG_HASHES = 2;
/** Answers that another attempt will not change. */
const HOPELESS = [400, 403, 404, 405, 410, 416];

export interface DownloadOptions {
  offer: Omit<ComponentOffer, "component">;
  /** Where it goes. */
  fileName?: string;
  storage: Storage;
  source: ArtifactSource;
  clock: Clock;
  random: Random;
  /** Ends the download: cancelled, replaced, past its deadline or switched off. */
  signal: AbortSignal;
  /** Bytes that an earlier attempt had synced. */
  stagedBytes: number;
  /** Makes the number of synced bytes durable. */
  onStaged(stagedBytes: number): Promise<void>;
  onRetry(message: string): void;
  onReceived(sizeBytes: number, servedBy: ArtifactServer): void;
}

/**
 * Fetches an artifact into the staging file, resuming by Range wherever it stopped, and checks its
 * hash as the storage returns it. Rejects with `OfferFailed` where trying again would not help.
 */
export async function downloadOffer(options: DownloadOptions): Promise<void> {
  const file = await options.storage.open(options.fileName ?? STAGING_FILE);
  try {
    let staged = Math.min(options.stagedBytes, await file.sizeBytes(), options.offer.sizeBytes);
    // Beyond the synced bytes a power cut may have left anything.
    await file.truncate(staged);
    let wrongHashes = 0;
    for (;;) {
      staged = await fetchRest(options, file, staged);
      if ((await hashFile(file, options.offer.sizeBytes)) === options.offer.sha256) return;
      wrongHashes += 1;
      if (wrongHashes >= MAX_WRONG_HASHES) {
        throw new OfferFailed("artifact-hash", "the artifact does not have the hash on offer");
      }
      options.source.distrust?.();
      options.onRetry("the artifact does not have the hash on offer: fetching it again");
      staged = 0;
      await file.truncate(0);
      await options.onStaged(0);
    }
  } finally {
    await file.close();
  }
}

async function fetchRest(
  options: DownloadOptions,
  file: StorageFile,
  from: number,
): Promise<number> {
  const { offer, signal } = options;
  let staged = from;
  for (let attempt = 0; staged < offer.sizeBytes; attempt += 1) {
    signal.throwIfAborted();
    const before = staged;
    let reason = "the connection ended early";
    let waitMs = 0;
    try {
      staged = await fetchOnce(options, file, staged);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof OfferFailed || error instanceof StorageFault) throw unwrap(error);
      reason = messageOf(error);
      if (error instanceof ToldToWait) waitMs = error.waitMs;
      staged = Math.min(await file.sizeBytes(), offer.sizeBytes);
    }
    if (staged >= offer.sizeBytes) break;
    if (staged > before) attempt = 0;
    options.onRetry(`${reason}; ${staged} of ${offer.sizeBytes} bytes are here`);
    // Never sooner than the server asked for, and still not all at once.
    const jitterMs = fullJitter(options.random, attempt, BACK_OFF);
    await sleep(options.clock, waitMs + jitterMs, signal);
  }
  return staged;
}

/** One request; returns how far the file reaches, all of it synced. */
async function fetchOnce(
  options: DownloadOptions,
  file: StorageFile,
  from: number,
): Promise<number> {
  const { offer } = options;
  const idle = new AbortController();
  const signal = AbortSignal.any([options.signal, idle.signal]);
  const watch = () =>
    options.clock.after(IDLE_LIMIT_MS, () =>
      idle.abort(new Error(`nothing came for ${IDLE_LIMIT_MS} ms`)),
    );
  let timer = watch();
  try {
    const response = await options.source.fetch(offer.url, from, signal);
    if (HOPELESS.includes(response.status)) {
      throw new OfferFailed("artifact", `the server answered ${response.status}`);
    }
    if (response.retryAfterSeconds !== undefined && [429, 503].includes(response.status)) {
      throw new ToldToWait(response.status, response.retryAfterSeconds);
    }
    if (response.status !== 200 && response.status !== 206) {
      throw new Error(`the server answered ${response.status}`);
    }
    // A server that ignores Range sends everything again (RFC 9110 §14.2).
    let position = response.status === 206 ? from : 0;
    let synced = position;
    for await (const chunk of response.body) {
      timer.cancel();
      signal.throwIfAborted();
      if (position + chunk.length > offer.sizeBytes) {
        throw new OfferFailed("artifact-size", `more than the ${offer.sizeBytes} bytes on offer`);
      }
      await storing(() => file.write(position, chunk));
      position += chunk.length;
      options.onReceived(chunk.length, response.servedBy ?? "platform");
      if (position - synced >= syncEveryBytes(offer.sizeBytes)) {
        await storing(() => syncStaged(options, file, position));
        synced = position;
      }
      timer = watch();
    }
    await storing(() => syncStaged(options, file, position));
    return position;
  } finally {
    timer.cancel();
  }
}

async function syncStaged(options: DownloadOptions, file: StorageFile, staged: number) {
  await file.sync();
  await options.onStaged(staged);
}

/** Rarely enough to spare the flash, often enough that little is fetched twice. */
function syncEveryBytes(sizeBytes: number): number {
  return Math.min(4 * 1024 ** 2, Math.max(64 * 1024, Math.floor(sizeBytes / 64)));
}

/** The server has enough to do: it says when to come back. */
class ToldToWait extends Error {
  readonly waitMs: number;

  constructor(status: number, seconds: number) {
    super(`the server answered ${status}: again in ${seconds} s`);
    this.waitMs = Math.min(seconds, MAX_RETRY_AFTER_SECONDS) * 1_000;
  }
}

/** A fault of our own storage, which no other attempt at the network mends. */
class StorageFault extends Error {}

async function storing(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw new StorageFault(messageOf(error), { cause: error });
  }
}

function unwrap(error: OfferFailed | StorageFault): unknown {
  return error instanceof StorageFault ? error.cause : error;
}
