import type { Clock, Random } from "../kernel/index.ts";
import type { Envelope, LogLevel, RootMetadata, RunningFirmware } from "../protocol/index.ts";
import type { AgentSettings } from "./agent-settings.ts";
import type { ChainOfTrust } from "./boot/boot-back-end.ts";
import type { Watchdog } from "./boot/watchdog.ts";
import type { Components } from "./components/component.ts";
import type { CredentialStore } from "./identity/credential-store.ts";
import type {
  Application,
  ArtifactSource,
  Bootloader,
  Reboot,
  Reenrolment,
  Slots,
  Storage,
  Transport,
} from "./ports.ts";
import { RunningAgent } from "./running-agent.ts";
import type { Conditions } from "./update/conditions.ts";
import type { CommandHandler } from "./work/commands.ts";
import type { Twin, TwinHandler } from "./work/twin.ts";

export interface AgentDeps {
  identity: { tenant: string; device: string; product: string; hardwareRevision: string };
  trustRoot: Envelope<RootMetadata>;
  clock: Clock;
  random: Random;
  storage: Storage;
  slots: Slots;
  bootloader: Bootloader;
  /** What verified this start; absent where nothing did. */
  chain?: ChainOfTrust | undefined;
  /** Called once the platform was reached and no trial is under way. */
  healthy?: () => Promise<void>;
  transport: Transport;
  artifacts: ArtifactSource;
  /** The identity that the agent keeps and renews; without it, that is somebody else's affair. */
  credentials?: CredentialStore;
  /** EST; without it certificates are renewed by messages alone. */
  reenrolment?: Reenrolment;
  application: Application;
  /** What resets the machine when the agent hangs. */
  watchdog?: Watchdog | undefined;
  /** What releases may bring beside the image, in the order in which it is taken into use. */
  components?: Components;
  /** What an update waits for; nothing where it is absent. */
  conditions?: Conditions;
  /** What lives by the twin; without it the device says that it lives by none. */
  twin?: TwinHandler | undefined;
  reboot: Reboot;
  settings?: Partial<AgentSettings>;
  /** Commands of this device beside the built-in ones; they too must be allowed. */
  commandHandlers?: Readonly<Record<string, CommandHandler>>;
  newId?: () => string;
  /** The machine's own log. */
  localLog?: (level: LogLevel, message: string) => void;
}

export interface AgentStatus {
  bootId: string;
  bootReason: string;
  firmware: RunningFirmware;
  otherSlot: { version: string; hash: string } | null;
  trial: boolean;
  connected: boolean;
  update: { updateId: string; phase: string } | null;
  backlog: { waiting: number; dropped: number };
  twin: ReturnType<Twin["status"]>;
  /** Null where the identity is somebody else's to keep. */
  certificate: ReturnType<CredentialStore["status"]> | null;
}

export interface Agent {
  /** Resolves when the agent works, online or not. */
  start(): Promise<void>;
  /** Ends in order; what was not acknowledged is on disk. */
  stop(): Promise<void>;
  /** Ends at once and touches no disk: the power is gone. */
  kill(): void;
  /** Undefined until `start` has resolved. */
  status(): AgentStatus | undefined;
  /** Resolves when no step of an update is under way. */
  idle(): Promise<void>;
}

/** The agent for one boot of the machine: after `reboot` was called, the next boot makes another. */
export function createAgent(deps: AgentDeps): Agent {
  const life = new AbortController();
  let running: RunningAgent | undefined;
  let starting: Promise<void> | undefined;
  return {
    start() {
      starting ??= RunningAgent.boot(deps, life.signal).then(async (booted) => {
        if (life.signal.aborted) return;
        running = booted;
        await booted.begin();
      });
      return starting;
    },
    async stop() {
      await starting;
      life.abort(new Error("the agent stops"));
      await running?.stop();
    },
    kill() {
      life.abort(new Error("the power is gone"));
      running?.kill();
    },
    status: () => running?.status(),
    idle: async () => running?.idle(),
  };
}
