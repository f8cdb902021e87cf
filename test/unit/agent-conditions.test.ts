import { describe, expect, it } from "vitest";
import {
  CONDITION_DEFAULTS,
  type ConditionFacts,
  type Conditions,
  isWithin,
  unmetCondition,
} from "../../src/agent/index.ts";
import { restOfComponents } from "../../src/agent/update/update-steps.ts";
import { startBench } from "../support/bench-device.ts";

const HOUR_MS = 3_600_000;

function facts(changes: Partial<ConditionFacts> = {}): ConditionFacts {
  return {
    freeBytes: async () => 10_000_000,
    battery: async () => undefined,
    consentedTo: async () => undefined,
    // Virtual clocks begin at a time of their own: what counts is the hour.
    localTime: (nowMs) => ({ day: 1, minute: Math.floor((nowMs % (24 * HOUR_MS)) / 60_000) }),
    ...changes,
  };
}

const QUESTION = { updateId: "u-1", version: "1.1.0", neededBytes: 1_000, nowMs: 0 };

describe("the conditions of an update", () => {
  it.each([
    [{ from: "22:00", to: "04:00" }, { day: 1, minute: 23 * 60 }, true],
    [{ from: "22:00", to: "04:00" }, { day: 1, minute: 3 * 60 }, true],
    [{ from: "22:00", to: "04:00" }, { day: 1, minute: 4 * 60 }, false],
    [{ days: [0], from: "22:00", to: "04:00" }, { day: 1, minute: 3 * 60 }, true],
    [{ days: [0], from: "22:00", to: "04:00" }, { day: 1, minute: 23 * 60 }, false],
    [{ days: [1, 2], from: "02:00", to: "02:30" }, { day: 2, minute: 149 }, true],
    [{ days: [1, 2], from: "02:00", to: "02:30" }, { day: 2, minute: 150 }, false],
    [{ from: "00:00", to: "00:00" }, { day: 3, minute: 700 }, true],
  ])("%o at %o: %s", (window, local, within) => {
    expect(isWithin(window, local)).toBe(within);
  });

  it.each([
    ["consent", { consent: true }, facts(), true],
    ["consent", { consent: true }, facts({ consentedTo: async () => "1.0.9" }), true],
    ["battery", { minBatteryPercent: 50 }, facts({ battery: async () => charge(49) }), true],
    ["free-space", { minFreeBytes: 9_999_001 }, facts(), false],
  ])("%s stands in the way", async (element, changes, known, restarts) => {
    const rules = { ...CONDITION_DEFAULTS, ...changes };
    const unmet = await unmetCondition({ rules, facts: known }, { ...QUESTION, restarts });
    expect(unmet?.element).toBe(element);
  });

  it.each([
    [{ consent: true }, facts({ consentedTo: async () => "u-1" })],
    [{ consent: true }, facts({ consentedTo: async () => "1.1.0" })],
    [{ minBatteryPercent: 50 }, facts({ battery: async () => charge(10, true) })],
    [{ minBatteryPercent: 50 }, facts({ battery: async () => charge(50) })],
    [{ minBatteryPercent: 50 }, facts()],
  ])("%o holds", async (changes, known) => {
    const rules = { ...CONDITION_DEFAULTS, ...changes };
    for (const restarts of [true, false]) {
      const question = { ...QUESTION, restarts };
      expect(await unmetCondition({ rules, facts: known }, question)).toBeUndefined();
    }
  });
});

it("asks for no room twice: what a component has staged is on the disk already", () => {
  const named = ["aa", "bb", "cc"].map((sha256) => ({
    ...{ component: sha256, name: `${sha256}.bin`, sha256, sizeBytes: 1_000 },
  }));
  const components = [
    { component: "aa", sha256: "aa", stagedBytes: 400, state: "wanted" as const },
    { component: "bb", sha256: "bb", stagedBytes: 1_000, state: "fetched" as const },
  ];
  expect(restOfComponents({ components } as never, named)).toBe(600 + 0 + 1_000);
});

function charge(percent: number, charging = false) {
  return { percent, charging };
}

