import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { writeProvisioning } from "../../src/agent/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { StubPlatform } from "../../src/simulator/index.ts";
import { createTestPki } from "../support/device-pki.ts";

// A service manager of its own, in a file system of its own, runs the unit as it is installed.
const ROOT = path.resolve(import.meta.dirname, "../..");
const SYSTEMD = "/lib/systemd/systemd";
const UNIT = "vautn-agent.service";
/** A manager that does not answer is a failure, and holds up nothing else. */
const PATIENCE_MS = 60_000;

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-systemd-"));
const at = (name: string) => path.join(folder, name);
const environment = {
  ...process.env,
  XDG_RUNTIME_DIR: at("run"),
  XDG_CONFIG_HOME: at("config"),
  HOME: folder,
};

/** A manager asks whether the machine was booted by one; /run is its own here, so it was. */
const START = `mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system
exec ${SYSTEMD} --user --log-target=console --unit=basic.target`;
const canRun =
  fs.existsSync(SYSTEMD) &&
  process.getuid?.() === 0 &&
  !fails("unshare", ["-m", "sh", "-c", "mount --make-rprivate / && mount -t tmpfs tmpfs /run"]) &&
  !fails("systemctl", ["--version"]);

function fails(program: string, args: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: "ignore", env: environment, timeout: PATIENCE_MS });
    return false;
  } catch {
    return true;
  }
}

let manager: ChildProcess | undefined;
beforeAll(async () => {
  if (!canRun) return;
  execFileSync(process.execPath, ["tools/build-agent.ts"], { cwd: ROOT, stdio: "pipe" });
  await provision();
  installed();
  fs.mkdirSync(at("run"), { mode: 0o700 });
  manager = spawn("unshare", ["-m", "sh", "-c", START], { env: environment, stdio: "ignore" });
  await until(() => !fails("systemctl", ["--user", "daemon-reload"]));
});
afterAll(async () => {
  if (manager) {
    const ended = new Promise((resolve) => manager?.once("exit", resolve));
    fails("systemctl", ["--user", "stop", UNIT]);
    manager.kill("SIGTERM");
    await ended;
  }
  fs.rmSync(folder, { recursive: true, force: true });
});

/** A device that reaches no platform: what the unit is for does not wait for one. */
async function provision(): Promise<void> {
  const pki = await createTestPki();
  const device = await pki.device("acme", "device-1");
  await writeProvisioning(at("etc/vautn/identity"), {
    ...{ tenant: "acme", device: "device-1", product: "sensor", hardwareRevision: "r1" },
    ...{ mqttUrl: "mqtts://127.0.0.1:1", httpsUrl: "https://127.0.0.1:1" },
    ...{ key: device.key, certificate: device.cert, root: pki.root },
    trustRoot: new StubPlatform({ tenant: "acme", clock: systemClock }).trustRoot,
  });
  fs.writeFileSync(
    at("agent.json"),
    JSON.stringify({ provisioning: "identity", data: at("data") }),
  );
}

/** By the script of a device; only where things lie, and how patient the watchdog is, differs. */
function installed(): void {
  const script = path.join(ROOT, "deploy/agent/install.sh");
  const bundle = path.join(ROOT, "dist/vautn-agent.mjs");
  const places = { DESTDIR: folder, VAUTN_NODE: process.execPath };
  const env = { ...process.env, ...places };
  execFileSync("sh", [script, bundle, at("agent.json")], { env, stdio: "pipe" });
  const unit = fs.readFileSync(at(`etc/systemd/system/${UNIT}`), "utf8");
  const own = unit
    .replace("/usr/lib/vautn-agent/launch", at("usr/lib/vautn-agent/launch"))
    .replace("/etc/vautn/agent.json", at("etc/vautn/agent.json"))
    .replace("systemctl --no-block reboot", `touch ${at("rebooted")}`)
    .replace("WatchdogSec=120", "WatchdogSec=10")
    // A manager of a user cannot shut off parts of the machine.
    .replace(/^(Protect|PrivateTmp|StateDirectory).*\n/gm, "")
    .replace(
      "[Service]",
      `[Service]\nEnvironment=VAUTN_AGENT_HOME=${at("usr/lib/vautn-agent")} VAUTN_AGENT_STATE=${at("data")} VAUTN_NODE=${process.execPath}`,
    );
  fs.mkdirSync(at("config/systemd/user"), { recursive: true });
  fs.writeFileSync(at(`config/systemd/user/${UNIT}`), own);
}

function systemctl(...words: string[]): string {
  const args = ["--user", ...words];
  const options = { env: environment, stdio: "pipe", timeout: PATIENCE_MS } as const;
  return execFileSync("systemctl", args, { ...options, encoding: "utf8" });
}

function shown(property: string): string {
  return systemctl("show", UNIT, "--value", "--property", property).trim();
}

async function until(holds: () => boolean, limitMs = 120_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${manager?.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Never 0, which would be our own processes. */
const mainPid = () => Number(shown("MainPID"));
const isUp = () => shown("ActiveState") === "active" && mainPid() > 1;

it.skipIf(!canRun)(
  "systemd takes the agent for started when it says so, and starts it again",
  async () => {
    systemctl("start", UNIT);
    expect(isUp()).toBe(true);
    const first = mainPid();
    process.kill(first, "SIGKILL");
    await until(() => shown("NRestarts") === "1" && isUp());
    expect(mainPid()).not.toBe(first);
  },
);

it.skipIf(!canRun)("systemd ends an agent that hangs, and starts it again", async () => {
  const before = Number(shown("NRestarts"));
  const hanging = mainPid();
  expect(hanging).toBeGreaterThan(1);
  process.kill(hanging, "SIGSTOP");
  await until(() => Number(shown("NRestarts")) > before && isUp());
});

it.skipIf(!canRun)(
  "systemd restarts the machine, and not the agent, when the agent asks for it",
  async () => {
    expect(fs.existsSync(at("rebooted"))).toBe(false);
    fs.writeFileSync(at("usr/lib/vautn-agent/current.mjs"), "process.exit(75);\n");
    fails("systemctl", ["--user", "restart", UNIT]);
    await until(() => fs.existsSync(at("rebooted")));
    expect(shown("ActiveState")).toBe("failed");
    expect(shown("ExecMainStatus")).toBe("75");
  },
);
