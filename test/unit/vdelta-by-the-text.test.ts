import fs from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { randomInteger, seededRandom } from "../../src/kernel/index.ts";
import { firmwarePairs } from "../support/firmware-pairs.ts";
import { makePatch } from "../support/patching.ts";
import { applyByTheText } from "../support/vdelta-by-the-text-coders.ts";

const golden: { offset: number; length: number; patches: { name: string; patch: string }[] } =
  JSON.parse(
    fs.readFileSync(path.join(import.meta.dirname, "../support/golden-vdelta.json"), "utf8"),
  );
const [firmware] = firmwarePairs();
const part = (offset: number, length: number) =>
  [firmware?.source, firmware?.target].map((image) => image?.subarray(offset, offset + length)) as [
    Buffer,
    Buffer,
  ];

describe("an applier written from docs/protocol/vdelta.md alone", () => {
  const [source, target] = part(golden.offset, golden.length);
  // The profile of 64 MB takes ten seconds to set up here, and shows nothing more.
  const known = golden.patches.filter(({ name }) =>
    /none|thumb|version 3.* \d+K|4M|12M/.test(name),
  );
  it.each(known)("applies the golden patch $name", ({ patch }) => {
    expect(applyByTheText(Buffer.from(patch, "base64"), source).equals(target)).toBe(true);
  });

  it.each(["vdelta-small", "vdelta-fast"] as const)("applies a fresh %s", async (format) => {
    const [old, wanted] = part(60_000, 30_000);
    const patch = await makePatch(format, { source: old, target: wanted });
    // Byte 7 names the processor; this applier knows two.
    expect(patch[7]).toBeLessThan(2);
    expect(applyByTheText(patch, old).equals(wanted)).toBe(true);
  });

  it("applies a fresh vdelta-small over bytes that follow no rule, and what comes behind them", async () => {
    const [old, wanted] = part(60_000, 12_000);
    const random = seededRandom(7);
    const ruleless = Buffer.from(Array.from({ length: 6_000 }, () => randomInteger(random, 256)));
    const mixed = Buffer.concat([ruleless, wanted, ruleless.reverse(), wanted]);
    const patch = await makePatch("vdelta-small", { source: old.subarray(0, 400), target: mixed });
    expect(applyByTheText(patch, old.subarray(0, 400)).equals(mixed)).toBe(true);
  });
});
