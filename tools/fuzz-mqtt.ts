// Fuzzes the gateway's framer and codec: `npm run fuzz:mqtt -- [--runs N] [--seed N]`. Prints a JSON
// line for each round; fails with seed and run at the first answer that is no answer.
import { parseArgs } from "node:util";
import { fuzzCodec } from "../test/support/mqtt-fuzz.ts";

const RUNS_EACH = 100_000;
/** What a round may leave behind after a collection. */
const MAX_GROWTH_BYTES = 32 * 1024 * 1024;

const { values } = parseArgs({
  options: { runs: { type: "string", default: "2000000" }, seed: { type: "string" } },
});
const firstSeed = Number(values.seed ?? Date.now() % 1_000_000_000);
const rounds = Math.max(1, Math.ceil(Number(values.runs) / RUNS_EACH));
fuzzCodec(firstSeed, 1_000);
globalThis.gc?.();
const before = process.memoryUsage().heapUsed;
for (let round = 0; round < rounds; round += 1) {
  const report = fuzzCodec(firstSeed + round, RUNS_EACH);
  globalThis.gc?.();
  const grownBytes = process.memoryUsage().heapUsed - before;
  process.stdout.write(`${JSON.stringify({ ...report, grownBytes })}\n`);
  if (globalThis.gc && grownBytes > MAX_GROWTH_BYTES) {
    process.stderr.write(`seed ${firstSeed + round}: memory grows\n`);
    process.exitCode = 1;
    break;
  }
}
