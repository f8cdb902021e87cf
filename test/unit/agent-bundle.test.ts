import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = path.resolve(import.meta.dirname, "../..");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-agent-"));
const agent = path.join(folder, "vautn-agent.mjs");

beforeAll(() => {
  execFileSync(process.execPath, ["tools/build-agent.ts"], { cwd: root, stdio: "pipe" });
  fs.copyFileSync(path.join(root, "dist/vautn-agent.mjs"), agent);
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

function run(...args: string[]) {
  return spawnSync(process.execPath, [agent, ...args], { cwd: folder, encoding: "utf8" });
}

test("the agent is one file of at most 1 MB that starts from an empty folder", () => {
  expect(fs.statSync(agent).size).toBeLessThanOrEqual(1024 * 1024);
  const { version } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"));
  expect(run("--version")).toMatchObject({ status: 0, stdout: `${version}\n` });
  expect(run("--help")).toMatchObject({ status: 0, stdout: expect.stringContaining("--config") });
});

test("misuse ends with status 2, a configuration that cannot be read with 1 and its name", () => {
  expect(run("fly").status).toBe(2);
  const missing = run("run", "--config", "nowhere.json");
  expect(missing).toMatchObject({ status: 1, stderr: expect.stringContaining("nowhere.json") });
  fs.writeFileSync(path.join(folder, "bad.json"), '{"provisioning": 1, "data": "d"}');
  const bad = run("run", "--config", "bad.json");
  expect(bad).toMatchObject({ status: 1, stderr: expect.stringContaining("/provisioning") });
});
