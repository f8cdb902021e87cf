import { type BootStatus, otherSlot, type SlotName } from "../ports.ts";

/** What a bootloader with a boot counter remembers. */
export interface BootRecord {
  /** Blessed last. */
  confirmed: SlotName;
  trial: { slot: SlotName; triesLeft: number } | null;
  /** The slot whose trial ended without a blessing. */
  abandoned: SlotName | null;
}

export const FACTORY_BOOT_RECORD: BootRecord = { confirmed: "a", trial: null, abandoned: null };

/**
 * The choice that a bootloader makes at power-on. The counter goes down before the slot is entered,
 * so a slot that hangs, crashes or loses power uses up its tries.
 */
export function selectSlot(record: BootRecord): { boot: SlotName; record: BootRecord } {
  const trial = record.trial;
  if (!trial) return { boot: record.confirmed, record };
  if (trial.triesLeft < 1) {
    const next = { ...record, trial: null, abandoned: trial.slot };
    return { boot: record.confirmed, record: next };
  }
  const next = { ...record, trial: { slot: trial.slot, triesLeft: trial.triesLeft - 1 } };
  return { boot: trial.slot, record: next };
}

export function withTrial(record: BootRecord, slot: SlotName, tries: number): BootRecord {
  return { ...record, trial: { slot, triesLeft: tries }, abandoned: null };
}

export function withBlessing(running: SlotName): BootRecord {
  return { confirmed: running, trial: null, abandoned: null };
}

export function withoutTrial(record: BootRecord): BootRecord {
  return record.trial ? { ...record, trial: null, abandoned: record.trial.slot } : record;
}

export function isBootRecord(value: unknown): value is BootRecord {
  const record = value as BootRecord | null;
  return typeof record === "object" && record !== null && isSlot(record.confirmed);
}

export function bootStatus(
  record: BootRecord,
  running: SlotName,
  resetCause: BootStatus["resetCause"],
): BootStatus {
  return {
    running,
    trial: record.trial?.slot === running && running === otherSlot(record.confirmed),
    abandoned: record.abandoned,
    resetCause,
  };
}

function isSlot(value: unknown): value is SlotName {
  return value === "a" || value === "b";
}
