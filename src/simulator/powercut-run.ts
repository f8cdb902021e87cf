import { createHash } from "node:crypto";
import { hashSlot, recordOfRelease } from "../agent/index.ts";
import { createPatch } from "../delta/index.ts";
import { type Random, seededRandom, VirtualClock } from "../kernel/index.ts";
import { type Assignment, isFinalPhase, type UpdateState } from "../protocol/index.ts";
import type { Behaviours } from "./behaviour.ts";
import { PagePool } from "./page-pool.ts";
import { SimulatedComponent } from "./simulated-component.ts";
import { simulatedSlots } from "./simulated-flash.ts";
import { SimulatedMachine } from "./simulated-machine.ts";
import { StubPlatform, sha256Of } from "./stub-platform.ts";

/** Ways through an update, each with writes of its own to be cut. */
export const SCENARIOS = [
  "patch",
  "full",
  "failing-self-test",
  "switch-slot",
  "components",
  "failing-components",
  "components-alone",
] as const;
export type Scenario = (typeof SCENARIOS)[number];

export interface PowercutRun {
  outcome: "updated" | "fell-back" | "rotated" | "kept" | "failed";
  /** Changes of the flash from the assignment, or the order to rotate, to the end. */
  operations: number;
  cuts: number;
  /** What must never be, in words. */
  violations: string[];
}

const IMAGE_BYTES = 96_000;
const DEVICE = "device-1";
const STEP_MS = 500;
const LIMIT_MS = 6 * 3_600_000;
const CAPACITY_BYTES = 256 * 1024;

/** One update of one real agent on a simulated flash, whose power goes at the given changes. */
export async function runWithCuts(
  scenario: Scenario,
  cutsAt: readonly number[],
  seed: number,
): Promise<PowercutRun> {
  const random = seededRandom(seed);
  const clock = new VirtualClock();
  const platform = new StubPlatform({ tenant: "acme", clock });
  const images = makeImages(random);
  const violations: string[] = [];
  const machine = createMachine({ scenario, random, clock, platform, images, violations });
  const oldRelease = platform.release("1.0.0", images.old);
  await machine.provision(images.old, recordOfRelease(oldRelease));
  machine.powerOn();
  const connected = () => machine.status().agent?.connected === true;
  await passUntil(machine, clock, connected);
  if (scenario === "switch-slot") {
    await update(platform, images, "full");
    const updated = () => platform.updateStates(DEVICE).at(-1)?.phase === "succeeded";
    await passUntil(machine, clock, updated);
  }

  const before = machine.flash.operations;
  armCuts(machine, cutsAt);
  const keepsImage = scenario === "switch-slot" || scenario === "components-alone";
  const target = keepsImage ? images.old : images.new;
  const { updateId } = withComponents(scenario)
    ? updateComponents(platform, target)
    : scenario === "switch-slot"
      ? platform.assign(DEVICE, oldRelease, [platform.offer("full", images.old)], {
          action: "switch-slot",
          allowDowngrade: true,
        }).signed
      : await update(platform, images, scenario === "full" ? "full" : "zstd-patch");
  const finalState = () =>
    platform.updateStates(DEVICE).findLast((state) => state.updateId === updateId);
  const ended = () => {
    const state = finalState();
    return state !== undefined && isFinalPhase(state.phase) && connected();
  };
  try {
    await passUntil(machine, clock, ended);
  } catch {
    violations.push(`the update did not end: ${JSON.stringify(finalState() ?? null)}`);
  }
  const running = machine.status().agent?.firmware.hash;
  // What ran all along says nothing: there, the components tell whether it was taken back.
  const ranBefore = scenario === "components-alone";
  const outcome = judge(finalState(), { running, ranBefore }, sha256Of(target), violations);
  if (withComponents(scenario)) {
    await judgeComponents(machine, outcome === "updated", violations);
  }
  const operations = machine.flash.operations - before;
  const cuts = machine.status().powerCuts;
  await machine.stop();
  return { outcome, operations, cuts, violations };
}

interface Images {
  old: Buffer;
  new: Buffer;
}

function createMachine(parts: {
  scenario: Scenario;
  random: Random;
  clock: VirtualClock;
  platform: StubPlatform;
  images: Images;
  violations: string[];
}): SimulatedMachine {
  const { scenario, random, clock, platform, images, violations } = parts;
  const signed = [sha256Of(images.old), sha256Of(images.new)];
  const behaviours: Behaviours =
    scenario === "failing-self-test" || scenario === "failing-components"
      ? { [sha256Of(images.new)]: { faults: [{ kind: "failing-self-test" }] } }
      : {};
  return new SimulatedMachine({
    identity: { tenant: "acme", device: DEVICE, product: "sensor", hardwareRevision: "r1" },
    trustRoot: platform.trustRoot,
    transport: platform.transport(DEVICE),
    artifacts: platform.artifactSource(),
    clock,
    random,
    pool: new PagePool(),
    behaviours,
    timeScale: 1,
    slotCapacityBytes: CAPACITY_BYTES,
    watchdogMs: 30_000,
    components: (storage) =>
      new Map(COMPONENTS.map((name) => [name, new SimulatedComponent(storage, name)])),
    async onBoot({ running }, storage) {
      // What is booted is what the flash holds, whatever the agent's files say of it.
      const slots = simulatedSlots(storage, CAPACITY_BYTES);
      const hashes = await Promise.all(
        [images.old, images.new].map((image) => hashSlot(slots, running, image.length)),
      );
      if (!hashes.some((hash) => signed.includes(hash))) {
        violations.push(`booted slot ${running}, which holds neither of the signed images`);
      }
    },
  });
}

