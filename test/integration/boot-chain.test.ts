import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { compileFleetQuery } from "../../src/devices/index.ts";
import type { BootChain } from "../../src/protocol/index.ts";
import { createRolloutFleet, QUICK_POLICY, type RolloutFleet } from "../support/rollout-fleet.ts";

const CHAIN: BootChain = {
  kind: "uefi",
  secureBoot: true,
  setupMode: false,
  keys: { PK: "a".repeat(64) },
  stages: [
    { stage: "loader", version: "systemd-boot 252" },
    { stage: "system", version: "1.0.0", counter: 1, floor: 1 },
    { stage: "configuration", version: "3", counter: 3, floor: 2, source: "current" },
  ],
};

let f: RolloutFleet;
beforeEach(async () => {
  f = await createRolloutFleet({ devices: 6 });
});
afterEach(() => f.close());

type Unit = RolloutFleet["fleet"][0];
const device = (index: number) => f.fleet[index] as Unit;
const chainOf = async (unit: Unit) => (await f.devices.get(f.tenant, unit.id)).bootChain;

function record(unit: Unit, bootChain?: BootChain) {
  unit.seq += 1;
  return {
    ...{ tenantId: f.tenant, deviceId: unit.id, receivedAt: f.clock.now() },
    heartbeat: {
      ...{ ts: f.clock.now(), seq: unit.seq, bootId: unit.bootId, uptimeSeconds: 1 },
      firmware: unit.running,
      ...(bootChain ? { bootChain } : {}),
    },
  };
}

async function found(query: string): Promise<string[]> {
  const { items } = await f.devices.list(f.tenant, { query });
  return items.map(({ id }) => id);
}

describe("the boot chain of a device", () => {
  it("is kept while it runs on, though told once, and forgotten with another boot", async () => {
    const unit = device(0);
    // In one batch: the later heartbeat, which says nothing of it, must not hide the earlier.
    await f.devices.recordHeartbeats([record(unit, CHAIN), record(unit)]);
    expect(await chainOf(unit)).toEqual(CHAIN);
    await f.devices.recordHeartbeats([record(unit)]);
    expect(await chainOf(unit)).toEqual(CHAIN);
    unit.bootId = "another";
    await f.devices.recordHeartbeats([record(unit)]);
    expect(await chainOf(unit)).toBeNull();
  });

  it("is not carried over to another boot within one batch", async () => {
    const unit = device(0);
    const before = record(unit, CHAIN);
    unit.bootId = "another";
    await f.devices.recordHeartbeats([before, record(unit)]);
    expect(await chainOf(unit)).toBeNull();
  });

  it("is found by the fleet query secureBoot, which believes no machine in setup mode", async () => {
    await f.devices.recordHeartbeats([
      record(device(0), CHAIN),
      record(device(1), { ...CHAIN, secureBoot: false }),
      record(device(2), { ...CHAIN, setupMode: true }),
    ]);
    expect(await found("secureBoot")).toEqual([device(0).id]);
    expect(await found("secureBoot = true")).toEqual([device(0).id]);
    expect(await found("not secureBoot")).toHaveLength(f.fleet.length - 1);
    expect(() => compileFleetQuery("secureBoot < 3")).toThrow(/true or false/);
  });
});

describe("a rollout that asks for Secure Boot", () => {
  const policy = {
    ...QUICK_POLICY,
    stages: [{ name: "all", percent: 100 }],
    holdbackPercent: 0,
    requireSecureBoot: true,
  };

  it("plans only devices that report it, and says of the others why", async () => {
    await f.devices.recordHeartbeats([record(device(0), CHAIN), record(device(1), CHAIN)]);
    const release = await f.publish("1.1.0");
    const wish = { name: "next", releaseId: release.id, query: "", policy };
    const plan = await f.rollouts.plan(f.tenant, wish);
    expect(plan.excluded).toHaveLength(f.fleet.length - 2);
    expect(plan.excluded[0]?.reason).toMatch(/Secure Boot/);
  });

  it("offers nothing to a device that has been started without it since", async () => {
    const [honest, changed] = [device(0), device(1)];
    await f.devices.recordHeartbeats([record(honest, CHAIN), record(changed, CHAIN)]);
    const release = await f.publish("1.1.0");
    const id = await f.create(release.id, policy);
    changed.bootId = "without";
    await f.devices.recordHeartbeats([record(changed)]);
    await f.run(20);
    expect([honest.running.version, changed.running.version]).toEqual(["1.1.0", "1.0.0"]);
    const { items } = await f.rollouts.devices(f.tenant, id, {});
    const ended = items.find(({ deviceId }) => deviceId === changed.id);
    expect(ended).toMatchObject({ state: "withdrawn", failure: { element: "secure-boot" } });
  });
});
