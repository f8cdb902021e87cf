import { describe, expect, it } from "vitest";
import { FairSlots } from "../../src/kernel/fair-slots.ts";

const LIMITS = { running: 3, runningPerTenant: 2, waitingPerTenant: 4, waitMs: 60_000 };

/** Work that ends when it is told to; `begun` is in the order of its beginning. */
function workshop(limits = LIMITS) {
  const slots = new FairSlots(limits);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const run = (tenantId: string, name: string) =>
    slots.run(tenantId, () => {
      begun.push(name);
      return new Promise<void>((resolve) => ends.set(name, resolve));
    });
  const end = async (name: string) => {
    ends.get(name)?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { begun, run, end };
}
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("the slots of telemetry queries", () => {
  it("let a tenant that comes later in before the many of another", async () => {
    const { begun, run, end } = workshop();
    const heavy = ["h1", "h2", "h3", "h4", "h5"].map((name) => run("heavy", name));
    const light = run("light", "l1");
    await settle();
    // One slot is never taken by a tenant that has one already.
    expect(begun).toEqual(["h1", "h2", "l1"]);
    const more = run("light", "l2");
    const third = run("third", "t1");
    await end("h1");
    await end("h2");
    expect(begun).toEqual(["h1", "h2", "l1", "t1", "h3"]);
    await end("l1");
    await end("t1");
    expect(begun.slice(5)).toEqual(["l2"]);
    for (const name of ["h3", "l2", "h4"]) await end(name);
    await end("h5");
    await Promise.all([...heavy, light, more, third]);
  });

  it("refuse where a tenant's queue is full, and nobody else for it", async () => {
    const { run, end } = workshop();
    const heavy = Array.from({ length: 6 }, (_, index) => run("heavy", `h${index}`));
    await expect(run("heavy", "one more")).rejects.toMatchObject({ code: "rate-limited" });
    const light = run("light", "l");
    await settle();
    for (const name of ["l", "h0", "h1", "h2", "h3", "h4", "h5"]) await end(name);
    await Promise.all([...heavy, light]);
  });

  it("tell who waited too long, and give its place to nobody who has gone", async () => {
    const { begun, run, end } = workshop({ ...LIMITS, running: 1, waitMs: 20 });
    const first = run("a", "first");
    await expect(run("b", "late")).rejects.toMatchObject({ code: "rate-limited" });
    await end("first");
    await first;
    const next = run("b", "next");
    await settle();
    await end("next");
    await next;
    expect(begun).toEqual(["first", "next"]);
  });

  it("are free again after a failure", async () => {
    const slots = new FairSlots({ ...LIMITS, running: 1, runningPerTenant: 1 });
    for (let turn = 0; turn < 3; turn += 1) {
      await expect(slots.run("a", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    }
    expect(await slots.run("a", async () => 1)).toBe(1);
  });
});
