import { constants, open, readFile } from "node:fs/promises";
import { readFully, writeFully } from "../offline/file-storage.ts";
import type { SlotName, Slots } from "../ports.ts";

/** Slots that are partitions, or files that stand for them. */
export function partitionSlots(
  devices: Readonly<Record<SlotName, string>>,
  capacityBytes: number,
): Slots {
  return {
    capacityBytes,
    async open(slot) {
      const handle = await open(devices[slot], constants.O_RDWR);
      const isFile = (await handle.stat()).isFile();
      return {
        sizeBytes: async () => (isFile ? (await handle.stat()).size : capacityBytes),
        read: (offset, length, into) => readFully(handle, offset, length, into),
        write: (offset, bytes) => writeFully(handle, offset, bytes),
        // A partition keeps its size: what lies behind the image does not count.
        truncate: async (sizeBytes) => {
          if (isFile) await handle.truncate(sizeBytes);
        },
        sync: () => handle.sync(),
        close: () => handle.close(),
      };
    },
  };
}

/** The slot that the bootloader named on the kernel's command line: `vautn.slot=a`. */
export async function slotOfCommandLine(file = "/proc/cmdline"): Promise<SlotName> {
  const text = await readFile(file, "utf8");
  const named = /(?:^|\s)vautn\.slot=([ab])(?:\s|$)/.exec(text)?.[1];
  if (named === "a" || named === "b") return named;
  throw new Error(`${file} does not say vautn.slot=a or vautn.slot=b`);
}
