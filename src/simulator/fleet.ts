import {
  type AgentSettings,
  createEstClient,
  createHttpsArtifacts,
  createMqttTransport,
  type Provisioning,
  recordOfRelease,
} from "../agent/index.ts";
import {
  type Clock,
  messageOf,
  type Random,
  seededRandom,
  sleep,
  systemClock,
  type Timer,
} from "../kernel/index.ts";
import type { Envelope, LogLevel, ReleaseManifest } from "../protocol/index.ts";
import type { Behaviours, DeviceFault } from "./behaviour.ts";
import { deliverIdentity } from "./delivered-identity.ts";
import { FlashLog } from "./flash-log.ts";
import type { FleetFolder } from "./fleet-folder.ts";
import { PagePool } from "./page-pool.ts";
import { type MachineOptions, type MachineStatus, SimulatedMachine } from "./simulated-machine.ts";

/** What a device was made with. */
export interface Factory {
  image: Uint8Array;
  release: Envelope<ReleaseManifest>;
}

export interface FleetOptions {
  count: number;
  /** How the device with this index (from 0) proves who it is. Called a few at a time. */
  provisioning(index: number): Promise<Provisioning>;
  /** What every device was made with, or what this one was. */
  factory: Factory | ((provisioning: Provisioning) => Factory);
  /** Where the flashes outlive this process; in memory alone without it. */
  folder?: FleetFolder;
  /** Hears of a device that cannot be had and is left out; without this, `provision` rejects. */
  onRefused?: (index: number, error: unknown) => void;
  /** What images do, by their SHA-256; others are healthy. */
  behaviours?: Behaviours;
  /** The same seed brings the same machines, faults and delays. */
  seed?: number;
  /** The machines are switched on within this time. */
  spreadMs?: number;
  /** Hours of a device's life that pass in one hour; scales crash and log rates, and drift. */
  timeScale?: number;
  settings?: Partial<AgentSettings>;
  slotCapacityBytes?: number;
  watchdogMs?: number;
  clock?: Clock;
  /** In place of MQTT and HTTPS, e.g. those of a platform in memory. */
  network?: (provisioning: Provisioning) => Pick<MachineOptions, "transport" | "artifacts">;
  onLog?: (device: string, level: LogLevel, message: string) => void;
}

export interface FleetDevice extends MachineStatus {
  device: string;
  tenant: string;
}

export interface FleetStatus {
  devices: FleetDevice[];
  connected: number;
  updating: number;
  onTrial: number;
  /** Devices by the version that they run; "off" for those that are not up. */
  byVersion: Record<string, number>;
  crashes: number;
  powerCuts: number;
  watchdogResets: number;
  downloadedBytes: number;
}

export interface Fleet {
  /** Gets every device its identity and its first image. */
  provision(): Promise<void>;
  /** Provisions and switches on; resolves when the last machine has been switched on. */
  start(): Promise<void>;
  stop(): Promise<void>;
  inject(device: string, fault: DeviceFault): void;
  heal(device: string): void;
  machine(device: string): SimulatedMachine;
  status(): FleetStatus;
  /** Resolves when `predicate` holds; rejects after `timeoutMs` with the state of the fleet. */
  waitUntil(predicate: (status: FleetStatus) => boolean, timeoutMs: number): Promise<void>;
}

const PROVISIONED_AT_ONCE = 8;
const LOOK_EVERY_MS = 100;
const HEADROOM = 2;

