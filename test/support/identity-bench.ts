import { type AgentSettings, recordOfRelease } from "../../src/agent/index.ts";
import { seededRandom, VirtualClock } from "../../src/kernel/index.ts";
import type { CommandResult } from "../../src/protocol/index.ts";
import {
  deliverIdentity,
  type ExchangeFault,
  type MachineOptions,
  PagePool,
  SimulatedMachine,
  StubAuthority,
  StubPlatform,
} from "../../src/simulator/index.ts";
import { passTime } from "./bench-device.ts";

export interface IdentityBench {
  clock: VirtualClock;
  authority: StubAuthority;
  platform: StubPlatform;
  machine: SimulatedMachine;
  device: string;
  /** Of what the device was delivered with. */
  firstSerial: string;
  /** Orders a rotation by a command. */
  order(commandId: string): void;
  results(commandId: string): CommandResult[];
  /** What the device reported of its rotations. */
  // biome-ignore lint/suspicious/noExplicitAny: events are open
  events(): any[];
  file(name: string): Promise<string>;
  certificate(): NonNullable<
    NonNullable<ReturnType<SimulatedMachine["status"]>["agent"]>["certificate"]
  >;
  /** Whether a later certificate is in use and confirmed, and nothing is under way. */
  isRenewed(): boolean;
  pass(ms: number): Promise<void>;
  until(done: () => boolean, limitMs?: number): Promise<void>;
}

const IMAGE = Buffer.alloc(1_000, 7);
const HOUR_MS = 3_600_000;

/** One simulated device that keeps its identity on its flash, on a virtual clock. */
export async function startIdentityBench(
  options: {
    faults?: () => ExchangeFault | undefined;
    machine?: (authority: StubAuthority, platform: StubPlatform) => Partial<MachineOptions>;
    lifetimeMs?: number;
    settings?: Partial<AgentSettings>;
    /** Without it the device renews by messages. */
    est?: boolean;
  } = {},
): Promise<IdentityBench> {
  const clock = new VirtualClock();
  const { faults, est = true, settings } = options;
  const authority = new StubAuthority({
    tenant: "acme",
    clock,
    ...(faults ? { faults } : {}),
    ...(options.lifetimeMs ? { lifetimeMs: options.lifetimeMs } : {}),
  });
  const platform = new StubPlatform({ tenant: "acme", clock, authority });
  const device = "device-1";
  const machine = new SimulatedMachine({
    identity: { tenant: "acme", device, product: "sensor", hardwareRevision: "r1" },
    trustRoot: platform.trustRoot,
    transport: platform.transport(device),
    artifacts: platform.artifactSource(),
    ...(est ? { reenrolment: authority.reenrolment(device) } : {}),
    keepsIdentity: true,
    clock,
    random: seededRandom(1),
    pool: new PagePool(),
    behaviours: {},
    timeScale: 1,
    slotCapacityBytes: 16 * 1024,
    watchdogMs: 30_000,
    settings: { heartbeatIntervalMs: HOUR_MS, ...settings },
    ...options.machine?.(authority, platform),
  });
  const delivered = authority.provision(device);
  await machine.provision(IMAGE, recordOfRelease(platform.release("1.0.0", IMAGE)));
  await deliverIdentity(machine.flash.mount(), delivered);
  machine.powerOn();
  await passTime(clock, () => machine.status().agent?.connected === true, HOUR_MS);
  const certificate = () => {
    const found = machine.status().agent?.certificate;
    if (!found) throw new Error("the agent is not up");
    return found;
  };
  const firstSerial = certificate().serial;
  return {
    ...{ clock, authority, platform, machine, device, certificate, firstSerial },
    order(id) {
      const expiresAt = clock.now() + HOUR_MS;
      const name = "rotate-certificate";
      platform.command(device, { id, name, args: {}, expiresAt, traceparent: null });
    },
    results: (id) => platform.received(device, `commands/${id}/result`) as CommandResult[],
    events: () =>
      (platform.received(device, "events") as { type?: string }[]).filter(
        ({ type }) => type === "certificate",
      ),
    async file(name) {
      return Buffer.from((await machine.flash.mount().read(name)) ?? "").toString();
    },
    isRenewed() {
      const { rotation, serial } = certificate();
      return rotation === null && serial !== firstSerial && serial === authority.confirmed(device);
    },
    pass: (ms) => clock.advance(ms),
    async until(done, limitMs = HOUR_MS) {
      const stepMs = Math.max(250, limitMs / 4_000);
      for (let passed = 0; !done(); passed += stepMs) {
        if (passed > limitMs) throw new Error(`it did not happen within ${limitMs} ms`);
        await clock.advance(stepMs);
      }
    },
  };
}
