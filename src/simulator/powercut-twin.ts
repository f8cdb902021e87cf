import {
  readDocument,
  recordOfRelease,
  replaceFile,
  type Storage,
  type TwinHandler,
} from "../agent/index.ts";
import { randomInteger, seededRandom, VirtualClock } from "../kernel/index.ts";
import type { JsonObject } from "../protocol/index.ts";
import { PagePool } from "./page-pool.ts";
import { armCuts, type PowercutRun, passUntil } from "./powercut-run.ts";
import { SimulatedMachine } from "./simulated-machine.ts";
import { StubPlatform } from "./stub-platform.ts";

/** A device whose desired properties change while its power goes. */
export const TWINS = ["twin"] as const;
export type TwinScenario = (typeof TWINS)[number];

const DEVICE = "device-1";
const VERSIONS = 4;
const MAX_PAUSE_MS = 3_000;
const LIMIT_MS = 3_600_000;
const CAPACITY_BYTES = 64 * 1024;
/** What the device lives by lies in two files, so that there is a half between two versions. */
const PARTS = ["half-one.json", "half-two.json"] as const;

/**
 * Whatever is cut, the device comes to live by the newest desired version that it can live by, as a
 * whole; says so; and never says of a version what it is not.
 */
export async function twinWithCuts(cutsAt: readonly number[], seed: number): Promise<PowercutRun> {
  const random = seededRandom(seed);
  const clock = new VirtualClock();
  const platform = new StubPlatform({ tenant: "acme", clock });
  const violations: string[] = [];
  const refused = 2 + randomInteger(random, VERSIONS - 1);
  const image = Buffer.from("the image");
  const machine = new SimulatedMachine({
    identity: { tenant: "acme", device: DEVICE, product: "sensor", hardwareRevision: "r1" },
    trustRoot: platform.trustRoot,
    transport: platform.transport(DEVICE),
    artifacts: platform.artifactSource(),
    ...{ clock, random, pool: new PagePool(), behaviours: {}, timeScale: 1, watchdogMs: 30_000 },
    slotCapacityBytes: CAPACITY_BYTES,
    twin: (storage) => livingBy(storage, refused),
    onBoot: (_boot, storage) => judgeParts(storage, violations),
  });
  await machine.provision(image, recordOfRelease(platform.release("1.0.0", image)));
  machine.powerOn();
  await passUntil(machine, clock, () => machine.status().agent?.connected === true);
  const before = machine.flash.operations;
  armCuts(machine, cutsAt);
  for (let version = 1; version <= VERSIONS; version += 1) {
    platform.desire(DEVICE, { version, [`only-${version}`]: { big: "x".repeat(2_000) } });
    // The next one comes at any moment of the work on this one, or after it.
    await clock.advance(randomInteger(random, MAX_PAUSE_MS));
  }
  const twin = platform.twins.of(DEVICE);
  const lived = () => (refused === VERSIONS ? twin.fault?.version : twin.appliedVersion);
  const isSettled = () => lived() === VERSIONS && twin.reportedVersion > 0;
  await passUntil(machine, clock, isSettled, LIMIT_MS).catch(() => {
    violations.push(`it did not converge: ${JSON.stringify({ ...twin, desired: 0, reported: 0 })}`);
  });
  // Until the last word of it is on disk too, of a device that is on.
  await clock.advance(MAX_PAUSE_MS);
  machine.flash.cancelPowerCut();
  await passUntil(machine, clock, () => machine.status().agent?.connected === true, LIMIT_MS);
  await clock.advance(MAX_PAUSE_MS);
  await judgeEnd(machine, platform, refused, violations);
  const operations = machine.flash.operations - before;
  const cuts = machine.status().powerCuts;
  await machine.stop();
  return { outcome: "kept", operations, cuts, violations };
}

function livingBy(storage: Storage, refused: number): TwinHandler {
  return {
    async apply(desired) {
      const [first, second] = PARTS;
      await replaceFile(storage, first, Buffer.from(JSON.stringify(desired)));
      // Found only half way: what was written must go back.
      if (desired.version === refused) throw new Error("the device cannot do that");
      await replaceFile(storage, second, Buffer.from(JSON.stringify(desired)));
      return undefined;
    },
  };
}

interface Known {
  held: { version: number };
  applied: { version: number; properties: JsonObject };
  fault: { version: number } | null;
}

/** Where the agent's disk says that nothing is under way, both halves are of the version in force. */
async function judgeParts(storage: Storage, violations: string[]): Promise<void> {
  const found = await readDocument(storage, "twin.json");
  if (!found) return;
  if (found === "damaged") {
    violations.push("what the agent knows of its twin is damaged");
    return;
  }
  const { held, applied, fault } = found.document as Known;
  const isQuiet = held.version === applied.version || fault?.version === held.version;
  if (!isQuiet) return;
  const wanted = JSON.stringify(applied.properties);
  for (const part of PARTS) {
    const text = Buffer.from((await storage.read(part)) ?? "{}").toString();
    if (text !== wanted) violations.push(`${part} is not of version ${applied.version}`);
  }
}

async function judgeEnd(
  machine: SimulatedMachine,
  platform: StubPlatform,
  refused: number,
  violations: string[],
): Promise<void> {
  await judgeParts(machine.flash.mount(), violations);
  const { reported, appliedVersion, desired } = platform.twins.of(DEVICE);
  if (refused < VERSIONS && JSON.stringify(reported) !== JSON.stringify(desired)) {
    violations.push("what is reported is not what is desired");
  }
  if (reported.version !== appliedVersion && appliedVersion > 0) {
    violations.push(`version ${appliedVersion} is said to be in force with ${reported.version}`);
  }
  const told = new Map<number, string>();
  for (const message of platform.received(DEVICE, "reported") as { version: number }[]) {
    const text = JSON.stringify(message);
    if ((told.get(message.version) ?? text) !== text) {
      violations.push(`version ${message.version} of what is reported is two things`);
    }
    told.set(message.version, text);
  }
}
