import {
  type Agent,
  type AgentDeps,
  type AgentStatus,
  type BootStatus,
  bootFromFiles,
  type Components,
  CredentialStore,
  createAgent,
  readSlotRecord,
  type SlotRecord,
  type Storage,
  type TwinHandler,
  twinByFile,
  writeSlotRecord,
} from "../agent/index.ts";
import { type Clock, messageOf, type Random, type Timer } from "../kernel/index.ts";
import { type Behaviours, behaviourOf, type DeviceFault, type FirmwareFault } from "./behaviour.ts";
import { FaultyNetwork } from "./faulty-network.ts";
import type { FlashKeeper } from "./flash-log.ts";
import type { PagePool } from "./page-pool.ts";
import { SimulatedApplication } from "./simulated-application.ts";
import { SimulatedFlash, simulatedSlots } from "./simulated-flash.ts";

export interface MachineOptions
  extends Pick<
    AgentDeps,
    | "identity"
    | "trustRoot"
    | "transport"
    | "artifacts"
    | "reenrolment"
    | "settings"
    | "localLog"
    | "newId"
    | "conditions"
    | "watchdog"
  > {
  /** What the machine has beside its image, on its flash. */
  components?: (storage: Storage) => Components;
  /** What lives by the twin; a file on the flash where nothing else does. */
  twin?: (storage: Storage) => TwinHandler;
  /** The identity lies on the flash, and the agent renews it. */
  keepsIdentity?: boolean;
  clock: Clock;
  random: Random;
  pool: PagePool;
  /** What keeps the flash beyond this process. */
  keeper?: FlashKeeper | undefined;
  behaviours: Behaviours;
  timeScale: number;
  slotCapacityBytes: number;
  /** Time after which a machine that does not come up is reset. */
  watchdogMs: number;
  /** Sees each boot before the agent starts. */
  onBoot?: (boot: BootStatus, storage: Storage) => Promise<void>;
}

export interface MachineStatus {
  agent: AgentStatus | undefined;
  powered: boolean;
  boots: number;
  crashes: number;
  watchdogResets: number;
  powerCuts: number;
  downloadedBytes: number;
}

const NO_PROGRAM = { dataDirectory: "", timeoutMs: 0 };
const DEFAULT_OUTAGE_MS = 2_000;

