import { describe, expect, it } from "vitest";
import { createBusyMeter } from "../../src/kernel/busy-meter.ts";
import { FairShare } from "../../src/kernel/fair-share.ts";
import { FairSlots } from "../../src/kernel/fair-slots.ts";

const COST_MS = 2;

/**
 * A process that takes 2 ms for each unit, on virtual time: `offered` units a second of each tenant,
 * which waits for its turn as a connection does that is not read meanwhile.
 */
function simulate(offered: Record<string, number>, seconds: number) {
  let now = 0;
  let workMs = 0;
  let askedAt = 0;
  const share = new FairShare({
    clock: { now: () => now },
    busy() {
      const part = Math.min(1, workMs / Math.max(1, now - askedAt));
      askedAt = now;
      workMs = 0;
      return part;
    },
    floorPerSecond: 20,
  });
  const tenants = Object.entries(offered).map(([id, rate]) => ({ id, rate, dueAt: 0, taken: 0 }));
  let waits = new Map<string, number>();
  let taken = new Map<string, number>();
  for (; now < seconds * 1_000; now += 1) {
    // The second half is what is looked at.
    if (now === seconds * 500) {
      waits = new Map();
      taken = new Map();
    }
    for (const tenant of tenants) {
      while (tenant.dueAt <= now) {
        const waitMs = share.take(tenant.id);
        workMs += COST_MS;
        waits.set(tenant.id, Math.max(waits.get(tenant.id) ?? 0, waitMs));
        taken.set(tenant.id, (taken.get(tenant.id) ?? 0) + 1);
        tenant.dueAt = Math.max(tenant.dueAt + 1_000 / tenant.rate, now + waitMs);
      }
    }
  }
  const rate = (id: string) => (taken.get(id) ?? 0) / (seconds / 2);
  return { rate, longestWait: (id: string) => waits.get(id) ?? 0, limit: share.limitPerSecond };
}

describe("a tenant's share of a process", () => {
  it("leaves room in the process, and never makes wait who takes little", () => {
    const { rate, longestWait } = simulate({ greedy: 2_000, calm: 10 }, 60);
    // 500 a second are all that the process could do.
    expect(rate("greedy")).toBeGreaterThan(250);
    expect(rate("greedy")).toBeLessThan(420);
    expect(longestWait("calm")).toBe(0);
    expect(rate("calm")).toBeCloseTo(10, 0);
  });

  it("is the same for all who would take more", () => {
    const { rate } = simulate({ greedy: 2_000, other: 1_000, calm: 10 }, 60);
    expect(rate("other") / rate("greedy")).toBeGreaterThan(0.9);
    expect(rate("other") / rate("greedy")).toBeLessThan(1.1);
    expect(rate("greedy") + rate("other")).toBeGreaterThan(250);
  });

  it("has no bounds for a tenant that is alone, or where there is room for all", () => {
    expect(simulate({ greedy: 2_000 }, 10).limit).toBe(Number.POSITIVE_INFINITY);
    const { limit, longestWait } = simulate({ one: 150, other: 100 }, 10);
    expect(limit).toBe(Number.POSITIVE_INFINITY);
    expect(longestWait("one")).toBe(0);
  });

  it("is never less than what keeps no process busy, whatever else does", () => {
    let now = 0;
    const share = new FairShare({ clock: { now: () => now }, busy: () => 1, floorPerSecond: 20 });
    for (; now < 60_000; now += 10) {
      share.take("greedy", 5);
      share.take("calm", 0.01);
    }
    expect(share.limitPerSecond).toBe(20);
    expect(share.waitOf("greedy")).toBeLessThanOrEqual(10_000);
    expect(share.waitOf("calm")).toBe(0);
  });

  it("is given back when the others are gone", () => {
    let now = 0;
    const share = new FairShare({ clock: { now: () => now }, busy: () => 1, floorPerSecond: 20 });
    share.take("calm");
    for (; now < 10_000; now += 10) share.take("greedy");
    expect(share.limitPerSecond).toBe(20);
    for (; now < 75_000; now += 10) share.take("greedy");
    expect(share.limitPerSecond).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("the slots of queries", () => {
  it("keep one for a tenant that has none, however many others ask for much", async () => {
    const limits = { running: 4, runningPerTenant: 2, waitingPerTenant: 9, waitMs: 60_000 };
    const slots = new FairSlots(limits);
    const ends: (() => void)[] = [];
    const begun: string[] = [];
    const ask = (tenantId: string) =>
      slots.run(tenantId, () => {
        begun.push(tenantId);
        return new Promise<void>((resolve) => ends.push(resolve));
      });
    const asked = ["a", "a", "a", "b", "b", "b", "calm"].map(ask);
    await new Promise((resolve) => setImmediate(resolve));
    expect(begun).toEqual(["a", "a", "b", "calm"]);
    for (let left = asked.length; left > 0; left -= 1) {
      ends.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(asked);
  });
});

describe("how busy a process is", () => {
  it("is most of the time in which its event loop does nothing but work", async () => {
    const busy = createBusyMeter();
    const end = performance.now() + 30;
    while (performance.now() < end);
    await new Promise((resolve) => setImmediate(resolve));
    expect(busy()).toBeGreaterThan(0.5);
    expect(busy()).toBeLessThanOrEqual(1);
  });
});
