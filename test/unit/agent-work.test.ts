import { existsSync, statSync } from "node:fs";
import { appendFile, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AgentComponent, noteHealthyAgent } from "../../src/agent/components/agent-component.ts";
import { askStatus, describeStatus, openStatusSocket } from "../../src/agent/status-socket.ts";
import { applicationContext } from "../../src/agent/work/application-context.ts";
import { CoreDumps } from "../../src/agent/work/core-dumps.ts";
import { DeviceLog } from "../../src/agent/work/device-log.ts";
import { HostApplication } from "../../src/agent/work/host-application.ts";
import { HostMetrics } from "../../src/agent/work/host-metrics.ts";
import { logLevelAt, withLogLevel } from "../../src/agent/work/log-level.ts";
import { LogShipping } from "../../src/agent/work/log-shipping.ts";
import { runScriptCommand } from "../../src/agent/work/run-script.ts";
import { systemClock, systemRandom } from "../../src/kernel/index.ts";
import {
  SCRIPT_CHECKS,
  type Script,
  signDocument,
  verifyScript,
} from "../../src/protocol/index.ts";
import { sha256Of } from "../../src/simulator/index.ts";
import { makeKey, makeOnlineKeys, makeRoot, YEAR_MS } from "../support/signing.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "vautn-work-"));
});
afterEach(() => rm(folder, { recursive: true }));
const at = (name: string) => path.join(folder, name);

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Remembers what an application says. */
function listener() {
  const said: { level: string; message: string; attributes?: unknown }[] = [];
  const context = {
    log: (level: string, message: string, attributes?: unknown) =>
      said.push({ level, message, attributes }),
    crashed: (level: string, message: string) => said.push({ level, message }),
  };
  return { said, context: context as never };
}

const keys = { root: makeKey(), release: [makeKey(), makeKey()] };
const root = makeRoot("acme", keys, makeOnlineKeys()).signed;

function script(change: Partial<Script> = {}, signers = keys.release) {
  const document: Script = {
    ...{ _type: "script", specVersion: 1, tenant: "acme", product: "hub", name: "tidy.sh" },
    content: "echo tidied; exit 0",
    createdAt: new Date().toISOString(),
    expires: new Date(Date.now() + YEAR_MS).toISOString(),
    timeoutSeconds: 10,
    ...change,
  };
  return signDocument(document, signers);
}

describe("a signed script", () => {
  const facts = { tenant: "acme", product: "hub", device: "d-1", trustedTimeMs: Date.now() };
  const altered = script();
  altered.signed.content = "rm -rf /";
  const bad: [string, unknown][] = [
    ["format", null],
    ["format", script({ name: "../x" })],
    ["format", script({ content: "x".repeat(20_000) })],
    ["format", script({ timeoutSeconds: 0 })],
    ["signature", altered],
    ["signature", script({}, [keys.release[0]!])],
    ["signature", script({}, [keys.root, makeKey()])],
    ["tenant", script({ tenant: "other" })],
    ["product", script({ product: "lamp" })],
    ["device", script({ devices: ["d-2"] })],
    ["expiry", script({ expires: new Date(Date.now() - 60_000).toISOString() })],
    ["expiry", script({ expires: "soon" })],
  ];
  it.each(bad)("fails at %s", (check, envelope) => {
    expect(verifyScript(envelope, root, facts)).toMatchObject({ accepted: false, check });
  });

  it("has a case for every check", () => {
    expect(new Set(bad.map(([check]) => check))).toEqual(new Set(SCRIPT_CHECKS));
  });

  const run = (envelope: unknown) => {
    const handler = runScriptCommand({
      identity: facts,
      root: () => root,
      trustedNow: () => Date.now(),
      log: () => {},
    });
    const written: string[] = [];
    const signal = new AbortController().signal;
    const context = { signal, write: (text: string) => written.push(text) } as never;
    return handler({ script: envelope }, context).then((output) => ({ output, written }));
  };

  it("is run, and what it writes is told; a failure and a delay are errors", async () => {
    const { output, written } = await run(script({ devices: ["d-1"] }));
    expect(output).toEqual({ name: "tidy.sh", output: "tidied" });
    expect(written.join("")).toBe("tidied\n");
    await expect(run(script({ content: "echo no >&2; exit 4" }))).rejects.toThrow("status 4: no");
    const slow = script({ content: "sleep 30", timeoutSeconds: 1 });
    await expect(run(slow)).rejects.toThrow("not done within 1 s");
  });

  it("does nothing where the signature is wrong", async () => {
    const mark = at("mark");
    const forged = script({ content: `touch ${mark}` }, [makeKey(), makeKey()]);
    await expect(run(forged)).rejects.toThrow("refused: signature");
  });
});

