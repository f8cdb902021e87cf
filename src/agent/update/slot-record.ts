import type { Envelope, ReleaseManifest, RunningFirmware } from "../../protocol/index.ts";
import { readDocument, removeFile, writeDocument } from "../offline/atomic-file.ts";
import type { SlotName, Slots, Storage } from "../ports.ts";
import { hashFile } from "./hash-file.ts";

/** What a slot holds, written beside it only after its content was read back and found right. */
export interface SlotRecord {
  version: string;
  sha256: string;
  sizeBytes: number;
  securityCounter: number;
  /** The signed manifest that the image was installed with; null for an unsigned factory image. */
  release: Envelope<ReleaseManifest> | null;
}

function fileName(slot: SlotName): string {
  return `slot-${slot}.json`;
}

export async function readSlotRecord(
  storage: Storage,
  slot: SlotName,
): Promise<SlotRecord | undefined> {
  const found = await readDocument(storage, fileName(slot));
  return found && found !== "damaged" ? (found.document as SlotRecord) : undefined;
}

export async function writeSlotRecord(
  storage: Storage,
  slot: SlotName,
  record: SlotRecord,
): Promise<void> {
  await writeDocument(storage, fileName(slot), record);
}

/** Said before the first byte of the slot changes, so that half an image is never taken for one. */
export async function forgetSlot(storage: Storage, slot: SlotName): Promise<void> {
  await removeFile(storage, fileName(slot));
}

/** SHA-256 of the first `sizeBytes` of a slot, as the flash returns them. */
export async function hashSlot(slots: Slots, slot: SlotName, sizeBytes: number): Promise<string> {
  const file = await slots.open(slot);
  try {
    return await hashFile(file, sizeBytes);
  } finally {
    await file.close();
  }
}

export function recordOfRelease(release: Envelope<ReleaseManifest>): SlotRecord {
  const manifest = release.signed;
  return {
    version: manifest.version,
    sha256: manifest.image.sha256,
    sizeBytes: manifest.image.sizeBytes,
    securityCounter: manifest.securityCounter,
    release,
  };
}

const UNKNOWN_HASH = "0".repeat(64);

/** How a slot appears in reports; zeros where the agent does not know what runs. */
export function describeSlot(slot: SlotName, record: SlotRecord | undefined): RunningFirmware {
  return {
    version: record?.version ?? "0.0.0",
    hash: record?.sha256 ?? UNKNOWN_HASH,
    slot,
  };
}

/** The slot that does not run, as the platform wants to know of it. */
export function describeOther(
  record: SlotRecord | undefined,
): { version: string; hash: string } | null {
  return record ? { version: record.version, hash: record.sha256 } : null;
}
