import type { Bootloader, SlotName } from "../ports.ts";
import { runProgram } from "../work/run-program.ts";

export interface SwupdateOptions {
  /** What chooses the slot at the next boot. */
  selection: Bootloader;
  /** `<software>,<mode>` of the sw-description for each slot. */
  modes: Readonly<Record<SlotName, string>>;
  /** Where a slot's .swu file lies. */
  imageOf(slot: SlotName): string;
  /** Further words, such as `-k` with the public key. */
  arguments: readonly string[];
}

const INSTALL_MS = 60 * 60_000;

/**
 * SWUpdate writes the slot; a bootloader's environment chooses it. A slot's image is a .swu file, and
 * SWUpdate's own marks in the environment are left out: what is on trial is the agent's to say.
 */
export function bootWithSwupdate(options: SwupdateOptions): Bootloader {
  const { selection, modes, imageOf } = options;
  return {
    status: () => selection.status(),
    bless: () => selection.bless(),
    abandonTrial: () => selection.abandonTrial(),
    async tryNext(slot, tries) {
      const marks = ["--no-transaction-marker", "--no-state-marker"];
      const words = ["-i", imageOf(slot), "-e", modes[slot], ...marks, ...options.arguments];
      const { status, output } = await runProgram(
        ["swupdate", ...words],
        AbortSignal.timeout(INSTALL_MS),
      );
      // Its exit status is 1 now and then after an image that was written whole (2022.12): what it
      // says at the end counts.
      if (!output.includes("SWUPDATE successful")) {
        throw new Error(`swupdate ended with status ${status}: ${output}`);
      }
      await selection.tryNext(slot, tries);
    },
  };
}
