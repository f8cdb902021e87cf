import type { Clock, Random } from "../../kernel/index.ts";
import type {
  ArtifactFormat,
  LogLevel,
  LogSpan,
  RunningFirmware,
  UpdateState,
} from "../../protocol/index.ts";
import type { StateStore } from "../agent-state.ts";
import type { Components } from "../components/component.ts";
import type {
  ArtifactSource,
  Bootloader,
  Reboot,
  SelfTestResult,
  Slots,
  Storage,
} from "../ports.ts";
import type { Conditions } from "./conditions.ts";
import type { SlotRecord } from "./slot-record.ts";
import type { TrustStore } from "./trust-store.ts";

/** What updating needs from the rest of the agent and from the world. */
export interface UpdateContext {
  identity: { tenant: string; device: string; product: string; hardwareRevision: string };
  trust: TrustStore;
  clock: Clock;
  random: Random;
  storage: Storage;
  slots: Slots;
  bootloader: Bootloader;
  artifacts: ArtifactSource;
  components: Components;
  conditions: Conditions;
  formats: readonly ArtifactFormat[];
  maxPatchMemoryBytes: number;
  /** Boots that a new image gets before the bootloader falls back. */
  trialTries: number;
  /** Of the machine's authenticated storage; 0 where it has none. */
  hardwareFloor(): number;
  state: StateStore;
  bootId: string;
  /** Ends when the agent stops or the machine loses power. */
  life: AbortSignal;
  reboot: Reboot;
  /** Tests the running image; `signal` ends it at its deadline. */
  selfTest(signal: AbortSignal): Promise<SelfTestResult>;
  running(): RunningFirmware;
  /** The other slot now holds this, or nothing that counts. */
  onSlotChanged(record: SlotRecord | undefined): void;
  /** Tells the platform where the update stands; rejects while offline. */
  publish(state: UpdateState): Promise<void>;
  event(type: string, attributes: Record<string, unknown>): Promise<void>;
  /** Puts on disk what is still to be told. */
  keepWords(): Promise<void>;
  log(level: LogLevel, message: string, traceparent: string | null, span?: LogSpan): void;
}
