import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type ChainOfTrust,
  Configurations,
  openFileStorage,
  SETTINGS_FILE,
  type Storage,
} from "../../src/agent/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import {
  CONFIGURATION_CHECKS,
  type Configuration,
  type ConfigurationFacts,
  type Envelope,
  isConfigurationEnvelope,
  signDocument,
  verifyConfiguration,
} from "../../src/protocol/index.ts";
import { makeKey, makeOnlineKeys, makeRoot, YEAR_MS } from "../support/signing.ts";

const keys = { root: makeKey(), release: [makeKey(), makeKey()] };
const root = makeRoot("acme", keys, makeOnlineKeys()).signed;
const NOW = Date.now();

function configuration(
  version: number,
  change: Partial<Configuration> = {},
  signers = keys.release,
): Envelope<Configuration> {
  const signed: Configuration = {
    ...{ _type: "configuration", specVersion: 1, tenant: "acme", product: "hub", version },
    createdAt: new Date(NOW).toISOString(),
    expires: new Date(NOW + YEAR_MS).toISOString(),
    settings: { interval: version },
    scripts: [{ name: "first", run: "boot", content: `run ${version}` }],
    firmwareVariables: [],
    ...change,
  };
  return signDocument(signed, signers);
}

const facts: ConfigurationFacts = {
  ...{ tenant: "acme", product: "hub", floor: 2, versionInForce: 4, trustedTimeMs: NOW },
};

describe("a configuration", () => {
  test("that is signed, newer and meant for this device is accepted", () => {
    expect(verifyConfiguration(configuration(5), root, facts)).toMatchObject({ accepted: true });
  });

  const altered = configuration(5);
  altered.signed.settings = { interval: 6 };
  const bad: [string, unknown][] = [
    ["format", { signed: { _type: "configuration" }, signatures: [] }],
    ["signature", altered],
    ["signature", configuration(5, {}, [keys.release[0]!])],
    ["signature", configuration(5, {}, [keys.root, makeKey()])],
    ["tenant", configuration(5, { tenant: "other" })],
    ["product", configuration(5, { product: "lamp" })],
    ["floor", configuration(1)],
    ["version", configuration(4)],
    ["expiry", configuration(5, { expires: new Date(NOW - 1).toISOString() })],
    ["expiry", configuration(5, { expires: "soon" })],
  ];
  test.each(bad)("fails at %s", (check, envelope) => {
    expect(verifyConfiguration(envelope, root, facts)).toMatchObject({ accepted: false, check });
  });

  test("has a case for every check: none is decoration", () => {
    expect(new Set(bad.map(([check]) => check))).toEqual(new Set(CONFIGURATION_CHECKS));
  });

  test.each([
    ["a script without a name", { scripts: [{ name: "", run: "boot", content: "" }] }],
    ["a script with a path", { scripts: [{ name: "../x", run: "boot", content: "" }] }],
    ["too long a script", { scripts: [{ name: "x", run: "boot", content: "x".repeat(20_000) }] }],
    ["a script at another time", { scripts: [{ name: "x", run: "daily", content: "" }] }],
    ["settings that are a list", { settings: [] }],
    ["a version below one", { version: 0 }],
    ["a variable without a namespace", { firmwareVariables: [{ name: "db", payload: "" }] }],
  ])("with %s is malformed", (_, change) => {
    const envelope = configuration(5, change as Partial<Configuration>);
    expect(isConfigurationEnvelope(envelope)).toBe(false);
  });

  test("that is in force stays so after its expiry, and not below the floor", () => {
    const stored = { ...facts, versionInForce: null };
    const late = configuration(3, { expires: new Date(NOW - 1).toISOString() });
    expect(verifyConfiguration(late, root, stored).accepted).toBe(true);
    expect(verifyConfiguration(configuration(1), root, stored)).toMatchObject({ check: "floor" });
  });
});