describe("the machine's log", () => {
  it("is taken from files from now on, by its level, also after they were turned over", async () => {
    const file = at("app.log");
    await writeFile(file, "before\n");
    const { said, context } = listener();
    const shipping = new LogShipping({ clock: systemClock, files: [file, at("later.log")] });
    shipping.start(context);
    const lines = () => said.filter(({ level }) => level !== "debug");
    // The first look finds where the file ends.
    await until(async () => {
      await appendFile(file, "ERROR sensor lost\n");
      await new Promise((resolve) => setTimeout(resolve, 200));
      return lines().length > 0;
    });
    expect(lines()[0]).toMatchObject({ level: "error", message: "ERROR sensor lost" });
    await rename(file, at("app.log.1"));
    await writeFile(file, "warning: new file\n");
    await until(() => lines().some(({ message }) => message === "warning: new file"));
    expect(said.some(({ message }) => message === "before")).toBe(false);
    shipping.stop();
  });

  it("is taken from the journal, with units and levels, and a flood is cut down", async () => {
    const entry = (priority: number, message: string) =>
      JSON.stringify({
        MESSAGE: message,
        PRIORITY: String(priority),
        _SYSTEMD_UNIT: "app.service",
      });
    const flood = Array.from({ length: 120 }, (_, index) => entry(6, `line ${index}`));
    const lines = [entry(3, "it broke"), "no json", ...flood].join("\n");
    await writeFile(at("lines"), `${lines}\n`);
    const journalctl = at("journalctl");
    await writeFile(journalctl, `#!/bin/sh\ncat ${at("lines")}\nexec sleep 60\n`, { mode: 0o755 });
    const { said, context } = listener();
    const second = Math.floor(Date.now() / 1_000);
    const clock = { ...systemClock, now: () => second * 1_000 };
    const shipping = new LogShipping({ clock, journalUnits: ["app.service"], journalctl });
    shipping.start(context);
    await until(() => said.length >= 50);
    shipping.stop();
    expect(said[0]).toEqual({
      ...{ level: "error", message: "it broke", attributes: { unit: "app.service" } },
    });
    expect(said).toHaveLength(50);
  });

  it("goes to the platform, and not into the log from which it came", async () => {
    const sent: string[] = [];
    const local: string[] = [];
    let seq = 0;
    const log = new DeviceLog({
      now: () => Date.now(),
      nextSequence: () => seq++,
      level: () => "info",
      send: ({ message }) => sent.push(message),
      local: (_level, message) => local.push(message),
    });
    const context = applicationContext({
      ...{ firmware: { version: "1.0.0", hash: "", slot: "a" }, bootId: "", now: () => 0, log },
      ...{ nextSequence: () => seq++, sample: () => {}, event: () => {}, report: () => {} },
      sleep: async () => {},
    });
    const lines = ["of the journal", "another"].map((MESSAGE) => JSON.stringify({ MESSAGE }));
    const journalctl = at("journalctl");
    await writeFile(at("lines"), `${lines.join("\n")}\n`);
    await writeFile(journalctl, `#!/bin/sh\ncat ${at("lines")}\nexec sleep 60\n`, { mode: 0o755 });
    const shipping = new LogShipping({ clock: systemClock, journalUnits: [], journalctl });
    shipping.start(context);
    await until(() => sent.length >= 2);
    shipping.stop();
    expect(sent).toEqual(["of the journal", "another"]);
    expect(local).toEqual([]);
    context.log("info", "of the application");
    expect(local).toEqual(["of the application"]);
  });
});

