import { readDocument, writeDocument } from "../offline/atomic-file.ts";
import type { Bootloader, BootStatus, Storage } from "../ports.ts";
import {
  type BootRecord,
  bootStatus,
  FACTORY_BOOT_RECORD,
  isBootRecord,
  selectSlot,
  withBlessing,
  withoutTrial,
  withTrial,
} from "./boot-selection.ts";

const FILE = "boot.json";

/**
 * The bootloader back end "files", for containers and simulation: its record is a small file, and
 * a boot is one call of this function, which takes the decision that a bootloader takes.
 */
export async function bootFromFiles(
  storage: Storage,
  resetCause: BootStatus["resetCause"],
): Promise<Bootloader> {
  const found = await readDocument(storage, FILE);
  const stored = found && found !== "damaged" ? found.document : undefined;
  const before = isBootRecord(stored) ? stored : FACTORY_BOOT_RECORD;
  const selection = selectSlot(before);
  const running = selection.boot;
  let record = selection.record;
  if (record !== before) await writeDocument(storage, FILE, record);

  async function replace(next: BootRecord): Promise<void> {
    if (next === record) return;
    await writeDocument(storage, FILE, next);
    record = next;
  }
  return {
    status: async () => bootStatus(record, running, resetCause),
    tryNext: (slot, tries) => replace(withTrial(record, slot, tries)),
    bless: () => replace(withBlessing(running)),
    abandonTrial: () => replace(withoutTrial(record)),
  };
}
