import { execFile, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "vitest";
import { noteHealthyAgent } from "../../src/agent/components/agent-component.ts";

const run = promisify(execFile);
const DEPLOY = path.resolve(import.meta.dirname, "../../deploy/agent");

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-launcher-"));
  fs.mkdirSync(path.join(folder, "var/lib/vautn"), { recursive: true });
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

const home = () => path.join(folder, "usr/lib/vautn-agent");
const state = () => path.join(folder, "var/lib/vautn");

/** An agent that says its name; a bad one does not even start. */
function agent(name: string): string {
  const file = path.join(folder, `${name}.mjs`);
  fs.writeFileSync(file, `console.log(process.argv.includes("--version") ? "1" : "${name}");\n`);
  return file;
}

async function install(file: string, config?: string): Promise<string> {
  const args = [path.join(DEPLOY, "install.sh"), file, ...(config ? [config] : [])];
  const env = { ...process.env, DESTDIR: folder, VAUTN_NODE: process.execPath };
  return (await run("sh", args, { env })).stdout;
}

async function launch(variables: NodeJS.ProcessEnv = {}): Promise<string> {
  const env = {
    ...process.env,
    ...variables,
    VAUTN_AGENT_HOME: home(),
    VAUTN_AGENT_STATE: state(),
    VAUTN_NODE: process.execPath,
  };
  return (await run("sh", [path.join(home(), "launch"), "agent.json"], { env })).stdout.trim();
}

it("installs an agent with its unit and configuration, and starts it", async () => {
  const config = path.join(folder, "given.json");
  fs.writeFileSync(config, "{}");
  expect(await install(agent("first"), config)).toContain("installed");
  expect(fs.existsSync(path.join(folder, "etc/systemd/system/vautn-agent.service"))).toBe(true);
  expect(fs.readFileSync(path.join(folder, "etc/vautn/agent.json"), "utf8")).toBe("{}");
  expect(await launch()).toBe("first");
});

it("starts the agent on a Node that does not know the flags", async () => {
  await install(agent("first"));
  expect(await launch({ VAUTN_NODE_FLAGS: "--no-such-flag-of-node" })).toBe("first");
});

it("tries a new agent, and keeps it once it has proved itself", async () => {
  await install(agent("first"));
  expect(await install(agent("second"))).toContain("tried");
  expect(await launch()).toBe("second");
  await noteHealthyAgent(path.join(home(), "next.mjs"), path.join(state(), "agent.healthy"));
  for (let start = 0; start < 4; start += 1) expect(await launch()).toBe("second");
  expect(fs.existsSync(path.join(home(), "next.mjs"))).toBe(false);
  expect(fs.existsSync(path.join(home(), "previous.mjs"))).toBe(true);
});

it("goes back to the old agent after three starts of one that does not become healthy", async () => {
  await install(agent("first"));
  await install(agent("second"));
  const started: string[] = [];
  for (let start = 0; start < 5; start += 1) started.push(await launch());
  expect(started).toEqual(["second", "second", "second", "first", "first"]);
  expect(fs.existsSync(path.join(home(), "rejected.mjs"))).toBe(true);
});

it("counts the starts of each new agent by itself", async () => {
  await install(agent("first"));
  await install(agent("second"));
  for (let start = 0; start < 3; start += 1) expect(await launch()).toBe("second");
  // Its update was taken back, and a later one brings another.
  fs.rmSync(path.join(home(), "next.mjs"));
  fs.renameSync(agent("third"), path.join(home(), "next.mjs"));
  const started: string[] = [];
  for (let start = 0; start < 4; start += 1) started.push(await launch());
  expect(started).toEqual(["third", "third", "third", "first"]);
});

it("installs nothing that does not run here", async () => {
  const broken = path.join(folder, "broken.mjs");
  fs.writeFileSync(broken, "syntax error(\n");
  await expect(install(broken)).rejects.toThrow("does not run here");
  await expect(install(path.join(folder, "none"))).rejects.toThrow("there is no file");
});

const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;

it.skipIf(!hasSystemd)("has a unit that systemd accepts (systemd-analyze)", async () => {
  await install(agent("first"));
  const unit = path.join(folder, "vautn-agent.service");
  const installed = path.join(folder, "etc/systemd/system/vautn-agent.service");
  const text = fs.readFileSync(installed, "utf8");
  // Where this test has put the launcher; all the rest is as it is installed.
  fs.writeFileSync(unit, text.replace("/usr/lib/vautn-agent/launch", path.join(home(), "launch")));
  const { stdout, stderr } = await run("systemd-analyze", ["verify", unit]);
  expect(stdout + stderr).toBe("");
  // The control: it does look at what is written there.
  fs.writeFileSync(unit, text.replace("WatchdogSec=120", "WatchdogSec=often"));
  const bad = await run("systemd-analyze", ["verify", unit]).catch((error) => error);
  expect(bad.stderr).toMatch(/Failed to parse sec value, ignoring: often/);
});
