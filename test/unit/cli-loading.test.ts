import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "../..");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-loading-"));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

/** What parses the command line, and what draws tables, with all that it needs. */
const TERMINAL = [
  "commander",
  "cli-table3",
  "string-width",
  "strip-ansi",
  "ansi-regex",
  "is-fullwidth-code-point",
  "emoji-regex",
];

/** The rooms below `src/` and the packages that a call of `vautn` loads. */
function loadedBy(...argv: string[]): { rooms: Set<string>; packages: Set<string> } {
  const list = path.join(folder, "modules");
  fs.rmSync(list, { force: true });
  const preload = pathToFileURL(path.join(root, "test/support/list-loaded-modules.ts")).href;
  const { status, stderr } = spawnSync(
    process.execPath,
    ["--import", preload, path.join(root, "src/main.ts"), ...argv],
    { env: { PATH: process.env.PATH, LOADED_MODULES: list, HOME: folder }, encoding: "utf8" },
  );
  expect(status, stderr).toBe(0);
  const modules = fs.readFileSync(list, "utf8");
  const names = (pattern: RegExp) =>
    new Set([...modules.matchAll(pattern)].map(([, name]) => name as string));
  return {
    rooms: names(/\/src\/([a-z-]+)\//g),
    packages: names(/\/node_modules\/((?:@[^/\n]+\/)?[^/\n]+)\//g),
  };
}

describe("the program", () => {
  it("loads for --help only what prints it, neither the platform nor any domain module", () => {
    const { rooms, packages } = loadedBy("--help");
    expect([...rooms].sort()).toEqual(["cli", "client", "kernel"]);
    expect([...packages].sort()).toEqual([...TERMINAL].sort());
  });

  it("loads for a command that looks at this machine no platform either", () => {
    const { rooms } = loadedBy("config");
    expect([...rooms].sort()).toEqual(["cli", "client", "kernel"]);
  });
});
