import fs from "node:fs";
import { describe, expect, it } from "vitest";
import { buildKernel, KERNEL_FILE } from "../../tools/build-kernels.ts";

const COMPILE_MS = 300_000;

describe("the compiled kernel of vdelta", () => {
  it(
    "is what its source makes, byte for byte",
    () => {
      expect(fs.readFileSync(KERNEL_FILE, "utf8") === buildKernel()).toBe(true);
    },
    COMPILE_MS,
  );
});