function conditions(rules: Partial<Conditions["rules"]>, known: ConditionFacts): Conditions {
  return { rules: { ...CONDITION_DEFAULTS, minFreeBytes: 0, ...rules }, facts: known };
}

describe("an update under conditions", () => {
  it("waits for a person's consent before it fetches anything, and says so", async () => {
    let agreed: string | undefined;
    const known = facts({ consentedTo: async () => agreed });
    const bench = await startBench({
      machine: { conditions: conditions({ consent: true }, known) },
    });
    bench.platform.assign(bench.device, bench.newRelease, [bench.patchOffer]);
    const last = () => bench.platform.updateStates(bench.device).at(-1);
    await bench.until(() => last()?.waitingFor?.element === "consent");
    expect(bench.machine.status().downloadedBytes).toBe(0);
    agreed = "1.1.0";
    await bench.until(() => last()?.phase === "succeeded");
  });

  it("fetches and builds at once, and restarts within the maintenance window", async () => {
    let minute = 12 * 60;
    const windows = [{ from: "02:00", to: "03:00" }];
    const known = facts({ localTime: () => ({ day: 1, minute }) });
    const bench = await startBench({ machine: { conditions: conditions({ windows }, known) } });
    bench.platform.assign(bench.device, bench.newRelease, [bench.patchOffer]);
    const last = () => bench.platform.updateStates(bench.device).at(-1);
    await bench.until(() => last()?.waitingFor?.element === "maintenance-window");
    expect(bench.machine.status().downloadedBytes).toBe(bench.patchOffer.sizeBytes);
    expect(bench.running()?.version).toBe("1.0.0");
    minute = 2 * 60;
    await bench.until(() => last()?.phase === "succeeded");
  });

  it("waits longer than its phase has, says so again, and has the phase's time anew afterwards", async () => {
    let percent = 3;
    const known = facts({ battery: async () => charge(percent) });
    const rules = { minBatteryPercent: 30 };
    const bench = await startBench({ machine: { conditions: conditions(rules, known) } });
    bench.platform.assign(bench.device, bench.newRelease, [bench.patchOffer]);
    const states = () => bench.platform.updateStates(bench.device);
    const isWaiting = () => states().at(-1)?.waitingFor?.element === "battery";
    await bench.until(isWaiting);
    const before = bench.clock.now();
    await bench.until(() => bench.clock.now() - before > 2 * HOUR_MS, 3 * HOUR_MS);
    expect(isWaiting()).toBe(true);
    const told = states().filter(({ waitingFor }) => waitingFor).length;
    expect(told).toBeGreaterThan(8);
    expect(told).toBeLessThan(16);
    // The phase began hours before: a start of the machine does not make that a delay either.
    bench.machine.powerOff();
    percent = 80;
    bench.machine.powerOn();
    await bench.until(() => states().at(-1)?.phase === "succeeded");
  });

  it("fails by the name of what it waited for, where that lasts until the assignment has expired", async () => {
    const known = facts({ battery: async () => charge(3) });
    const rules = { minBatteryPercent: 30 };
    const bench = await startBench({ machine: { conditions: conditions(rules, known) } });
    const expires = new Date(bench.clock.now() + 1.5 * HOUR_MS).toISOString();
    bench.platform.assign(bench.device, bench.newRelease, [bench.patchOffer], { expires });
    const last = () => bench.platform.updateStates(bench.device).at(-1);
    await bench.until(() => last()?.phase === "failed", 4 * HOUR_MS);
    expect(last()?.error).toMatchObject({ element: "battery" });
    expect(last()?.error?.message).toContain("3 % are left, 30 % are needed");
  });

  it("fails at once where there is no room, and leaves nothing behind", async () => {
    const known = facts({ freeBytes: async () => 500 });
    const bench = await startBench({ machine: { conditions: conditions({}, known) } });
    bench.platform.assign(bench.device, bench.newRelease, [bench.patchOffer]);
    const last = () => bench.platform.updateStates(bench.device).at(-1);
    await bench.until(() => last()?.phase === "failed", 60_000);
    expect(last()?.error?.element).toBe("free-space");
    expect(bench.machine.status().downloadedBytes).toBe(0);
  });
});
