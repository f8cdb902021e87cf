import type { BootChain, BootStage, FirmwareVariableWrite } from "../../protocol/index.ts";
import type { Bootloader, Slots } from "../ports.ts";

/** Lowest counters that a machine still accepts, kept where the disk's holder cannot write. */
export interface Floors {
  security: number;
  configuration: number;
}

export const NO_FLOORS: Floors = { security: 0, configuration: 0 };

/** What a machine with a verified start knows about it, and how it is told of news. */
export interface ChainOfTrust {
  /** As it was found at this start, without the configuration's stage. */
  describe(): Promise<Omit<BootChain, "stages"> & { stages: BootStage[] }>;
  floors(): Promise<Floors>;
  /** Hands a signed write to the firmware; rejects where that refuses it. */
  write(variable: FirmwareVariableWrite): Promise<void>;
}

/**
 * All that is written to port the agent to another bootloader: the places for images, which of them
 * runs, is tried, blessed or given up, and what verified it. The agent knows nothing else of it.
 */
export interface BootBackEnd {
  readonly kind: string;
  readonly slots: Slots;
  /** Status, try, bless, fall back. */
  readonly bootloader: Bootloader;
  /** Undefined where nothing is verified. */
  readonly chain: ChainOfTrust | undefined;
  /** The machine has become healthy: starts that came to nothing are forgotten. */
  healthy(): Promise<void>;
}
