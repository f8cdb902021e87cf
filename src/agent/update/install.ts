import { crc32 } from "node:zlib";
import { applyPatch, type PatchCheckpoint } from "../../delta/index.ts";
import { messageOf } from "../../kernel/index.ts";
import type { ArtifactOffer, ReleaseManifest } from "../../protocol/index.ts";
import type { SlotName, Slots, Storage, StorageFile } from "../ports.ts";
import { STAGING_FILE } from "./download.ts";
import { OfferFailed } from "./offer-failed.ts";
import { hashSlot, type SlotRecord } from "./slot-record.ts";

export interface InstallOptions {
  offer: ArtifactOffer;
  manifest: ReleaseManifest;
  storage: Storage;
  slots: Slots;
  sourceSlot: SlotName;
  sourceRecord: SlotRecord | undefined;
  targetSlot: SlotName;
  maxMemoryBytes: number;
  signal: AbortSignal;
  /** What an earlier run had written and synced before it was cut off. */
  resumeFrom: PatchCheckpoint | null;
  /** Makes a checkpoint durable; what it names is synced. Null: nothing counts any more. */
  onApplied(checkpoint: PatchCheckpoint | null): Promise<void>;
  /** What an earlier run had written could not be used. */
  onBegunAnew(reason: string): void;
}

const READ_BYTES = 64 * 1024;

interface Files {
  source: StorageFile;
  target: StorageFile;
  staging: StorageFile;
}

/**
 * Builds the image in the target slot from the staged artifact: random reads of the running slot,
 * sequential writes, nothing held whole. Goes on where an earlier run was cut off, if the flash still
 * holds what that had written. Then reads it back: what counts is what the flash holds.
 */
export async function installOffer(options: InstallOptions): Promise<void> {
  const { offer, manifest, slots, targetSlot } = options;
  const source = await slots.open(options.sourceSlot);
  const target = await slots.open(targetSlot);
  const staging = await options.storage.open(STAGING_FILE);
  const files = { source, target, staging };
  try {
    const checkpoint = await usableCheckpoint(options, target);
    if (!checkpoint) await beginAnew(options, target);
    try {
      await applyStaged(options, files, checkpoint);
    } catch (error) {
      if (!checkpoint || !(error instanceof OfferFailed)) throw error;
      // The fault may lie in what was written before the cut: once more from the beginning.
      options.onBegunAnew(`going on did not work, beginning anew: ${error.message}`);
      await beginAnew(options, target);
      await applyStaged(options, files, undefined);
    }
    await target.sync();
  } finally {
    await Promise.all([source.close(), target.close(), staging.close()]);
  }
  const hash = await hashSlot(slots, targetSlot, manifest.image.sizeBytes);
  if (hash !== manifest.image.sha256) {
    throw new OfferFailed(
      "image-hash",
      `${offer.format} made an image with hash ${hash}, not ${manifest.image.sha256}`,
    );
  }
}

async function beginAnew(options: InstallOptions, target: StorageFile): Promise<void> {
  if (options.resumeFrom) await options.onApplied(null);
  await target.truncate(0);
}

/** The checkpoint, if the flash holds exactly the bytes that it speaks of. */
async function usableCheckpoint(
  { resumeFrom, manifest, signal, onBegunAnew }: InstallOptions,
  target: StorageFile,
): Promise<PatchCheckpoint | undefined> {
  if (!resumeFrom || resumeFrom.writtenBytes > manifest.image.sizeBytes) return undefined;
  let checksum = 0;
  for (let offset = 0; offset < resumeFrom.writtenBytes; ) {
    signal.throwIfAborted();
    const length = Math.min(READ_BYTES, resumeFrom.writtenBytes - offset);
    const chunk = await target.read(offset, length);
    if (chunk.length === 0) break;
    checksum = crc32(chunk, checksum);
    offset += chunk.length;
  }
  if (checksum === resumeFrom.checksum) return resumeFrom;
  onBegunAnew("the slot does not hold what was written before the cut, beginning anew");
  return undefined;
}

/** Rarely enough to spare the flash, often enough that little is lost. */
function checkpointEveryBytes(sizeBytes: number): number {
  return Math.min(8 * 1024 ** 2, Math.max(16 * 1024, Math.floor(sizeBytes / 32)));
}

async function applyStaged(
  options: InstallOptions,
  files: Files,
  resumeFrom: PatchCheckpoint | undefined,
): Promise<void> {
  const { offer, manifest, signal } = options;
  const expectedSizeBytes = manifest.image.sizeBytes;
  const everyBytes = checkpointEveryBytes(expectedSizeBytes);
  let position = resumeFrom?.writtenBytes ?? 0;
  let reached = resumeFrom;
  let safeBytes = position;
  // Kept apart from the patch's faults: a full or failing flash is not the artifact's fault.
  let storageFault: { error: unknown } | undefined;
  const guarded = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      storageFault ??= { error };
      throw error;
    }
  };
  async function* stagedBytes(): AsyncIterable<Uint8Array> {
    for (let offset = 0; offset < offer.sizeBytes; ) {
      signal.throwIfAborted();
      const length = Math.min(READ_BYTES, offer.sizeBytes - offset);
      const chunk = await guarded(() => files.staging.read(offset, length));
      if (chunk.length === 0) return;
      offset += chunk.length;
      yield chunk;
    }
  }
  async function keepCheckpoint(): Promise<void> {
    if (!reached || reached.writtenBytes < safeBytes + everyBytes) return;
    const checkpoint = reached;
    await files.target.sync();
    await options.onApplied(checkpoint);
    safeBytes = checkpoint.writtenBytes;
  }
  try {
    await applyPatch({
      format: offer.format,
      source: {
        sizeBytes: options.sourceRecord?.sizeBytes ?? 0,
        read: (offset, length, into) => guarded(() => files.source.read(offset, length, into)),
      },
      patch: stagedBytes(),
      async write(chunk) {
        signal.throwIfAborted();
        if (position + chunk.length > expectedSizeBytes) {
          throw new Error(`more than the ${expectedSizeBytes} bytes of the image`);
        }
        await guarded(async () => {
          await keepCheckpoint();
          await files.target.write(position, chunk);
        });
        position += chunk.length;
      },
      expectedSizeBytes,
      maxMemoryBytes: options.maxMemoryBytes,
      resumeFrom,
      onCheckpoint: (checkpoint) => {
        reached = checkpoint;
      },
    });
  } catch (error) {
    signal.throwIfAborted();
    if (storageFault) throw storageFault.error;
    throw new OfferFailed(offer.format, messageOf(error), { cause: error });
  }
}