describe("core dumps", () => {
  it("are told of once, with the program, also after a restart", async () => {
    const directory = at("dumps");
    await mkdir(directory);
    const name = (process: number) =>
      `core.sensord.0.0123456789abcdef0123456789abcdef.${process}.1700000000000000.zst`;
    await writeFile(path.join(directory, name(1)), "old");
    const options = { clock: systemClock, directory, stateFile: at("told") };
    const look = async (expected: number) => {
      const { said, context } = listener();
      const dumps = new CoreDumps(options);
      dumps.start(context);
      await new Promise((resolve) => setTimeout(resolve, 150));
      await until(() => said.length >= expected);
      dumps.stop();
      return said;
    };
    expect(await look(0)).toEqual([]);
    await writeFile(path.join(directory, name(2)), "new");
    const [first] = await look(1);
    expect(first).toMatchObject({ level: "core-dump" });
    expect(first?.message).toContain("sensord (process 2)");
    expect(await look(0)).toEqual([]);
  });

  it("come with the innermost calls, where a program reads them, and without where it fails", async () => {
    const directory = at("dumps");
    await mkdir(directory);
    const told = async (name: string, describe: string[]) => {
      const { said, context } = listener();
      const dumps = new CoreDumps({
        clock: systemClock,
        directory,
        describe,
        stateFile: at("told"),
      });
      await writeFile(at("told"), "");
      await writeFile(path.join(directory, name), "");
      dumps.start(context);
      await until(() => said.some(({ level }) => level === "core-dump"));
      dumps.stop();
      await rm(path.join(directory, name));
      return said.find(({ level }) => level === "core-dump")?.message;
    };
    const name = `core.sensord.0.${"0".repeat(32)}.7.1700000000000000`;
    const calls = ["sh", "-c", 'echo "#0 measure ({program}, {process})"; seq 9999; cat {file}'];
    const message = await told(name, calls);
    const [first, second] = message?.split("\n") ?? [];
    expect([first, second]).toEqual([
      `sensord (process 7) left ${name}, 0 bytes`,
      "#0 measure (sensord, 7)",
    ]);
    expect(message?.length).toBeLessThan(4_096);
    expect(await told(name, ["false"])).toBe(first);
  });

  it("are news once, however many lie there", async () => {
    const directory = at("dumps");
    await mkdir(directory);
    for (let number = 0; number < 1_005; number += 1) {
      await writeFile(path.join(directory, `core.${10_000 + number}`), "");
    }
    const options = { clock: systemClock, directory, stateFile: at("told") };
    const { said, context } = listener();
    const first = new CoreDumps(options);
    first.start(context);
    await until(() => existsSync(at("told")) && statSync(at("told")).size > 0);
    first.stop();
    const again = new CoreDumps(options);
    again.start(context);
    await new Promise((resolve) => setTimeout(resolve, 150));
    again.stop();
    expect(said).toEqual([]);
  });
});

it("runs its program before it waits for anything, and ends it with itself", async () => {
  const application = new HostApplication({
    ...{ clock: systemClock, random: systemRandom, command: ["sleep", "60"], selfTest: undefined },
    ...{ telemetryIntervalMs: 60_000, metrics: new HostMetrics({ dataDirectory: folder }) },
  });
  const { said, context } = listener();
  const starting = application.start(context);
  expect(await application.selfTest(new AbortController().signal)).toEqual({ passed: true });
  await application.stop();
  await starting;
  // Ended by a signal, and not started again.
  expect(said).toEqual([]);
});

it("tells the machine's figures, and leaves out what there is not", async () => {
  await mkdir(at("thermal/thermal_zone0"), { recursive: true });
  await writeFile(at("thermal/thermal_zone0/temp"), "48250\n");
  await writeFile(at("wireless"), "head\nhead\n wlan0: 0000   54.  -61.  -256        0\n");
  const metrics = new HostMetrics({
    ...{ dataDirectory: folder, thermalDirectory: at("thermal"), wirelessFile: at("wireless") },
  });
  await metrics.refresh();
  const found = metrics.current();
  expect(found).toMatchObject({ temperature: 48.3, signal: -61 });
  for (const share of ["cpu", "memory", "disk"]) {
    expect(found[share]).toBeGreaterThanOrEqual(0);
    expect(found[share]).toBeLessThanOrEqual(100);
  }
  const bare = new HostMetrics({
    ...{ dataDirectory: at("none"), thermalDirectory: at("none"), wirelessFile: at("none") },
  });
  // Whoever asks does not change what the next one hears.
  expect(metrics.current().cpu).toBe(found.cpu);
  await bare.refresh();
  expect(Object.keys(bare.current())).not.toContain("temperature");
});

