import type { Bootloader, BootStatus, SlotName } from "../ports.ts";

/** Variables that a bootloader and the running system share; absent ones are undefined. */
export interface BootEnvironment {
  read(): Promise<Record<string, string | undefined>>;
  /** All of them in one write; null removes a variable. */
  write(changes: Record<string, string | null>): Promise<void>;
}

/** How a bootloader counts the boots of a trial. */
export interface TryCounter {
  /** What is written beside `vautn_trial` when a trial begins. */
  begin(tries: number): Record<string, string | null>;
  end(): Record<string, string | null>;
  /** Whether the bootloader would try the slot at the next boot. */
  isArmed(variables: Record<string, string | undefined>): boolean;
  /** Whether the tries are used up, where the bootloader has not written that down itself. */
  isSpent(variables: Record<string, string | undefined>): boolean;
}

/** U-Boot's boot counter (CONFIG_BOOTCOUNT_ENV): beyond `bootlimit` it runs `altbootcmd`. */
export const U_BOOT_COUNTER: TryCounter = {
  begin: (tries) => ({ upgrade_available: "1", bootcount: "0", bootlimit: String(tries) }),
  end: () => ({ upgrade_available: "0", bootcount: "0" }),
  isArmed: ({ upgrade_available }) => upgrade_available === "1",
  isSpent: ({ bootcount, bootlimit }) => Number(bootcount ?? 0) > Number(bootlimit ?? 1),
};

/** GRUB cannot count; its script looks the next lower number up (deploy/bootloaders/grub.cfg). */
export const GRUB_COUNTER: TryCounter = {
  begin: (tries) => ({ vautn_tries: String(Math.min(tries, MAX_GRUB_TRIES)) }),
  end: () => ({ vautn_tries: null }),
  isArmed: () => true,
  isSpent: () => false,
};

/** As many as the script spells out. */
export const MAX_GRUB_TRIES = 9;

export interface EnvironmentBootOptions {
  environment: BootEnvironment;
  counter: TryCounter;
  running: SlotName;
  resetCause: BootStatus["resetCause"];
}

/**
 * A/B selection by a bootloader's environment: `vautn_confirmed` is booted, `vautn_trial` while its
 * tries last, and `vautn_abandoned` is what a trial was given up for.
 */
export function bootFromEnvironment(options: EnvironmentBootOptions): Bootloader {
  const { environment, counter, running, resetCause } = options;
  /** Read back: the tools of some boards report success for what they could not write. */
  async function write(changes: Record<string, string | null>): Promise<void> {
    await environment.write(changes);
    const found = await environment.read();
    const differs = Object.keys(changes).find(
      (name) => (found[name] ?? "") !== (changes[name] ?? ""),
    );
    if (differs) throw new Error(`the bootloader's environment did not take ${differs}`);
  }
  return {
    async status() {
      const variables = await environment.read();
      const trial = counter.isArmed(variables) ? slotIn(variables.vautn_trial) : null;
      // The bootloader has turned back and could not say so.
      const turnedBack = trial && trial !== running && counter.isSpent(variables) ? trial : null;
      return {
        running,
        trial: trial === running && slotIn(variables.vautn_confirmed) !== running,
        abandoned: slotIn(variables.vautn_abandoned) ?? turnedBack,
        resetCause,
      };
    },
    tryNext: (slot, tries) =>
      write({
        vautn_confirmed: running,
        vautn_trial: slot,
        vautn_abandoned: null,
        ...counter.begin(tries),
      }),
    bless: () =>
      write({
        vautn_confirmed: running,
        vautn_trial: null,
        vautn_abandoned: null,
        ...counter.end(),
      }),
    async abandonTrial() {
      const { vautn_trial: trial } = await environment.read();
      if (!slotIn(trial)) return;
      await write({
        vautn_trial: null,
        vautn_abandoned: trial as SlotName,
        ...counter.end(),
      });
    },
  };
}

function slotIn(text: string | undefined): SlotName | null {
  return text === "a" || text === "b" ? text : null;
}
