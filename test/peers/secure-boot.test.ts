import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Bench, startThreefold, type Threefold } from "../support/secure-boot/cases.ts";
import { findKernel, Lab } from "../support/secure-boot/lab.ts";
import { missingPackages } from "../support/secure-boot/machine.ts";

// The whole matrix: npm run secureboot
const missing = [...missingPackages(), ...(findKernel() ? [] : ["linux-image-cloud-amd64"])];
const CASE_MS = 1_800_000;

describe.skipIf(missing.length > 0)("the verified boot chain in QEMU", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-secureboot-"));
  let bench: Bench;
  let machine: Threefold;

  // One start of one machine shows all three: what is slow is the emulated start.
  beforeAll(async () => {
    bench = new Bench(new Lab(folder));
    machine = await startThreefold(bench);
  }, CASE_MS);
  afterAll(async () => {
    await bench.end();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  test("one bit of the kernel altered: refused, back to A without a person", {
    timeout: CASE_MS,
  }, async () => {
    const said = await machine.until(/slot b struck out/);
    expect(said).toMatch(/refused by the firmware/);
  });

  test("good chain: firmware, loader, kernel and root image run, each verified", {
    timeout: CASE_MS,
  }, async () => {
    expect(await machine.until(/slot=\w/)).toMatch(/slot=a version=1\.0\.0 counter=1 SecureBoot=1/);
  });

  test("configuration altered: reverts to the previous signed one, and runs its script alone", {
    timeout: CASE_MS,
  }, async () => {
    await machine.until(/configuration\.json: signature/);
    expect(await machine.until(/SCRIPT \d/)).toMatch(/SCRIPT 1/);
    await machine.until(/configuration 1 \(previous\) is in force/);
    await machine.end();
  });
});
