import { Configurations, SETTINGS_FILE, type Storage } from "../agent/index.ts";
import { type Random, randomInteger, seededRandom, VirtualClock } from "../kernel/index.ts";
import {
  type Configuration,
  type Envelope,
  type RootMetadata,
  signDocument,
} from "../protocol/index.ts";
import { PagePool } from "./page-pool.ts";
import type { PowercutRun } from "./powercut-run.ts";
import { PowerLost, SimulatedFlash } from "./simulated-flash.ts";
import { StubTrust } from "./stub-trust.ts";

/** Configurations that are applied one after the other, some of which take themselves back. */
export const CONFIGURATIONS = ["configuration"] as const;
export type ConfigurationScenario = (typeof CONFIGURATIONS)[number];

const VERSIONS = 4;
const YEAR_MS = 365 * 86_400_000;
const IDENTITY = { tenant: "acme", product: "sensor" };

interface World {
  clock: VirtualClock;
  trust: StubTrust;
  root: RootMetadata;
  flash: SimulatedFlash;
  /** Versions whose script says no. */
  bad: ReadonlySet<number>;
  violations: string[];
}

/**
 * After each cut what is in force is a configuration that was signed, as a whole, and none that was
 * acknowledged before is lost; in the end the newest good one is in force.
 */
export async function configureWithCuts(
  cutsAt: readonly number[],
  seed: number,
): Promise<PowercutRun> {
  const random = seededRandom(seed);
  const clock = new VirtualClock();
  const trust = new StubTrust({ tenant: IDENTITY.tenant, clock });
  const world: World = {
    ...{ clock, trust, violations: [] },
    root: (trust.roots[0] as Envelope<RootMetadata>).signed,
    flash: new SimulatedFlash(new PagePool(), random),
    bad: badVersions(random),
  };
  const left = [...cutsAt];
  let cuts = 0;
  let acknowledged = 0;
  for (;;) {
    const next = left.shift();
    if (next !== undefined) {
      world.flash.cutPowerAfter(next, () => {
        cuts += 1;
      });
    }
    const outcome = await live(world, acknowledged);
    acknowledged = outcome.acknowledged;
    if (outcome.survived) break;
    world.flash.restorePower();
  }
  const { operations } = world.flash;
  return { outcome: "kept", operations, cuts, violations: world.violations };
}

/** Never the first: there must be something to go back to. */
function badVersions(random: Random): ReadonlySet<number> {
  return new Set([2 + randomInteger(random, VERSIONS - 1)]);
}

async function live(
  world: World,
  before: number,
): Promise<{ survived: boolean; acknowledged: number }> {
  const storage = world.flash.mount();
  let acknowledged = before;
  try {
    const configurations = configurationsOn(world, storage);
    await configurations.start();
    const found = await check(world, storage, configurations);
    if (found < acknowledged) {
      world.violations.push(`version ${found} is in force, ${acknowledged} was acknowledged`);
    }
    // One that a cut kept from being acknowledged may be in force all the same.
    let newestGood = found;
    for (let version = found + 1; version <= VERSIONS; version += 1) {
      try {
        await configurations.apply(signed(world, version));
        acknowledged = version;
        newestGood = version;
      } catch (error) {
        if (error instanceof PowerLost) throw error;
        if (!world.bad.has(version)) world.violations.push(`version ${version}: ${String(error)}`);
      }
      const inForce = await check(world, storage, configurations);
      // The newest good one: neither lost, nor passed by one that its script refused.
      if (inForce !== newestGood) {
        world.violations.push(`version ${inForce} is in force, ${newestGood} is the newest good`);
      }
    }
    return { survived: true, acknowledged };
  } catch (error) {
    if (!(error instanceof PowerLost)) world.violations.push(String(error));
    return { survived: !(error instanceof PowerLost), acknowledged };
  }
}

/** The settings on the flash are those of the version that is said to be in force. */
async function check(
  { bad, violations }: World,
  storage: Storage,
  configurations: Configurations,
): Promise<number> {
  const version = Number(configurations.stage().version);
  const text = Buffer.from((await storage.read(SETTINGS_FILE)) ?? "{}").toString();
  const settings = JSON.parse(text) as { interval?: number };
  if ((settings.interval ?? 0) !== version) {
    violations.push(`version ${version} is in force with the settings ${text}`);
  }
  if (bad.has(version)) violations.push(`version ${version} stayed, though its script said no`);
  return version;
}

function configurationsOn(world: World, storage: Storage): Configurations {
  const { clock, root, bad } = world;
  return new Configurations({
    ...{ identity: IDENTITY, storage, clock, chain: undefined, life: new AbortController().signal },
    root: () => root,
    trustedNow: () => clock.now(),
    runScript: async (content) =>
      bad.has(Number(content)) ? { status: 1, output: "no" } : { status: 0, output: "" },
    log: () => {},
  });
}

function signed({ trust, clock }: World, version: number): Envelope<Configuration> {
  const document: Configuration = {
    ...{ _type: "configuration", specVersion: 1, ...IDENTITY, version },
    createdAt: new Date(clock.now()).toISOString(),
    expires: new Date(clock.now() + YEAR_MS).toISOString(),
    settings: { interval: version, padding: "x".repeat(5_000) },
    scripts: [{ name: "check", run: "boot", content: String(version) }],
    firmwareVariables: [],
  };
  return signDocument(document, trust.releaseKeys);
}
