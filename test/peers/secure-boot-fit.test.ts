import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readDeviceTree } from "../../src/secureboot/flat-device-tree.ts";
import {
  FitBench,
  type FitBoard,
  fitImages,
  missingFitPackages,
  RUNS,
} from "../support/secure-boot/fit-board.ts";

const missing = missingFitPackages();

// Debian's own U-Boot, which knows of our key by what `vautn secureboot fit-key` writes.
describe.skipIf(missing.length > 0)(`U-Boot on an arm64 board ${missing.join(", ")}`, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-fit-"));
  let bench: FitBench;
  let images: ReturnType<typeof fitImages>;
  let board: FitBoard;

  beforeAll(async () => {
    bench = new FitBench(folder);
    images = fitImages(bench);
    board = bench.start(
      images.map(({ image }) => image),
      { hasKey: true },
    );
    await board.prompt();
  });
  afterAll(async () => {
    await board?.end();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  it("refuses what is altered, unsigned or signed by somebody else", async () => {
    for (const [index, { name, said }] of images.slice(0, -1).entries()) {
      const answer = await board.boot(index);
      expect(answer, name).toMatch(said);
      expect(answer, name).not.toMatch(/Starting kernel|kernel runs/);
    }
  });

  it("starts what is signed by our key", async () => {
    const answer = await board.boot(images.length - 1);
    expect(answer).toContain("sha256,rsa2048:vautn+ OK");
    expect(answer).toContain(RUNS);
  });

  it.each<[string, RegExp, (its: string) => string]>([
    [
      "another key's name",
      /no signature node with key-name-hint/,
      (its) => its.replace('key-name-hint = "vautn"', 'key-name-hint = "other"'),
    ],
    [
      "no signature node",
      /no signature node with key-name-hint/,
      (its) => its.replace(/signature \{[^}]*\};/, ""),
    ],
    [
      "another algorithm",
      /asks for a signature by "sha256,rsa4096"/,
      (its) => its.replace("rsa2048", "rsa4096"),
    ],
    [
      "a device tree that the signature leaves out",
      /loads fdt, which its sign-images/,
      (its) => its.replace('sign-images = "kernel", "fdt"', 'sign-images = "kernel"'),
    ],
  ])("is not given an image for signed that has %s", (_, message, change) => {
    expect(() => bench.image("wrong", { keys: "keys", change })).toThrow(message);
  });

  it("is told of a FIT image that is cut off anywhere, and of what is none", () => {
    const good = images.at(-1)?.image ?? Buffer.alloc(0);
    for (let length = 0; length < good.length; length += 997) {
      expect(() => readDeviceTree(good.subarray(0, length))).toThrow(/device tree/);
    }
  });

  it("starts anything where it knows no key: it is the key that refuses", async () => {
    const open = bench.start([bench.image("unsigned")], { hasKey: false });
    try {
      await open.prompt();
      expect(await open.boot(0)).toContain(RUNS);
    } finally {
      await open.end();
    }
  });
});
