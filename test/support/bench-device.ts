import { randomBytes } from "node:crypto";
import { recordOfRelease } from "../../src/agent/index.ts";
import { createPatch } from "../../src/delta/index.ts";
import { seededRandom, VirtualClock } from "../../src/kernel/index.ts";
import type { ArtifactOffer, Envelope, ReleaseManifest } from "../../src/protocol/index.ts";
import {
  type Behaviours,
  type MachineOptions,
  PagePool,
  SimulatedMachine,
  StubPlatform,
  sha256Of,
} from "../../src/simulator/index.ts";

export interface Bench {
  clock: VirtualClock;
  platform: StubPlatform;
  machine: SimulatedMachine;
  device: string;
  oldImage: Buffer;
  newImage: Buffer;
  newRelease: Envelope<ReleaseManifest>;
  fullOffer: ArtifactOffer;
  patchOffer: ArtifactOffer;
  /** Passes time until `done` holds; fails the test after `limitMs` of virtual time. */
  until(done: () => boolean, limitMs?: number): Promise<void>;
  /** Phases of the newest update that the platform heard of, without repetitions. */
  phases(): string[];
  running(): { version: string; hash: string; slot: string } | undefined;
}

/** One simulated device with version 1.0.0 on a virtual clock, and the platform it talks to. */
export async function startBench(
  options: {
    seed?: number;
    imageBytes?: number;
    behaviours?: (images: { oldSha256: string; newSha256: string }) => Behaviours;
    machine?: Partial<MachineOptions>;
    /** How far the device's clock is off at the moment. */
    skewMs?: () => number;
  } = {},
): Promise<Bench> {
  const { seed = 1, imageBytes = 100_000 } = options;
  const clock = new VirtualClock();
  const platform = new StubPlatform({ tenant: "acme", clock });
  const device = "device-1";
  const oldImage = randomBytes(imageBytes);
  const newImage = Buffer.concat([oldImage.subarray(0, imageBytes / 2), randomBytes(5_000)]);
  const newRelease = platform.release("1.1.0", newImage);
  const machine = new SimulatedMachine({
    identity: { tenant: "acme", device, product: "sensor", hardwareRevision: "r1" },
    trustRoot: platform.trustRoot,
    transport: platform.transport(device),
    artifacts: platform.artifactSource(),
    clock: {
      now: () => clock.now() + (options.skewMs?.() ?? 0),
      after: (delayMs, work) => clock.after(delayMs, work),
    },
    random: seededRandom(seed),
    pool: new PagePool(),
    behaviours:
      options.behaviours?.({ oldSha256: sha256Of(oldImage), newSha256: sha256Of(newImage) }) ?? {},
    timeScale: 1,
    slotCapacityBytes: 1024 * 1024,
    watchdogMs: 30_000,
    ...options.machine,
  });
  await machine.provision(oldImage, recordOfRelease(platform.release("1.0.0", oldImage)));
  machine.powerOn();
  const bench: Bench = {
    clock,
    platform,
    machine,
    device,
    oldImage,
    newImage,
    newRelease,
    fullOffer: platform.offer("full", newImage),
    patchOffer: platform.offer("zstd-patch", await patchOf(oldImage, newImage), sha256Of(oldImage)),
    until: (done, limitMs = 3_600_000) => passTime(clock, done, limitMs),
    phases: () => {
      const states = platform.updateStates(device);
      const newest = states.at(-1)?.updateId;
      const phases = states.filter((state) => state.updateId === newest).map(({ phase }) => phase);
      return phases.filter((phase, index) => phase !== phases[index - 1]);
    },
    running: () => machine.status().agent?.firmware,
  };
  await bench.until(() => machine.status().agent?.connected === true);
  return bench;
}

export async function patchOf(source: Buffer, target: Buffer): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  const options = {
    format: "zstd-patch" as const,
    source,
    target: [target],
    targetSizeBytes: target.length,
  };
  async function* once() {
    yield* options.target;
  }
  for await (const chunk of createPatch({ ...options, target: once() })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const STEP_MS = 250;

/** Virtual time in small steps, with real turns of the event loop between for zlib's threads. */
export async function passTime(
  clock: VirtualClock,
  done: () => boolean,
  limitMs: number,
): Promise<void> {
  const end = clock.now() + limitMs;
  while (!done()) {
    if (clock.now() >= end) throw new Error(`it did not happen within ${limitMs} ms`);
    await clock.advance(STEP_MS);
  }
}
