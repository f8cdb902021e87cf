import { parseArgs } from "node:util";
import { randomInteger, seededRandom } from "../kernel/index.ts";
import { BACKLOGS, type BacklogScenario, keepBacklogWithCuts } from "./powercut-backlog.ts";
import {
  CONFIGURATIONS,
  type ConfigurationScenario,
  configureWithCuts,
} from "./powercut-configuration.ts";
import { ROTATIONS, type RotationScenario, rotateWithCuts } from "./powercut-rotation.ts";
import { type PowercutRun, runWithCuts, SCENARIOS, type Scenario } from "./powercut-run.ts";
import { TWINS, type TwinScenario, twinWithCuts } from "./powercut-twin.ts";

/**
 * The real agent's update, and the renewal of its certificate, on a flash that loses, tears and half-writes what was not synced, with
 * the power cut at every single change of the flash in turn, and then at several at random. After
 * each cut the machine boots again; it must always boot a signed image, and always end updated or
 * with a reason reported, and it must always have an identity that connects.
 */
export interface PowercutSummary {
  name: "powercut";
  seed: number;
  runs: number;
  cuts: number;
  /** Changes of the flash in an update without a cut. */
  operations: Record<string, number>;
  outcomes: Record<PowercutRun["outcome"], number>;
  violations: string[];
  seconds: number;
}

type AnyScenario =
  | Scenario
  | RotationScenario
  | BacklogScenario
  | ConfigurationScenario
  | TwinScenario;
const ALL: readonly AnyScenario[] = [
  ...[...SCENARIOS, ...ROTATIONS, ...BACKLOGS, ...CONFIGURATIONS, ...TWINS],
];
const MAX_VIOLATIONS = 20;
const MAX_CUTS_A_RUN = 4;

/** Runs until at least `cuts` cuts have been made. */
export async function simulatePowercuts(
  cuts: number,
  seed: number,
  scenarios: readonly AnyScenario[] = ALL,
): Promise<PowercutSummary> {
  const started = performance.now();
  const random = seededRandom(seed);
  const summary: PowercutSummary = {
    name: "powercut",
    seed,
    runs: 0,
    cuts: 0,
    operations: {},
    outcomes: { updated: 0, "fell-back": 0, rotated: 0, kept: 0, failed: 0 },
    violations: [],
    seconds: 0,
  };
  const run = async (scenario: AnyScenario, cutsAt: readonly number[]) => {
    const runSeed = randomInteger(random, 2 ** 31);
    const result = await runScenario(scenario, cutsAt, runSeed);
    summary.runs += 1;
    summary.cuts += result.cuts;
    summary.outcomes[result.outcome] += 1;
    for (const violation of result.violations.slice(0, MAX_VIOLATIONS)) {
      const where = `${scenario}, cut at ${cutsAt.join("+")}, seed ${runSeed}`;
      if (summary.violations.length < MAX_VIOLATIONS) {
        summary.violations.push(`${where}: ${violation}`);
      }
    }
    return result;
  };
  for (const scenario of scenarios) {
    summary.operations[scenario] = (await run(scenario, [])).operations;
  }
  // Every change in turn, the scenarios abreast, so that a short run sees something of each.
  const longest = Math.max(...Object.values(summary.operations));
  for (let cutAt = 1; cutAt <= longest && summary.cuts < cuts; cutAt += 1) {
    for (const scenario of scenarios) {
      const within = cutAt <= (summary.operations[scenario] ?? 0);
      if (within && summary.cuts < cuts) await run(scenario, [cutAt]);
    }
  }
  while (summary.cuts < cuts) {
    const scenario = scenarios[randomInteger(random, scenarios.length)] as AnyScenario;
    const operations = summary.operations[scenario] ?? 1;
    const count = 1 + randomInteger(random, MAX_CUTS_A_RUN);
    const cutsAt = Array.from({ length: count }, () => 1 + randomInteger(random, operations));
    await run(scenario, cutsAt);
  }
  summary.seconds = Math.round((performance.now() - started) / 100) / 10;
  return summary;
}

function runScenario(
  scenario: AnyScenario,
  cutsAt: readonly number[],
  seed: number,
): Promise<PowercutRun> {
  if (scenario === "backlog") return keepBacklogWithCuts(cutsAt, seed);
  if (scenario === "configuration") return configureWithCuts(cutsAt, seed);
  if (scenario === "twin") return twinWithCuts(cutsAt, seed);
  return isRotation(scenario)
    ? rotateWithCuts(scenario, cutsAt, seed)
    : runWithCuts(scenario, cutsAt, seed);
}

function isRotation(scenario: AnyScenario): scenario is RotationScenario {
  return (ROTATIONS as readonly string[]).includes(scenario);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      cuts: { type: "string", default: "1000" },
      seed: { type: "string", default: "1" },
      json: { type: "boolean", default: false },
    },
  });
  const cuts = Number(values.cuts);
  const seed = Number(values.seed);
  if (!Number.isSafeInteger(cuts) || cuts < 1 || !Number.isSafeInteger(seed)) {
    console.error("usage: sim:powercut [--cuts N] [--seed N]");
    process.exit(2);
  }
  const summary = await simulatePowercuts(cuts, seed);
  console.log(JSON.stringify(summary));
  if (summary.violations.length > 0) process.exitCode = 1;
}

if (import.meta.main) await main();
