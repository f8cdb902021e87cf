import { SLOT_NAMES, type SlotName } from "../ports.ts";

/**
 * A slot's kernel among the loader's entries. The generation leads the name, so that the loader,
 * which takes the highest name first, prefers what was tried or blessed last; the counter follows
 * systemd's Automatic Boot Assessment: `+<tries left>-<tries made>`, absent once it is blessed.
 */
export interface SlotEntry {
  file: string;
  generation: number;
  slot: SlotName;
  /** Null where it is blessed; 0 where its tries ran out or it was struck out. */
  triesLeft: number | null;
}

const ENTRY = /^vautn-(\d{4,9})-([ab])(?:\+(\d{1,3})(?:-\d{1,3})?)?\.efi$/;

export function parseEntry(file: string): SlotEntry | undefined {
  const match = ENTRY.exec(file);
  if (!match) return undefined;
  return {
    file,
    generation: Number(match[1]),
    slot: match[2] as SlotName,
    triesLeft: match[3] === undefined ? null : Number(match[3]),
  };
}

export function entryName(generation: number, slot: SlotName, tries: number | null): string {
  const counter = tries === null ? "" : `+${tries}`;
  return `vautn-${String(generation).padStart(4, "0")}-${slot}${counter}.efi`;
}

/** The entry of a slot; of several, which only a power cut leaves, the newest. */
export function entryOf(files: readonly string[], slot: SlotName): SlotEntry | undefined {
  return entries(files).find((entry) => entry.slot === slot);
}

/** All entries of ours, the newest first. */
export function entries(files: readonly string[]): SlotEntry[] {
  return files
    .map(parseEntry)
    .filter((entry) => entry !== undefined)
    .sort((left, right) => right.generation - left.generation);
}

/** One above all that are there. */
export function nextGeneration(files: readonly string[]): number {
  return (entries(files)[0]?.generation ?? 0) + 1;
}

/** The slot whose trial ended without a blessing, or was refused by the firmware. */
export function abandonedSlot(files: readonly string[]): SlotName | null {
  return SLOT_NAMES.find((slot) => entryOf(files, slot)?.triesLeft === 0) ?? null;
}

/** The slot that runs, from the name that the loader says it has started. */
export function slotOfEntryName(name: string | undefined): SlotName | undefined {
  return name === undefined ? undefined : parseEntry(name.toLowerCase())?.slot;
}
