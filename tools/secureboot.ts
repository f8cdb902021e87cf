// The whole matrix of the verified boot chain in QEMU: npm run secureboot -- [--only TEXT] [--json]
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { Bench, CHAIN_CASES, type ChainCase } from "../test/support/secure-boot/cases.ts";
import { fitMatrix, missingFitPackages } from "../test/support/secure-boot/fit-board.ts";
import { findKernel, Lab } from "../test/support/secure-boot/lab.ts";
import { missingPackages } from "../test/support/secure-boot/machine.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    json: { type: "boolean" },
    short: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  },
});
/** Another processor and another loader: what they have in common with the rest is the keys. */
const FIT_CASE: ChainCase = {
  name: "arm64: U-Boot and FIT images",
  expected: "starts ours, refuses four others",
  run: () => fitMatrix(folder),
};
if (values.help) {
  console.log(`npm run secureboot -- [--only TEXT] [--short] [--json]

Breaks each link of the boot chain on a machine in QEMU and tells what came of it.
  --only TEXT   cases whose name has this text in it, or one of several between commas
  --short       the three that every run of the tests makes
  --json        one JSON object a line`);
  process.exit(0);
}
const missing = missingPackages();
if (!findKernel()) missing.push("linux-image-cloud-amd64 (tools/test-kernel.sh unpacks it)");
if (missing.length > 0) {
  console.error(`these Debian packages are missing: ${missing.join(", ")}`);
  process.exit(1);
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-secureboot-"));
const bench = new Bench(new Lab(folder));
let failed = 0;
try {
  const wanted = values.only?.split(",");
  const noFit = missingFitPackages();
  const all = noFit.length > 0 ? CHAIN_CASES : [...CHAIN_CASES, FIT_CASE];
  if (noFit.length > 0) console.error(`skipped: ${FIT_CASE.name} (no ${noFit.join(", ")})`);
  const chosen = all.filter(
    (one) =>
      (!values.short || one.short) && (!wanted || wanted.some((text) => one.name.includes(text))),
  );
  for (const one of chosen) {
    const startedAt = performance.now();
    const outcome = await one.run(bench).then(
      (evidence) => ({ passed: true, evidence }),
      (error: Error) => ({ passed: false, evidence: error.message }),
    );
    await bench.end();
    const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
    if (!outcome.passed) failed += 1;
    report({ name: one.name, expected: one.expected, ...outcome, seconds });
    for (const file of fs.readdirSync(folder)) {
      if (/\.(img|vars)$/.test(file)) fs.rmSync(path.join(folder, file));
    }
  }
  if (!values.json) console.log(`${chosen.length - failed} passed, ${failed} failed`);
} finally {
  await bench.end();
  fs.rmSync(folder, { recursive: true, force: true });
}
process.exit(failed === 0 ? 0 : 1);

function report(result: {
  name: string;
  expected: string;
  passed: boolean;
  evidence: string;
  seconds: number;
}): void {
  if (values.json) {
    console.log(JSON.stringify(result));
    return;
  }
  const { name, passed, seconds, evidence } = result;
  const verdict = passed ? "passed" : "FAILED";
  console.log(
    `${verdict}  ${name.padEnd(36)} ${String(seconds).padStart(6)} s  ${result.expected}: ${evidence}`,
  );
}