describe("the device", () => {
  let folder: string;
  let storage: Storage;
  let ran: string[];
  let failing: RegExp;
  let floor: number;
  let written: string[];
  const chain: ChainOfTrust = {
    describe: async () => ({
      kind: "uefi",
      secureBoot: true,
      setupMode: false,
      keys: {},
      stages: [],
    }),
    floors: async () => ({ security: 0, configuration: floor }),
    async write({ name }) {
      if (name === "KEK") throw new Error("EPERM");
      written.push(name);
      floor = 7;
    },
  };

  beforeEach(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-configuration-"));
    storage = await openFileStorage(folder);
    ran = [];
    failing = /^$/;
    floor = 0;
    written = [];
  });
  afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

  async function boot(): Promise<Configurations> {
    const configurations = new Configurations({
      ...{ root: () => root, storage, chain, clock: systemClock, trustedNow: () => NOW },
      identity: { tenant: "acme", product: "hub" },
      async runScript(content) {
        ran.push(content);
        return { status: failing.test(content) ? 3 : 0, output: "out" };
      },
      log() {},
      life: new AbortController().signal,
    });
    await configurations.start();
    return configurations;
  }
  const settings = () => JSON.parse(fs.readFileSync(path.join(folder, SETTINGS_FILE), "utf8"));
  const file = (name: string) => path.join(folder, name);

  test("takes newer ones over, keeps the one before, and runs the scripts at each start", async () => {
    const configurations = await boot();
    expect(configurations.stage()).toMatchObject({ version: "0", source: "built-in" });
    expect(await configurations.apply(configuration(1))).toEqual({ version: 1 });
    await configurations.apply(configuration(2));
    expect(settings()).toEqual({ interval: 2 });
    await expect(configurations.apply(configuration(2))).rejects.toThrow(
      /version 2 is not above 2/,
    );
    await expect(configurations.apply({ hello: 1 })).rejects.toThrow(/format/);
    ran = [];
    expect((await boot()).stage()).toMatchObject({ version: "2", source: "current" });
    expect(ran).toEqual(["run 2"]);
  });

  test("takes back one whose script fails, and says which", async () => {
    const configurations = await boot();
    await configurations.apply(configuration(1));
    failing = /run 2/;
    await expect(configurations.apply(configuration(2))).rejects.toThrow(
      /taken back: version 2, script first: exit status 3: out/,
    );
    expect(settings()).toEqual({ interval: 1 });
    expect(configurations.stage()).toMatchObject({
      ...{ version: "1", source: "current", fault: expect.stringContaining("version 2") },
    });
    failing = /^$/;
    await configurations.apply(configuration(2));
    expect(configurations.stage().fault).toBeUndefined();
  });

  test("goes back to the previous one where the current was altered, and from both to its defaults", async () => {
    const configurations = await boot();
    await configurations.apply(configuration(1));
    await configurations.apply(configuration(2));
    fs.appendFileSync(file("configuration.json"), " ");
    ran = [];
    expect((await boot()).stage()).toMatchObject({ version: "1", source: "previous" });
    expect(ran).toEqual(["run 1"]);
    fs.writeFileSync(file("configuration.previous.json"), "{}");
    const last = await boot();
    expect(last.stage()).toMatchObject({ version: "0", source: "built-in" });
    expect(settings()).toEqual({});
    // The way out of it is any good configuration.
    await last.apply(configuration(3));
    expect((await boot()).stage()).toMatchObject({ version: "3", source: "current" });
  });

  test("refuses a replay below the floor, at a start too", async () => {
    const configurations = await boot();
    await configurations.apply(configuration(5));
    floor = 6;
    expect((await boot()).stage()).toMatchObject({
      ...{ source: "built-in", fault: expect.stringContaining("floor"), floor: 6 },
    });
  });

  test("raises floors last, and tells what the firmware refused", async () => {
    const configurations = await boot();
    const variable = { namespace: "56415554-4e00-4000-8000-000000000001", attributes: 39 };
    const write = (name: string) => ({ ...variable, name, payload: "AA==" });
    failing = /run 7/;
    await expect(
      configurations.apply(configuration(7, { firmwareVariables: [write("VautnFloor")] })),
    ).rejects.toThrow(/taken back/);
    expect(written).toEqual([]);
    failing = /^$/;
    await configurations.apply(
      configuration(8, { firmwareVariables: [write("VautnFloor"), write("KEK")] }),
    );
    expect(written).toEqual(["VautnFloor"]);
    expect(configurations.stage()).toMatchObject({ floor: 7, fault: "KEK: EPERM" });
  });

  test("goes back in a way that a fault of the current one cannot spoil", async () => {
    const configurations = await boot();
    await configurations.apply(configuration(1));
    await configurations.apply(configuration(2));
    fs.writeFileSync(file("configuration.json"), "not what was written");
    const second = await boot();
    await second.apply(configuration(3));
    fs.writeFileSync(file("configuration.json"), "damaged again");
    expect((await boot()).stage()).toMatchObject({ version: "1", source: "previous" });
  });
});
