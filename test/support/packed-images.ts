import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { firmwarePairs } from "./firmware-pairs.ts";
import type { ImagePair } from "./patching.ts";

/** Whether a tool of the machine can be run. */
export function hasTool(tool: string): boolean {
  return spawnSync(tool, ["--version"]).error === undefined;
}

/** What a tool makes of its standard input. */
export function pipeThrough(tool: string, options: readonly string[], input: Uint8Array): Buffer {
  const run = spawnSync(tool, options, { input, maxBuffer: 2 ** 28 });
  if (run.status !== 0) throw new Error(`${tool}: ${run.error ?? run.stderr}`);
  return run.stdout;
}

/** A squashfs of files made by the tool itself; the same every time. */
export function squashfsOf(files: ReadonlyMap<string, Uint8Array>, options: string[]): Buffer {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-squashfs-"));
  try {
    const tree = path.join(directory, "tree");
    fs.mkdirSync(tree);
    for (const [name, bytes] of files) fs.writeFileSync(path.join(tree, name), bytes);
    const image = path.join(directory, "image");
    const always = ["-noappend", "-quiet", "-no-progress", "-all-time", "0", "-processors", "1"];
    const run = spawnSync("mksquashfs", [tree, image, ...always, "-all-root", ...options]);
    if (run.status !== 0) throw new Error(`mksquashfs: ${run.error ?? run.stderr}`);
    return fs.readFileSync(image);
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}

/** Parts of two releases of a real firmware. */
export function firmwareParts(offset: number, length: number): ImagePair {
  const [firmware] = firmwarePairs();
  if (!firmware) throw new Error("no firmware pair found");
  return {
    source: firmware.source.subarray(offset, offset + length),
    target: firmware.target.subarray(offset, offset + length),
  };
}
