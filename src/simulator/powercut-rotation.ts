import { X509Certificate } from "node:crypto";
import { CredentialStore, recordOfRelease, type Storage } from "../agent/index.ts";
import { messageOf, type Random, seededRandom, VirtualClock } from "../kernel/index.ts";
import { deliverIdentity } from "./delivered-identity.ts";
import { PagePool } from "./page-pool.ts";
import { armCuts, type PowercutRun, passUntil } from "./powercut-run.ts";
import { SimulatedMachine } from "./simulated-machine.ts";
import { type ExchangeFault, StubAuthority, someFaults } from "./stub-authority.ts";
import { StubPlatform } from "./stub-platform.ts";

/** A renewal of the certificate by each of its ways. */
export const ROTATIONS = ["rotation-est", "rotation-mqtt"] as const;
export type RotationScenario = (typeof ROTATIONS)[number];

const DEVICE = "device-1";
const IMAGE = Buffer.alloc(1_000, 7);
const CAPACITY_BYTES = 16 * 1024;
const MAX_FAULTS = 3;
const MINUTE_MS = 60_000;
const TRIES = 60;

interface Scene {
  clock: VirtualClock;
  authority: StubAuthority;
  platform: StubPlatform;
  machine: SimulatedMachine;
  violations: string[];
}

/**
 * One rotation of one real agent on a simulated flash, whose power goes at the given changes, with
 * answers lost and doubled on the way. However often, the device must find a key with its
 * certificate at each boot, must be able to connect, and must have a confirmed one in the end.
 */
export async function rotateWithCuts(
  scenario: RotationScenario,
  cutsAt: readonly number[],
  seed: number,
): Promise<PowercutRun> {
  const random = seededRandom(seed);
  // The run without a cut shows how many changes there are; the others meet faults as well.
  const faults = cutsAt.length > 0 ? someFaults(random, MAX_FAULTS) : () => undefined;
  const scene = createScene(scenario, random, faults);
  const { machine, violations } = scene;
  const delivered = scene.authority.provision(DEVICE);
  const record = recordOfRelease(scene.platform.release("1.0.0", IMAGE));
  await machine.provision(IMAGE, record);
  await deliverIdentity(machine.flash.mount(), delivered);
  machine.powerOn();
  await passUntil(machine, scene.clock, () => isConnected(machine));

  const before = machine.flash.operations;
  armCuts(machine, cutsAt);
  const first = new X509Certificate(delivered.certificate).serialNumber.toLowerCase();
  const second = await rotateOnce(scene, "first", first);
  const operations = machine.flash.operations - before;
  const cuts = machine.status().powerCuts;
  machine.flash.cancelPowerCut();
  // What has survived one rotation must be good for the next.
  if (second !== undefined) await rotateOnce(scene, "second", second);
  await machine.stop();
  return { outcome: second === undefined ? "failed" : "rotated", operations, cuts, violations };
}

/** Orders rotations until one has been confirmed; the serial, or undefined where none ever was. */
async function rotateOnce(scene: Scene, name: string, old: string): Promise<string | undefined> {
  const { authority, machine, platform, clock, violations } = scene;
  const isDone = () => {
    const certificate = machine.status().agent?.certificate;
    const confirmed = authority.confirmed(DEVICE);
    return (
      isConnected(machine) &&
      certificate?.rotation === null &&
      certificate.serial === confirmed &&
      confirmed !== old
    );
  };
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const expiresAt = clock.now() + 24 * 60 * MINUTE_MS;
    const id = `${name}-${attempt}`;
    // The order may have been lost with the power; an agent at work joins the two.
    platform.command(DEVICE, {
      ...{ id, name: "rotate-certificate", args: {}, expiresAt, traceparent: null },
    });
    await passUntil(machine, clock, isDone, 10 * MINUTE_MS).catch(() => {
      // Once more, then.
    });
    if (isDone()) return authority.confirmed(DEVICE);
  }
  const { certificate = null, connected = false } = machine.status().agent ?? {};
  violations.push(
    `the ${name} rotation did not end: ${JSON.stringify({ connected, certificate })}`,
  );
  return undefined;
}

function createScene(
  scenario: RotationScenario,
  random: Random,
  faults: () => ExchangeFault | undefined,
): Scene {
  const clock = new VirtualClock();
  const authority = new StubAuthority({ tenant: "acme", clock, faults });
  const platform = new StubPlatform({ tenant: "acme", clock, authority });
  const violations: string[] = [];
  const machine = new SimulatedMachine({
    identity: { tenant: "acme", device: DEVICE, product: "sensor", hardwareRevision: "r1" },
    trustRoot: platform.trustRoot,
    transport: platform.transport(DEVICE),
    artifacts: platform.artifactSource(),
    ...(scenario === "rotation-est" ? { reenrolment: authority.reenrolment(DEVICE) } : {}),
    keepsIdentity: true,
    clock,
    random,
    pool: new PagePool(),
    behaviours: {},
    timeScale: 1,
    slotCapacityBytes: CAPACITY_BYTES,
    watchdogMs: 30_000,
    async onBoot(_boot, storage) {
      await checkIdentity(storage, authority, violations);
    },
  });
  return { clock, authority, platform, machine, violations };
}

/** What lies on the flash after a cut must be whole, and must open the platform's door. */
async function checkIdentity(
  storage: Storage,
  authority: StubAuthority,
  violations: string[],
): Promise<void> {
  try {
    const store = await CredentialStore.open(storage);
    authority.check(DEVICE, store.current);
  } catch (error) {
    violations.push(`a boot with an identity that does not connect: ${messageOf(error)}`);
  }
}

function isConnected(machine: SimulatedMachine): boolean {
  return machine.status().agent?.connected === true;
}
