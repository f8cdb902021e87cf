import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type AgentConfig, readAgentConfig } from "../../src/agent/agent-config.ts";
import { deviceWatchdog, resetCause, WatchdogKeeper } from "../../src/agent/boot/watchdog.ts";
import { watchdogOf } from "../../src/agent/host-parts.ts";
import { hostFacts } from "../../src/agent/work/host-facts.ts";
import { runHostSelfTest } from "../../src/agent/work/host-self-test.ts";
import { systemClock, VirtualClock } from "../../src/kernel/index.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "vautn-host-"));
});
afterEach(() => rm(folder, { recursive: true }));

const never = new AbortController().signal;

describe("the self-test of a machine", () => {
  const run = (test: object, states: string[] = [], signal = never) => {
    const asked = [...states];
    return runHostSelfTest(
      test,
      { clock: systemClock, isActive: async () => asked.shift() ?? "active" },
      signal,
    );
  };

  it("passes where all that it names is well", async () => {
    const test = { services: ["app"], minFreeMemoryBytes: 1024, command: ["/bin/true"] };
    expect(await run(test)).toEqual({ passed: true });
  });

  it("waits for a service that is starting, and fails by one that does not come up", async () => {
    expect(await run({ services: ["app"] }, ["activating"])).toEqual({ passed: true });
    expect(await run({ services: ["app"] }, ["failed"])).toMatchObject({ element: "service-app" });
    const soon = AbortSignal.timeout(50);
    const starting = Array.from({ length: 1_000 }, () => "activating");
    expect(await run({ services: ["app"] }, starting, soon)).toMatchObject({
      element: "service-app",
      message: "it is activating, not active",
    });
  });

  it("fails by a service that was up and is not any more", async () => {
    const test = { services: ["app"], settleSeconds: 0.01 };
    expect(await run(test, ["active", "failed"])).toMatchObject({ element: "service-app" });
  });

  it.each([
    [{ minFreeMemoryBytes: 2 ** 52 }, "memory", "are needed"],
    [{ command: ["/bin/sh", "-c", "echo no sensor; exit 3"] }, "self-test", "status 3: no sensor"],
    [{ command: ["/bin/sleep", "60"], timeoutSeconds: 0.1 }, "self-test", "within 0.1 s"],
    [{ command: ["/no/such/program"] }, "self-test", "cannot be started"],
  ])("fails by %o", async (test, element, message) => {
    const result = await run(test);
    expect(result).toMatchObject({ passed: false, element });
    expect(result.message).toContain(message);
  });
});

describe("the watchdog", () => {
  it("is told of life while the disk answers, and of nothing once it hangs", async () => {
    const clock = new VirtualClock();
    const device = path.join(folder, "watchdog");
    await writeFile(device, "");
    const watchdog = await deviceWatchdog(device, 10_000);
    let hangs = false;
    const keeper = new WatchdogKeeper({
      ...{ watchdog, clock, onProblem: () => {} },
      works: () => (hangs ? new Promise<void>(() => {}) : Promise.resolve()),
    });
    const signs = async () => (await readFile(device)).length;
    keeper.start();
    for (let wanted = 2; wanted <= 3; wanted += 1) {
      while ((await signs()) < wanted) await clock.advance(1_000);
    }
    hangs = true;
    await clock.advance(10_000);
    const before = await signs();
    await clock.advance(120_000);
    expect(await signs()).toBe(before);
    await keeper.stop({ inOrder: true });
    expect((await readFile(device, "utf8")).endsWith("V")).toBe(true);
  });

  it("is the service manager's where that asks for one and no other is configured", async () => {
    const asked = { NOTIFY_SOCKET: "/run/none", WATCHDOG_USEC: "120000000" };
    const config = {} as AgentConfig;
    expect((await watchdogOf(config, asked))?.intervalMs).toBe(40_000);
    expect(await watchdogOf(config, {})).toBeUndefined();
  });

  it("is the reason of a start where its driver says so", async () => {
    const driver = path.join(folder, "watchdogs", "watchdog1");
    await mkdir(driver, { recursive: true });
    await mkdir(path.join(folder, "watchdogs", "watchdog0"));
    const cause = () => resetCause(path.join(folder, "watchdogs"));
    await writeFile(path.join(driver, "bootstatus"), "32\n");
    expect(await cause()).toBe("watchdog");
    await writeFile(path.join(driver, "bootstatus"), "0\n");
    expect(await cause()).toBe("power-on");
    expect(await resetCause(path.join(folder, "none"))).toBe("power-on");
  });
});

describe("what a machine tells about itself", () => {
  it("is the emptiest battery, the room on the disk and what was agreed to", async () => {
    const supplies = path.join(folder, "power");
    for (const [name, type, capacity] of [
      ["BAT0", "Battery", "80"],
      ["BAT1", "Battery", "35"],
      ["AC", "Mains", "0"],
    ] as const) {
      await mkdir(path.join(supplies, name), { recursive: true });
      await writeFile(path.join(supplies, name, "type"), `${type}\n`);
      await writeFile(path.join(supplies, name, "capacity"), `${capacity}\n`);
      await writeFile(path.join(supplies, name, "status"), "Discharging\n");
    }
    const facts = hostFacts(folder, supplies);
    expect(await facts.battery()).toEqual({ percent: 35, charging: false });
    expect(await hostFacts(folder, path.join(folder, "none")).battery()).toBeUndefined();
    expect(await facts.freeBytes()).toBeGreaterThan(0);
    expect(await facts.consentedTo()).toBeUndefined();
    await writeFile(path.join(folder, "consent"), "1.1.0\n");
    expect(await facts.consentedTo()).toBe("1.1.0");
  });
});

describe("the configuration file", () => {
  const minimal = { provisioning: "id", data: "data" };
  const read = async (changes: object) => {
    const file = path.join(folder, "agent.json");
    await writeFile(file, JSON.stringify({ ...minimal, ...changes }));
    return readAgentConfig(file);
  };

  it("takes components, conditions, a self-test and a watchdog", async () => {
    const config = await read({
      components: [
        { component: "app", kind: "file", path: "app.bin", mode: 493 },
        { component: "radio", kind: "command", install: ["/x", "{file}"], revert: ["/y"] },
      ],
      conditions: { windows: [{ days: [6, 0], from: "23:00", to: "04:30" }], consent: true },
      selfTest: { services: ["app.service"], timeoutSeconds: 30 },
      watchdog: { kind: "device", intervalSeconds: 5 },
    });
    expect(config.components?.[0]).toMatchObject({ path: path.join(folder, "app.bin") });
  });

  it.each([
    [{ conditions: { windows: [{ from: "24:00", to: "1:00" }] } }, "/conditions"],
    [{ components: [{ component: "../x", kind: "file", path: "a" }] }, "/components"],
    [{ selfTest: { script: "x" } }, "/selfTest"],
    [{ watchdog: { kind: "dog" } }, "/watchdog"],
  ])("refuses %o by its place", async (changes, where) => {
    await expect(read(changes)).rejects.toThrow(where);
  });
});
