import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { Database, prepareEmbeddedDatabase, startPostgres } from "../src/db/index.ts";
import { simulateYear } from "../test/support/fleet-year/year.ts";

/**
 * `npm run sim:fleet`: 10,000 devices, a year, releases good and bad, random faults, a platform that
 * dies at random points. Prints what came of it as JSON lines; status 1 when an invariant was broken.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      devices: { type: "string", default: "10000" },
      days: { type: "string", default: "365" },
      "release-every": { type: "string", default: "25" },
      crashes: { type: "string", default: "40" },
      "tick-minutes": { type: "string", default: "20" },
      seed: { type: "string", default: "1" },
      runs: { type: "string", default: "1" },
    },
  });
  const number = (name: keyof typeof values, least: number) => {
    const value = Number(values[name]);
    if (Number.isSafeInteger(value) && value >= least) return value;
    console.error(`--${name} takes a whole number from ${least}`);
    return process.exit(2);
  };
  const shape = {
    devices: number("devices", 20),
    days: number("days", 30),
    releaseEvery: number("release-every", 1),
    crashes: number("crashes", 0),
    tickMinutes: number("tick-minutes", 1),
  };
  const firstSeed = number("seed", 0);
  let broken = 0;
  for (let run = 0; run < number("runs", 1); run += 1) {
    const seed = firstSeed + run;
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-sim-"));
    const settings = { fsync: "off", synchronous_commit: "off", full_page_writes: "off" };
    const server = await startPostgres({ directory, skipSync: true, settings });
    let db: Database | undefined;
    try {
      const urls = await prepareEmbeddedDatabase(server);
      // Its time stands still while it waits: a busy machine is no fault of the platform's.
      const patience = { connectionMs: 3_600_000, statementMs: 3_600_000 };
      db = new Database({ url: urls.appUrl, maxConnections: 10, patience });
      const started = performance.now();
      const progress = (line: string) => console.error(`seed ${seed}: ${line}`);
      const report = await simulateYear({ ...shape, seed, db, ownerUrl: urls.ownerUrl, progress });
      const seconds = Math.round((performance.now() - started) / 1_000);
      console.log(JSON.stringify({ ...report, seconds }));
      broken += report.violations.length;
    } finally {
      await db?.close();
      await server.stop();
      fs.rmSync(directory, { recursive: true, force: true });
    }
  }
  console.error(broken === 0 ? "every invariant held" : `${broken} violations`);
  process.exit(broken === 0 ? 0 : 1);
}

await main();
