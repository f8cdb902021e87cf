import { applyPatch } from "../../delta/index.ts";
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
}

const READ_BYTES = 64 * 1024;

/**
 * Builds the image in the target slot from the staged artifact: random reads of the running slot,
 * sequential writes, nothing held whole. Then reads it back: what counts is what the flash holds.
 */
export async function installOffer(options: InstallOptions): Promise<void> {
  const { offer, manifest, slots, targetSlot } = options;
  const source = await slots.open(options.sourceSlot);
  const target = await slots.open(targetSlot);
  const staging = await options.storage.open(STAGING_FILE);
  try {
    await target.truncate(0);
    await applyStaged(options, { source, target, staging });
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

async function applyStaged(
  options: InstallOptions,
  files: { source: StorageFile; target: StorageFile; staging: StorageFile },
): Promise<void> {
  const { offer, manifest, signal } = options;
  const expectedSizeBytes = manifest.image.sizeBytes;
  let position = 0;
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
  try {
    await applyPatch({
      format: offer.format,
      source: {
        sizeBytes: options.sourceRecord?.sizeBytes ?? 0,
        read: (offset, length) => guarded(() => files.source.read(offset, length)),
      },
      patch: stagedBytes(),
      async write(chunk) {
        signal.throwIfAborted();
        if (position + chunk.length > expectedSizeBytes) {
          throw new Error(`more than the ${expectedSizeBytes} bytes of the image`);
        }
        await guarded(() => files.target.write(position, chunk));
        position += chunk.length;
      },
      expectedSizeBytes,
      maxMemoryBytes: options.maxMemoryBytes,
    });
  } catch (error) {
    signal.throwIfAborted();
    if (storageFault) throw storageFault.error;
    throw new OfferFailed(offer.format, messageOf(error), { cause: error });
  }
}
