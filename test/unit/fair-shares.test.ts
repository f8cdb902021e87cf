import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createConnectionShares } from "../../src/db/connection-shares.ts";
import { createTenantLanes } from "../../src/jobs/tenant-lanes.ts";
import { startTicker } from "../../src/jobs/ticker.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createRecentUse } from "../../src/kernel/recent-use.ts";

const logger = createLogger({ level: "silent" });
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** Work that ends when it is told to. */
function createWork() {
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const work = (name: string) => {
    begun.push(name);
    return new Promise<void>((resolve) => ends.push(resolve));
  };
  return { begun, work, endOldest: () => ends.shift()?.() };
}

describe("a tenant's share of the database's connections", () => {
  it("leaves some to the others, however much the one asks for", async () => {
    const shares = createConnectionShares(8, 10_000);
    const { begun, work, endOldest } = createWork();
    const all = Array.from({ length: 20 }, () => shares.run("greedy", () => work("greedy")));
    all.push(shares.run("calm", () => work("calm")));
    await settled();
    expect(begun).toEqual([...Array(6).fill("greedy"), "calm"]);
    for (let left = all.length; left > 0; left -= 1) {
      endOldest();
      await settled();
    }
    await Promise.all(all);
    expect(begun.filter((name) => name === "greedy")).toHaveLength(20);
  });

  it("lets in at once what is part of a transaction, and nothing that has outlived it", async () => {
    const shares = createConnectionShares(8, 10_000);
    const { begun, work, endOldest } = createWork();
    let later: () => Promise<void> = async () => {};
    await shares.run("acme", async () => {
      // Bound to this transaction, and called when it is over.
      later = await new Promise((resolve) => {
        setImmediate(() => resolve(() => shares.run("acme", () => work("later"))));
      });
    });
    const outer = Array.from({ length: 6 }, () =>
      shares.run("acme", () => shares.run("acme", () => work("inner"))),
    );
    const last = later();
    await settled();
    expect(begun).toEqual(Array(6).fill("inner"));
    for (let left = 7; left > 0; left -= 1) {
      endOldest();
      await settled();
    }
    await Promise.all([...outer, last]);
    expect(begun.at(-1)).toBe("later");
  });

  it("is given back where the work fails", async () => {
    const shares = createConnectionShares(5, 10_000);
    for (let time = 0; time < 10; time += 1) {
      await expect(shares.run("acme", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    }
    expect(await shares.run("acme", async () => "in")).toBe("in");
  });
});

describe("lanes for tenants", () => {
  const lanesOf = (atOnce: number, work: (tenantId: string) => Promise<unknown>) => {
    let now = 0;
    const news: boolean[] = [];
    const lanes = createTenantLanes({
      ...{ name: "test", atOnce, work, logger, ended: (hasMore) => news.push(hasMore) },
      clock: { now: () => ++now },
    });
    return { lanes, news };
  };

  it("keep nobody waiting behind another tenant's long work, and never run one's twice at once", async () => {
    const { begun, work, endOldest } = createWork();
    const { lanes } = lanesOf(2, work);
    lanes.begin(["greedy"]);
    lanes.begin(["greedy", "calm"]);
    lanes.begin(["greedy", "calm"]);
    expect(begun).toEqual(["greedy", "calm"]);
    endOldest();
    endOldest();
    await lanes.idle();
  });

  it("serve first whom they served longest ago", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), async (atOnce) => {
        const tenants = ["a", "b", "c", "d", "e", "f"];
        const served: string[] = [];
        const { lanes, news } = lanesOf(atOnce, async (tenantId) => served.push(tenantId));
        while (served.length < 24) {
          lanes.begin(tenants);
          await lanes.idle();
        }
        for (const tenant of tenants) {
          const times = served.slice(0, 24).filter((one) => one === tenant).length;
          expect(times).toBe(4);
        }
        expect(news.every(Boolean)).toBe(atOnce < tenants.length);
      }),
      { numRuns: 8 },
    );
  });

  it("tell of a failure with the next call, once, and go on for everybody else", async () => {
    const { lanes } = lanesOf(2, async (tenantId) => {
      if (tenantId === "bad") throw new Error("broken");
    });
    lanes.begin(["bad", "good"]);
    await lanes.idle();
    expect(() => lanes.begin(["good"])).toThrow("broken");
    await lanes.idle();
    lanes.begin(["good"]);
    await lanes.idle();
  });

  it("let who has failed rest, longer each time, and nobody else", async () => {
    let now = 0;
    const begun: string[] = [];
    const lanes = createTenantLanes({
      ...{ name: "test", atOnce: 2, logger, clock: { now: () => now } },
      async work(tenantId) {
        begun.push(`${tenantId} ${now}`);
        if (tenantId === "bad" && now < 4_000) throw new Error("broken");
      },
    });
    for (; now <= 8_000; now += 500) {
      try {
        lanes.begin(["bad", "good"]);
      } catch {
        // What has failed before; the others were begun all the same.
      }
      await lanes.idle();
    }
    expect(begun.filter((each) => each.startsWith("bad")).slice(0, 4)).toEqual([
      "bad 0",
      "bad 1000",
      "bad 3000",
      "bad 7000",
    ]);
    expect(begun.filter((each) => each.startsWith("good"))).toHaveLength(17);
  });

  it("do not slow a job that runs for all of them", async () => {
    const scheduled: number[] = [];
    let next: () => void = () => {};
    const clock = {
      now: () => 0,
      after: (delayMs: number, work: () => void) => {
        scheduled.push(delayMs);
        next = work;
        return { cancel() {} };
      },
    } as never;
    const errors = [new AggregateError([new Error("one tenant's")]), new Error("everybody's")];
    const job = { name: "test", everyMs: 1_000, run: () => Promise.reject(errors.shift()) };
    const ticker = startTicker(job, { clock, logger });
    next();
    await settled();
    next();
    await settled();
    await ticker.stop();
    expect(scheduled).toEqual([1_000, 1_000, 2_000]);
  });
});

describe("what a tenant has used of late", () => {
  it("fades by half in a minute and is one tenant's alone", () => {
    let now = 0;
    const recent = createRecentUse({ now: () => now });
    recent.add("acme", 8);
    now += 60_000;
    recent.add("acme", 1);
    expect(recent.of("acme")).toBeCloseTo(5);
    expect(recent.of("globex")).toBe(0);
    now += 3_600_000;
    expect(recent.of("acme")).toBeLessThan(0.001);
  });

  it("is held against nobody who has used less than all the others together", () => {
    const recent = createRecentUse({ now: () => 0 });
    recent.add("acme", 8);
    expect(recent.ofTheGreedy("acme")).toBe(8);
    expect([recent.ofOthers("acme"), recent.ofOthers("globex")]).toEqual([0, 8]);
    recent.add("globex", 5);
    recent.add("initech", 4);
    expect(recent.ofTheGreedy("acme")).toBe(0);
    expect(recent.ofTheGreedy("globex")).toBe(0);
  });

  it("is remembered of a bounded number of tenants", () => {
    const recent = createRecentUse({ now: () => 0 });
    for (let number = 0; number < 1_500; number += 1) recent.add(`t-${number}`, 1);
    expect(recent.of("t-0")).toBe(0);
    expect(recent.of("t-1499")).toBe(1);
  });
});
