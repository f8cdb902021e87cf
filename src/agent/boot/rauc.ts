import { readFile } from "node:fs/promises";
import { readDocument, writeDocument } from "../offline/atomic-file.ts";
import type { Bootloader, BootStatus, SlotName, Storage } from "../ports.ts";
import { otherSlot } from "../ports.ts";
import { succeed } from "./u-boot.ts";

export interface RaucOptions {
  /** Names of the slots in RAUC's configuration (`bootname`). */
  bootNames: Readonly<Record<SlotName, string>>;
  /** Where a slot's bundle lies. */
  bundleOf(slot: SlotName): string;
  storage: Storage;
  resetCause: BootStatus["resetCause"];
  /** Tells one boot of the kernel from the next. */
  bootIdFile?: string;
}

interface RaucRecord {
  trial: SlotName | null;
  abandoned: SlotName | null;
  /** The boot in which the trial was ordered. */
  orderedIn: string;
  /** RAUC has the image and boots it next; before that a boot of the old one is no fall-back. */
  ordered?: boolean;
}

const FILE = "rauc.json";
const INSTALL_MS = 60 * 60_000;
const NONE: RaucRecord = { trial: null, abandoned: null, orderedIn: "" };

/**
 * RAUC as the bootloader's voice. A slot's image is a RAUC bundle, kept beside the agent's files;
 * `tryNext` has RAUC verify and write it. How many boots a trial gets is RAUC's to say
 * (`boot-attempts`); which slot is on trial is kept here, since RAUC does not tell good from untried.
 */
export async function bootFromRauc(options: RaucOptions): Promise<Bootloader> {
  const { bootNames, bundleOf, storage, resetCause } = options;
  const bootId = (
    await readFile(options.bootIdFile ?? "/proc/sys/kernel/random/boot_id", "utf8")
  ).trim();

  async function running(): Promise<SlotName> {
    const { stdout } = await succeed(["rauc", "status", "--output-format=json"], {
      maxOutputBytes: 1024 * 1024,
    });
    const { booted } = JSON.parse(stdout) as { booted?: string };
    if (booted === bootNames.a) return "a";
    if (booted === bootNames.b) return "b";
    throw new Error(`RAUC says that ${booted} is booted, which is neither slot`);
  }
  async function record(): Promise<RaucRecord> {
    const found = await readDocument(storage, FILE);
    return found && found !== "damaged" ? (found.document as RaucRecord) : NONE;
  }
  const mark = (what: string, slot: "booted" | "other") => succeed(["rauc", "status", what, slot]);

  return {
    async status() {
      const now = await running();
      const { trial, abandoned, orderedIn, ordered = false } = await record();
      const turnedBack = ordered && trial !== null && trial !== now && orderedIn !== bootId;
      return {
        running: now,
        trial: trial === now,
        abandoned: turnedBack ? trial : abandoned,
        resetCause,
      };
    },
    async tryNext(slot) {
      if (slot !== otherSlot(await running())) throw new Error(`slot ${slot} is running`);
      const begun: RaucRecord = { trial: slot, abandoned: null, orderedIn: bootId };
      await writeDocument(storage, FILE, begun);
      await succeed(["rauc", "install", bundleOf(slot)], { limitMs: INSTALL_MS });
      await mark("mark-active", "other");
      await writeDocument(storage, FILE, { ...begun, ordered: true });
    },
    async bless() {
      await mark("mark-good", "booted");
      await mark("mark-active", "booted");
      await writeDocument(storage, FILE, NONE);
    },
    async abandonTrial() {
      const { trial } = await record();
      if (!trial) return;
      if (trial === (await running())) {
        await mark("mark-bad", "booted");
        await mark("mark-active", "other");
      } else {
        await mark("mark-active", "booted");
      }
      await writeDocument(storage, FILE, { trial: null, abandoned: trial, orderedIn: bootId });
    },
  };
}