/** In another order than the device takes them into use. */
const COMPONENTS = ["bootloader", "radio", "settings"] as const;

function withComponents(scenario: Scenario): boolean {
  return scenario.endsWith("components") || scenario === "components-alone";
}

function componentBytes(name: string): Buffer {
  return Buffer.from(`the new ${name} `.repeat(2_000));
}

function updateComponents(platform: StubPlatform, image: Buffer): Assignment {
  const offers = COMPONENTS.toReversed().map((component) => {
    const { url, sha256, sizeBytes } = platform.offer("full", componentBytes(component));
    return { component, url, sha256, sizeBytes };
  });
  const components = offers.map(({ component, sha256, sizeBytes }) => ({
    ...{ component, sha256, sizeBytes, name: `${component}.bin` },
  }));
  const release = platform.release("1.1.0", image, { components });
  return platform.assign(DEVICE, release, [platform.offer("full", image)], { components: offers })
    .signed;
}

/** All or nothing: with the image they are new, each of them, and without it none is. */
async function judgeComponents(
  machine: SimulatedMachine,
  updated: boolean,
  violations: string[],
): Promise<void> {
  const storage = machine.flash.mount();
  for (const name of COMPONENTS) {
    const found = await new SimulatedComponent(storage, name).installed();
    const wanted = updated ? sha256Of(componentBytes(name)) : null;
    if (found !== wanted) violations.push(`component ${name} is ${found}, not ${wanted}`);
  }
}

async function update(
  platform: StubPlatform,
  images: Images,
  format: "full" | "zstd-patch",
): Promise<Assignment> {
  const release = platform.release("1.1.0", images.new);
  const full = platform.offer("full", images.new);
  if (format === "full") return platform.assign(DEVICE, release, [full]).signed;
  const patch = await patchBetween(images.old, images.new);
  const offers = [full, platform.offer("zstd-patch", patch, sha256Of(images.old))];
  return platform.assign(DEVICE, release, offers).signed;
}

/** Each cut is armed when the one before has happened. */
export function armCuts(machine: SimulatedMachine, cutsAt: readonly number[]): void {
  const [first, ...rest] = cutsAt;
  if (first === undefined) return;
  machine.cutPowerAfter(first, 2_000, () => armCuts(machine, rest));
}

function judge(
  state: UpdateState | undefined,
  { running, ranBefore }: { running: string | undefined; ranBefore: boolean },
  targetSha256: string,
  violations: string[],
): PowercutRun["outcome"] {
  if (state?.phase === "succeeded") {
    if (state.running?.hash !== targetSha256 || running !== targetSha256) {
      violations.push(`success was reported, but ${running} runs`);
    }
    return "updated";
  }
  if (running === targetSha256 && !ranBefore) {
    violations.push(`${state?.phase} was reported, the target runs`);
  }
  if (!state?.error)
    violations.push("an update that did not succeed was reported without a reason");
  return state?.phase === "fell-back" ? "fell-back" : "failed";
}

/** A new image that shares most of its content with the old one, from the seed alone. */
function makeImages(random: Random): Images {
  const bytes = (length: number) => {
    const block = createHash("sha256").update(String(random.next())).digest();
    return Buffer.from(
      Array.from({ length }, (_, index) => (block[index % 32] ?? 0) ^ (index >> 5)),
    );
  };
  const old = bytes(IMAGE_BYTES);
  return { old, new: Buffer.concat([old.subarray(0, 60_000), bytes(4_000), old.subarray(61_000)]) };
}

async function patchBetween(source: Buffer, target: Buffer): Promise<Buffer> {
  async function* chunks() {
    yield target;
  }
  const patch: Uint8Array[] = [];
  const sizes = { targetSizeBytes: target.length };
  for await (const chunk of createPatch({
    format: "zstd-patch",
    source,
    target: chunks(),
    ...sizes,
  })) {
    patch.push(chunk);
  }
  return Buffer.concat(patch);
}

export async function passUntil(
  machine: SimulatedMachine,
  clock: VirtualClock,
  done: () => boolean,
  limitMs = LIMIT_MS,
): Promise<void> {
  const end = clock.now() + limitMs;
  while (!done()) {
    if (clock.now() >= end) throw new Error("it did not happen in time");
    await clock.advance(STEP_MS);
    if (machine.status().agent?.update?.phase === "installing") {
      // zlib works in threads, in real time: virtual time must not run away from it.
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }
}
