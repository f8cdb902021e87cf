import { describe, expect, it } from "vitest";
import { CrlCache } from "../../src/identity/crl-cache.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { VirtualClock } from "../../src/kernel/virtual-clock.ts";

const HOUR_MS = 3_600_000;

describe("the cache of revocation lists", () => {
  it("goes on to give a list that is in force when no new one can be made, and tries again", async () => {
    const clock = new VirtualClock();
    const cache = new CrlCache({ clock, logger: createLogger({ level: "silent" }) });
    let made = 0;
    let isBroken = false;
    const make = async () => {
      if (isBroken) throw new Error("the token is away");
      made += 1;
      const full = {
        ...{ der: Buffer.from([made]), sha256: "", number: made, entries: 0 },
        thisUpdate: new Date(clock.now()),
        nextUpdate: new Date(clock.now() + 24 * HOUR_MS),
      };
      return { tenantId: "acme", full, delta: undefined };
    };
    const number = async () => (await cache.get("ca", make))?.full.number;
    expect(await number()).toBe(1);
    isBroken = true;
    cache.markTenant("acme");
    await clock.advance(HOUR_MS);
    expect(await number()).toBe(1);
    // Beyond its time it vouches for nobody.
    await clock.advance(24 * HOUR_MS);
    await expect(number()).rejects.toThrow("the token is away");
    isBroken = false;
    await clock.advance(HOUR_MS);
    expect(await number()).toBe(2);
  });
});