/** Real agents on simulated machines, hundreds in one process. */
export function createFleet(options: FleetOptions): Fleet {
  const { clock = systemClock, seed = 1, spreadMs = 0 } = options;
  const machines = new Map<string, { tenant: string; machine: SimulatedMachine }>();
  const pool = new PagePool(options.folder?.pages);
  const random = seededRandom(seed);
  const timers: Timer[] = [];
  let provisioned: Promise<void> | undefined;

  async function add(index: number): Promise<void> {
    const provisioning = await options.provisioning(index);
    const { device, tenant } = provisioning;
    if (machines.has(device)) throw new Error(`the device ${device} is in the fleet already`);
    const factory = factoryOf(options, provisioning);
    const machine = createMachine(options, provisioning, {
      factory,
      pool,
      random: seededRandom(seed * 100_003 + index),
    });
    await machine.provision(factory.image, recordOfRelease(factory.release));
    if (!options.network) await deliverIdentity(machine.flash.mount(), provisioning);
    machines.set(device, { tenant, machine });
  }

  async function addAll(): Promise<void> {
    const { onRefused } = options;
    await forEachIndex(options.count, PROVISIONED_AT_ONCE, async (index) => {
      try {
        await add(index);
      } catch (error) {
        if (!onRefused) throw error;
        onRefused(index, error);
      }
    });
    pool.sweep();
  }

  function provision(): Promise<void> {
    provisioned ??= addAll();
    return provisioned;
  }

  function machineOf(device: string): SimulatedMachine {
    const found = machines.get(device);
    if (!found) throw new Error(`there is no device ${device} in the fleet`);
    return found.machine;
  }

  function status(): FleetStatus {
    return summarize(
      [...machines].map(([device, { tenant, machine }]) => ({
        ...machine.status(),
        device,
        tenant,
      })),
    );
  }

  return {
    provision,
    async start() {
      await provision();
      const waits = [...machines.values()].map(({ machine }) => {
        const delayMs = random.next() * spreadMs;
        timers.push(clock.after(delayMs, () => machine.powerOn()));
        return delayMs;
      });
      await sleep(clock, Math.max(0, ...waits) + 1);
    },
    async stop() {
      for (const timer of timers) timer.cancel();
      await Promise.all([...machines.values()].map(({ machine }) => machine.stop()));
    },
    inject: (device, fault) => machineOf(device).inject(fault),
    heal: (device) => machineOf(device).heal(),
    machine: machineOf,
    status,
    async waitUntil(predicate, timeoutMs) {
      const end = clock.now() + timeoutMs;
      while (!predicate(status())) {
        if (clock.now() >= end) {
          const { devices, ...counts } = status();
          throw new Error(
            `the fleet of seed ${seed} did not get there in ${timeoutMs} ms: ${JSON.stringify(counts)}`,
          );
        }
        await sleep(clock, LOOK_EVERY_MS);
      }
    },
  };
}

function factoryOf({ factory }: FleetOptions, provisioning: Provisioning): Factory {
  return typeof factory === "function" ? factory(provisioning) : factory;
}

function createMachine(
  options: FleetOptions,
  provisioning: Provisioning,
  parts: { factory: Factory; pool: PagePool; random: Random },
): SimulatedMachine {
  const { folder, settings, onLog } = options;
  const { factory, pool, random } = parts;
  const { tenant, device, product, hardwareRevision, trustRoot } = provisioning;
  return new SimulatedMachine({
    identity: { tenant, device, product, hardwareRevision },
    trustRoot,
    ...(options.network ?? realNetwork)(provisioning),
    clock: options.clock ?? systemClock,
    random,
    pool,
    ...(folder ? { keeper: new FlashLog(folder.flash(provisioning), pool) } : {}),
    behaviours: options.behaviours ?? {},
    timeScale: options.timeScale ?? 1,
    slotCapacityBytes: options.slotCapacityBytes ?? factory.image.length * HEADROOM,
    watchdogMs: options.watchdogMs ?? 10_000,
    ...(settings ? { settings } : {}),
    ...(onLog ? { localLog: (level, message) => onLog(device, level, message) } : {}),
  });
}

/** MQTT and HTTPS over mutual TLS, by an identity that lies on the flash and is renewed there. */
function realNetwork(
  provisioning: Provisioning,
): Pick<MachineOptions, "transport" | "artifacts" | "reenrolment" | "keepsIdentity"> {
  const credentials = async () => provisioning;
  return {
    keepsIdentity: true,
    reenrolment: createEstClient(provisioning),
    transport: createMqttTransport({
      url: provisioning.mqttUrl,
      tenantId: provisioning.tenant,
      deviceId: provisioning.device,
      credentials,
    }),
    artifacts: createHttpsArtifacts(credentials),
  };
}

function summarize(devices: FleetDevice[]): FleetStatus {
  const byVersion: Record<string, number> = {};
  for (const { agent } of devices) {
    const version = agent?.firmware.version ?? "off";
    byVersion[version] = (byVersion[version] ?? 0) + 1;
  }
  const count = (test: (device: FleetDevice) => boolean | undefined) =>
    devices.filter((device) => test(device)).length;
  const sum = (of: (device: FleetDevice) => number) =>
    devices.reduce((total, device) => total + of(device), 0);
  return {
    devices,
    connected: count(({ agent }) => agent?.connected),
    updating: count(({ agent }) => agent?.update !== null && agent !== undefined),
    onTrial: count(({ agent }) => agent?.trial),
    byVersion,
    crashes: sum(({ crashes }) => crashes),
    powerCuts: sum(({ powerCuts }) => powerCuts),
    watchdogResets: sum(({ watchdogResets }) => watchdogResets),
    downloadedBytes: sum(({ downloadedBytes }) => downloadedBytes),
  };
}

async function forEachIndex(
  count: number,
  atOnce: number,
  work: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < count; index = next++) {
      try {
        await work(index);
      } catch (error) {
        throw new Error(`device ${index}: ${messageOf(error)}`, { cause: error });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker));
}
