import path from "node:path";
import { describe, expect, it } from "vitest";
import { CONFORMANCE_CASES, runConformance } from "../../src/conformance/index.ts";
import { runInPipe } from "../support/run-cli.ts";

const root = path.resolve(import.meta.dirname, "../..");
const LIMIT_MS = 240_000;
const node = (...words: string[]) => ["exec", process.execPath, ...words].join(" ");
const OTHER = node(path.join(root, "test/support/wrong-agent.ts"));
const OURS = node(path.join(root, "dist/vautn-agent.mjs"), "run --config {folder}/agent.json");

async function failures(faults: readonly string[], only?: readonly string[]): Promise<string[]> {
  const command = `FAULTS=${faults.join(",")} ${OTHER}`;
  const { results, log } = await runConformance({
    command,
    only,
    environment: process.env,
    patienceMs: 15_000,
  });
  const failed = results.filter(({ outcome }) => outcome === "failed");
  if (failed.length > 0 && faults.length === 0) console.error(failed, log.slice(-3_000));
  return failed.map(({ id }) => id).sort();
}

describe.concurrent("the protocol's test kit", () => {
  it("passes our own agent", { timeout: LIMIT_MS }, async () => {
    const { results, log } = await runConformance({
      command: OURS,
      environment: process.env,
      patienceMs: 30_000,
    });
    const bad = results.filter(({ outcome }) => outcome !== "passed");
    expect(bad, log.slice(-5_000)).toEqual([]);
    expect(results.map(({ id }) => id)).toEqual(CONFORMANCE_CASES.map(({ id }) => id));
    for (const { section } of results) expect(section).toMatch(/^docs\/protocol\/device\.md \w+$/);
  });

  it("passes a device program that is not ours", { timeout: LIMIT_MS }, async () => {
    expect(await failures([])).toEqual([]);
  });

  const bySignature = {
    U5: "needs-no-second-signature",
    U6: "needs-no-director",
    U7: "takes-what-is-for-others",
    U8: "takes-what-has-expired",
    U9: "takes-what-is-old",
    U10: "takes-other-hardware",
    U11: "takes-older-versions",
    U12: "hashes-nothing",
    U13: "never-goes-back",
  };
  it.each([
    [
      ["C3", "C4", "E1", "L3", "L4", "T2"],
      [
        ...["does-what-expired", "says-yes", "trusts-anyone", "comes-in-a-frenzy"],
        ...["tells-of-no-boot", "goes-back-in-versions"],
      ],
    ],
    [
      ["C2", "L2"],
      ["does-it-again", "breaks-the-schema"],
    ],
    [["R2"], ["gives-up"]],
    [
      ["U2", "U4"],
      ["begins-downloads-anew", "keeps-what-fails"],
    ],
    [["E3"], ["does-not-listen"]],
    [
      ["C1", "L1", "T1"],
      ["says-another-hash", "cannot-ping", "ignores-its-twin"],
    ],
    [
      ["L1", "R1"],
      ["seq-stands-still", "keeps-its-key"],
    ],
    [["R1"], ["never-confirms"]],
    [["R3"], ["goes-back-to-the-older"]],
    [["U1"], ["does-not-restart"]],
    [["U3"], ["does-updates-again"]],
    [Object.keys(bySignature).sort(), Object.values(bySignature)],
  ])("%j are what the program fails at that %j", { timeout: LIMIT_MS }, async (ids, mistakes) => {
    expect(await failures(mistakes, ids)).toEqual(ids);
  });

  it("prints a report, and ends with 1 where something is not met", {
    timeout: LIMIT_MS,
  }, async () => {
    const about = ["--only", "C1", "--patience", "15"];
    const command = ["--command", `FAULTS=cannot-ping ${OTHER}`];
    const shown = await runInPipe(["conformance", ...about, ...command], {});
    expect(shown.status).toBe(1);
    expect(shown.out).toMatch(/C1 +FAILED .*ping failed: no/);
    expect(shown.err).toMatch(/1 of \d requirements are not met/);
    const misuse = await runInPipe(["conformance", "--only", "Q9", "--manual"], {});
    expect(misuse.status).toBe(2);
  });
});