it("answers at the device how it is, and says so where no agent runs", async () => {
  const status = {
    ...{ bootId: "b-1", bootReason: "power-on", trial: false, connected: true, update: null },
    firmware: { version: "1.0.0", hash: "00", slot: "a" as const },
    ...{ otherSlot: null, backlog: { waiting: 3, dropped: 0 }, certificate: null },
    twin: { desired: 3, applied: 2, fault: "no such mode" },
  };
  const socket = await openStatusSocket(folder, () => status);
  expect(await askStatus(folder)).toEqual(status);
  expect(describeStatus(status)).toContain("3 to be sent");
  await socket.close();
  await expect(askStatus(folder)).rejects.toThrow();
});

it("does not wait for one who asked and then hangs", async () => {
  const socket = await openStatusSocket(folder, () => undefined, 50);
  const client = net.connect({ path: at("agent.sock"), allowHalfOpen: true });
  await new Promise((resolve) => client.once("connect", resolve));
  client.on("error", () => {}).pause();
  await socket.close();
  client.destroy();
});

describe("the agent as a component of a release", () => {
  it("is started beside the old one, confirmed by its hash, and refused once it was rejected", async () => {
    const next = Buffer.from("the new agent");
    const sha256 = sha256Of(next);
    await writeFile(at("current.mjs"), "the old agent");
    let restarts = 0;
    const agent = (running: string) =>
      new AgentComponent({
        ...{ home: folder, running: at(running), healthyFile: at("agent.healthy") },
        restart: () => {
          restarts += 1;
        },
      });
    const old = agent("current.mjs");
    await old.stage({
      ...{ sha256, sizeBytes: next.length, version: "2" },
      read: async () => next,
    });
    const life = new AbortController();
    const activating = old.activate(sha256, life.signal);
    await until(() => restarts === 1);
    life.abort(new Error("the agent ends"));
    await expect(activating).rejects.toThrow("the agent ends");

    // The launcher starts the new one, which goes on with the update.
    const started = agent("next.mjs");
    await started.activate(sha256, new AbortController().signal);
    expect(await started.installed()).toBe(sha256);
    await started.confirm();
    await noteHealthyAgent(at("next.mjs"), at("agent.healthy"));
    expect(sha256Of(next)).toBe(await readText("agent.healthy"));

    // Or it did not come up, and the launcher has put it aside.
    await rename(at("next.mjs"), at("rejected.mjs"));
    await expect(old.activate(sha256, new AbortController().signal)).rejects.toThrow("healthy");
  });
});

async function readText(name: string): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  return readFile(at(name), "utf8");
}

describe("the level of a device's log", () => {
  const calm = { logLevel: "info" as const, logLevelReverts: null };

  it("goes back by itself to the one that was meant for good", () => {
    const debug = withLogLevel(calm, "debug", { forSeconds: 60, nowMs: 1_000 });
    const trace = withLogLevel(debug, "trace", { forSeconds: 60, nowMs: 31_000 });
    expect(logLevelAt(debug, 60_999)).toBe("debug");
    expect(logLevelAt(debug, 61_000)).toBe("info");
    expect(logLevelAt(trace, 90_999)).toBe("trace");
    expect(logLevelAt(trace, 91_000)).toBe("info");
  });

  it("stays where it was set for good", () => {
    const debug = withLogLevel(calm, "debug", { forSeconds: 60, nowMs: 0 });
    const warn = withLogLevel(debug, "warn", { forSeconds: undefined, nowMs: 1_000 });
    expect(logLevelAt(warn, 1e12)).toBe("warn");
  });
});
