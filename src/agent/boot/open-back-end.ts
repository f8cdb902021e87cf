import { fileSlots } from "../offline/file-storage.ts";
import type { Bootloader, BootStatus, Slots, Storage } from "../ports.ts";
import type { BackEndConfig, EnvironmentConfig } from "./back-end-config.ts";
import type { BootBackEnd } from "./boot-back-end.ts";
import {
  bootFromEnvironment,
  type EnvironmentBootOptions,
  GRUB_COUNTER,
  U_BOOT_COUNTER,
} from "./environment-boot.ts";
import { bootFromFiles } from "./files-bootloader.ts";
import { grubEnvironment } from "./grub.ts";
import { partitionSlots, slotOfCommandLine } from "./partition-slots.ts";
import { bootFromRauc } from "./rauc.ts";
import { bootWithSwupdate } from "./swupdate.ts";
import { openSystemdBoot } from "./systemd-boot.ts";
import { uBootEnvironment } from "./u-boot.ts";
import { resetCause } from "./watchdog.ts";

export interface BackEndPlaces {
  storage: Storage;
  /** Where a file of the storage lies for other programs. */
  locate(name: string): string;
  capacityBytes: number;
}

/** The bootloader back end that the configuration names. */
export async function openBackEnd(
  config: BackEndConfig,
  places: BackEndPlaces,
): Promise<BootBackEnd> {
  const { storage, locate, capacityBytes } = places;
  const cause = await resetCause();
  const images = fileSlots(storage, capacityBytes);
  switch (config.kind) {
    case "files":
      return backEnd(config.kind, images, await bootFromFiles(storage, cause));
    case "systemd-boot":
      return openSystemdBoot({ systemPartition: config.systemPartition, capacityBytes });
    case "u-boot":
    case "grub": {
      const slots = partitionSlots(config.slots, capacityBytes);
      const selection = await selectionOf(config, config.commandLineFile, cause);
      return backEnd(config.kind, slots, selection);
    }
    case "rauc": {
      const bundleOf = (slot: string) => locate(`${slot}.img`);
      const { bootNames } = config;
      return backEnd(
        config.kind,
        images,
        await bootFromRauc({ ...{ bootNames, bundleOf, storage, resetCause: cause } }),
      );
    }
    case "swupdate": {
      const { environment, commandLineFile, modes, arguments: words = [] } = config;
      const selection = await selectionOf(environment, commandLineFile, cause);
      const imageOf = (slot: string) => locate(`${slot}.img`);
      const bootloader = bootWithSwupdate({ selection, modes, imageOf, arguments: words });
      return backEnd(config.kind, images, bootloader);
    }
  }
}

async function selectionOf(
  config: EnvironmentConfig,
  commandLineFile: string | undefined,
  cause: BootStatus["resetCause"],
): Promise<Bootloader> {
  const shared: Pick<EnvironmentBootOptions, "running" | "resetCause"> = {
    running: await slotOfCommandLine(commandLineFile),
    resetCause: cause,
  };
  return config.kind === "u-boot"
    ? bootFromEnvironment({
        ...shared,
        environment: uBootEnvironment(config),
        counter: U_BOOT_COUNTER,
      })
    : bootFromEnvironment({
        ...shared,
        environment: grubEnvironment(config.environmentFile),
        counter: GRUB_COUNTER,
      });
}

/** Back ends whose start nothing verifies. */
function backEnd(kind: string, slots: Slots, bootloader: Bootloader): BootBackEnd {
  return { kind, slots, bootloader, chain: undefined, healthy: async () => {} };
}