/** A device without its hardware: flash, bootloader, watchdog, an application, and the real agent. */
export class SimulatedMachine {
  readonly flash: SimulatedFlash;
  readonly #options: MachineOptions;
  readonly #network: FaultyNetwork;
  readonly #timers = new Set<Timer>();
  /** Decides once which faults of an image strike this machine. */
  readonly #fortune: number;
  #agent: Agent | undefined;
  #faults: readonly DeviceFault[] = [];
  #powered = false;
  /** Rises with each boot, so that what an earlier boot still does is ignored. */
  #life = 0;
  #boots = 0;
  #crashes = 0;
  #watchdogResets = 0;
  #powerCuts = 0;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.flash = new SimulatedFlash(options.pool, options.random, options.keeper);
    this.#network = new FaultyNetwork(options.clock, options.random);
    this.#fortune = options.random.next();
  }

  /** Puts the factory's image into slot a, unless the flash holds one from an earlier life. */
  async provision(image: Uint8Array, record: SlotRecord): Promise<void> {
    const storage = this.flash.mount();
    if ((await readSlotRecord(storage, "a")) || (await readSlotRecord(storage, "b"))) return;
    const slot = await storage.open("a.img");
    await slot.truncate(0);
    await slot.write(0, image);
    await slot.sync();
    await storage.syncDirectory();
    await writeSlotRecord(storage, "a", record);
  }

  powerOn(): void {
    if (this.#powered) return;
    this.#powered = true;
    this.#boot("power-on");
  }

  /** Takes the power away, as a fault does. */
  powerOff(): void {
    if (!this.#powered) return;
    this.#powered = false;
    this.#endLife();
  }

  /** Takes the power away at the `operations`-th change of the flash, for `outageMs`. */
  cutPowerAfter(operations: number, outageMs = DEFAULT_OUTAGE_MS, onCut?: () => void): void {
    this.flash.cutPowerAfter(operations, () => {
      onCut?.();
      this.#powerCuts += 1;
      this.#powered = false;
      this.#endLife();
      this.#after(outageMs, () => this.powerOn());
    });
  }

  /** Ends in order. */
  async stop(): Promise<void> {
    const agent = this.#agent;
    this.#powered = false;
    this.#life += 1;
    this.flash.cancelPowerCut();
    this.#cancelTimers();
    this.#network.stop();
    await agent?.stop();
  }

  inject(fault: DeviceFault): void {
    this.#faults = [...this.#faults, fault];
    if (fault.kind === "bad-link") this.#network.setBadLink(fault);
    if (fault.kind === "silence") this.#planSilence();
    if (fault.kind === "flash-full") this.flash.limitSpace(fault.sizeBytes);
  }

  /** Mends everything that was injected. */
  heal(): void {
    this.#faults = [];
    this.#network.setBadLink(undefined);
    this.#network.setSilent(false);
    this.flash.limitSpace(undefined);
  }

  status(): MachineStatus {
    return {
      agent: this.#agent?.status(),
      powered: this.#powered,
      boots: this.#boots,
      crashes: this.#crashes,
      watchdogResets: this.#watchdogResets,
      powerCuts: this.#powerCuts,
      downloadedBytes: this.#network.downloadedBytes,
    };
  }

  #boot(resetCause: BootStatus["resetCause"]): void {
    this.#life += 1;
    this.#boots += 1;
    this.flash.restorePower();
    const life = this.#life;
    this.#bootInto(resetCause, life).catch((error) => {
      // The power went during the boot; whatever else it is, the watchdog sees a machine that hangs.
      if (life !== this.#life || !this.#powered) return;
      this.#options.localLog?.("error", `the boot failed: ${messageOf(error)}`);
      this.#planWatchdog();
    });
  }

  async #bootInto(resetCause: BootStatus["resetCause"], life: number): Promise<void> {
    const { behaviours, onBoot } = this.#options;
    const storage = this.flash.mount();
    const bootloader = await bootFromFiles(storage, resetCause);
    const boot = await bootloader.status();
    await onBoot?.(boot, storage);
    const record = await readSlotRecord(storage, boot.running);
    const { keepsIdentity } = this.#options;
    const credentials = keepsIdentity ? await CredentialStore.open(storage) : undefined;
    if (life !== this.#life) return;
    const sha256 = record?.sha256 ?? "";
    const behaviour = behaviourOf(behaviours, sha256);
    const faults = () => this.#firmwareFaults(sha256);
    if (faults().some((fault) => fault.kind === "hang-at-boot")) {
      this.#planWatchdog();
      return;
    }
    this.#network.setSilent(false);
    this.#after(behaviour.bootMs, () => {
      const agent = this.#createAgent(storage, bootloader, sha256, credentials);
      this.#agent = agent;
      agent.start().catch((error) => {
        if (life !== this.#life || !this.#powered) return;
        this.#options.localLog?.("error", `the agent did not start: ${messageOf(error)}`);
        this.#planWatchdog();
      });
      this.#planSilence(sha256);
    });
  }

  #createAgent(
    storage: Storage,
    bootloader: AgentDeps["bootloader"],
    sha256: string,
    credentials: CredentialStore | undefined,
  ): Agent {
    const { clock, random, behaviours, timeScale, slotCapacityBytes } = this.#options;
    const { identity, trustRoot, transport, artifacts, settings, localLog, newId } = this.#options;
    const { reenrolment, conditions, watchdog, components } = this.#options;
    const { twin = (flash: Storage) => twinByFile({ storage: flash, ...NO_PROGRAM }) } =
      this.#options;
    return createAgent({
      twin: twin(storage),
      identity,
      trustRoot,
      clock,
      random,
      storage,
      slots: simulatedSlots(storage, slotCapacityBytes),
      bootloader,
      transport: this.#network.transport(transport),
      artifacts: this.#network.artifacts(artifacts, () => this.#armPowerCut()),
      application: new SimulatedApplication({
        clock,
        random,
        behaviour: behaviourOf(behaviours, sha256),
        faults: () => this.#firmwareFaults(sha256),
        timeScale,
        onCrash: () => {
          this.#crashes += 1;
        },
      }),
      reboot: () => this.#restart("software"),
      ...(settings ? { settings } : {}),
      ...(localLog ? { localLog } : {}),
      ...(newId ? { newId } : {}),
      ...(conditions ? { conditions } : {}),
      ...(watchdog ? { watchdog } : {}),
      ...(components ? { components: components(storage) } : {}),
      ...(credentials ? { credentials } : {}),
      ...(reenrolment ? { reenrolment } : {}),
    });
  }

  #firmwareFaults(sha256: string): FirmwareFault[] {
    const { faults } = behaviourOf(this.#options.behaviours, sha256);
    const struck = faults.filter((fault) => this.#fortune < (fault.share ?? 1));
    const injected = this.#faults
      .filter(isFirmwareFault)
      .filter(({ onImage }) => onImage === undefined || onImage === sha256);
    return [...struck, ...injected];
  }

  /** A reset: what was in memory or not synced is lost. */
  #restart(cause: BootStatus["resetCause"]): void {
    if (!this.#powered) return;
    this.#endLife();
    this.#boot(cause);
  }

  #endLife(): void {
    this.#life += 1;
    this.#cancelTimers();
    this.#agent?.kill();
    this.#agent = undefined;
    this.flash.cutPower();
  }

  #planWatchdog(): void {
    this.#after(this.#options.watchdogMs, () => {
      this.#watchdogResets += 1;
      this.#restart("watchdog");
    });
  }

  #planSilence(sha256 = this.#agent?.status()?.firmware.hash ?? ""): void {
    for (const fault of this.#firmwareFaults(sha256)) {
      if (fault.kind === "silence") this.#after(fault.afterMs, () => this.#network.setSilent(true));
    }
  }

  #armPowerCut(): void {
    const fault = this.#faults.find((candidate) => candidate.kind === "power-cut");
    if (fault?.kind !== "power-cut") return;
    this.#faults = this.#faults.filter((candidate) => candidate !== fault);
    this.cutPowerAfter(fault.afterOperations, fault.outageMs);
  }

  #after(delayMs: number, work: () => void): void {
    const timer = this.#options.clock.after(delayMs, () => {
      this.#timers.delete(timer);
      work();
    });
    this.#timers.add(timer);
  }

  #cancelTimers(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }
}

type InjectedFault = FirmwareFault & { onImage?: string };

function isFirmwareFault(fault: DeviceFault): fault is InjectedFault {
  return fault.kind !== "power-cut" && fault.kind !== "bad-link" && fault.kind !== "flash-full";
}
