import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { askStatus, writeProvisioning } from "../../src/agent/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { until } from "../support/gateway.ts";
import { type RotationPlatform, startRotationPlatform } from "../support/rotation-platform.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-device-"));
let platform: RotationPlatform;
let child: ChildProcess | undefined;

beforeAll(async () => {
  const built = spawnSync(process.execPath, [path.join(ROOT, "tools/build-device.ts")]);
  if (built.status !== 0) throw new Error(String(built.stderr));
  // As `npm install @vautn/device` leaves it.
  fs.mkdirSync(path.join(folder, "node_modules/@vautn"), { recursive: true });
  const target = path.join(folder, "node_modules/@vautn/device");
  fs.cpSync(path.join(ROOT, "packages/device"), target, { recursive: true });
  fs.cpSync(path.join(ROOT, "packages/device/examples"), folder, { recursive: true });
  fs.writeFileSync(path.join(folder, "package.json"), '{ "type": "module" }');
  for (const name of ["typebox", "@types/node"]) {
    fs.mkdirSync(path.dirname(path.join(folder, "node_modules", name)), { recursive: true });
    fs.symlinkSync(path.join(ROOT, "node_modules", name), path.join(folder, "node_modules", name));
  }
  platform = await startRotationPlatform();
});
afterEach(async () => {
  if (!child || child.exitCode !== null) return;
  const ended = new Promise((resolve) => child?.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
});
afterAll(async () => {
  await platform?.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

/** Runs an example as a device of its own, until it is connected. */
async function start(example: string, ...words: string[]) {
  const name = path.basename(example, ".mjs");
  const at = (file: string) => path.join(folder, name, file);
  const device = await platform.enroll(name);
  await writeProvisioning(at("identity"), {
    ...{ tenant: "acme", device: name, product: "sensor", hardwareRevision: "r1" },
    ...{ mqttUrl: platform.mqttUrl, httpsUrl: platform.httpsUrl },
    ...{ key: device.key, certificate: device.cert, root: platform.rootPem },
    trustRoot: platform.trustRoot,
  });
  fs.writeFileSync(at("agent.json"), JSON.stringify({ provisioning: "identity", data: "data" }));
  const args = [path.join(folder, example), at("agent.json"), ...words.map(at)];
  child = spawn(process.execPath, args, { stdio: "ignore" });
  const status = () => askStatus(at("data")).catch(() => null);
  await until(async () => (await status())?.connected === true);
  return { name, at, status };
}

const eventsOf = (name: string) =>
  platform.events
    .filter(({ deviceId }) => deviceId === name)
    .flatMap(({ payload }) => payload as { type: string } | { type: string }[]);

it("runs a sensor with a command of its own", async () => {
  const { name } = await start("sensor.mjs");
  const wanted = { deviceIds: [name], name: "calibrate", args: { reference: 23 }, ttlSeconds: 60 };
  const [command] = await platform.commands.send("acme", wanted, SYSTEM_ACTOR, null);
  const found = () => platform.commands.get("acme", command?.id ?? "");
  await until(async () => (await found()).status === "succeeded");
  expect((await found()).output).toEqual({ offset: 2 });
});

it("runs on a board with a bootloader of its own", async () => {
  const { name, status } = await start("own-bootloader.mjs", "board");
  expect((await status())?.firmware.slot).toBe("a");
  await until(() => eventsOf(name).some(({ type }) => type === "boot"));
});

it("runs with something attached, and tells of it", async () => {
  const { name } = await start("peripheral.mjs", "lamp.bin");
  await until(() => eventsOf(name).some(({ type }) => type === "lamp"));
});

it("tells a program in TypeScript what its parts have to be", () => {
  const program = `
    import { type Application, type ApplicationContext, runAgent } from "@vautn/device";
    let context: ApplicationContext | undefined;
    const application: Application = {
      start: async (given) => {
        context = given;
        given.log("info", given.firmware.version);
      },
      stop: async () => {},
      selfTest: async (signal) => ({ passed: !signal.aborted }),
      metrics: () => ({ offset: 1 }),
    };
    const commandHandlers = { nap: async () => context?.sleep(60) };
    export const status: number =
      await runAgent("agent.json", process.env, { application, commandHandlers });
    // @ts-expect-error A version is a text: the types have no hole here.
    export const version: number | undefined = context?.firmware.version;
    // @ts-expect-error A self-test has a result.
    export const wrong: Application = { ...application, selfTest: async () => {} };
  `;
  fs.writeFileSync(path.join(folder, "program.ts"), program);
  const compiler = path.join(ROOT, "node_modules/typescript/bin/tsc");
  const words = "--noEmit --strict --skipLibCheck --module nodenext --target esnext --types node";
  const args = [compiler, ...words.split(" "), "program.ts"];
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
  expect(stdout).toBe("");
  expect(status).toBe(0);
});
