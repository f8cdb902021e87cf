import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Bench, CHAIN_CASES } from "../support/secure-boot/cases.ts";
import { findKernel, Lab } from "../support/secure-boot/lab.ts";
import { missingPackages } from "../support/secure-boot/machine.ts";

// The whole matrix: npm run secureboot
const missing = [...missingPackages(), ...(findKernel() ? [] : ["linux-image-cloud-amd64"])];
const CASE_MS = 1_800_000;

describe.skipIf(missing.length > 0)("the verified boot chain in QEMU", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-secureboot-"));
  let bench: Bench;

  beforeAll(() => {
    bench = new Bench(new Lab(folder));
  }, CASE_MS);
  afterEach(() => bench.end());
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

  test.each(CHAIN_CASES.filter(({ short }) => short).map((one) => [one.name, one] as const))(
    "%s",
    async (_, one) => {
      expect(await one.run(bench)).toEqual(expect.any(String));
    },
    CASE_MS,
  );
});
