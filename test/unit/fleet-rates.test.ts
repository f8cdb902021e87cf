import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crashSignature } from "../../src/devices/crash-signature.ts";
import { compareRates, rateOf } from "../../src/devices/rates.ts";

describe("a rate of rare events", () => {
  it("has the interval that the tables of the Poisson distribution give", () => {
    // Exact 95 % limits for counts of 1, 10 and 100: Ulm, Am J Epidemiol 131 (1990), 373.
    for (const [events, low, high] of [
      [1, 0.025, 5.57],
      [10, 4.8, 18.39],
      [100, 81.36, 121.63],
    ] as const) {
      const rate = rateOf({ events, deviceHours: 1_000 });
      expect(rate.rate).toBe(events);
      expect(Math.abs((rate.low as number) - low)).toBeLessThan(0.04);
      expect(Math.abs((rate.high as number) - high) / high).toBeLessThan(0.01);
    }
    expect(rateOf({ events: 0, deviceHours: 1_000 })).toMatchObject({ rate: 0, low: 0 });
    expect(rateOf({ events: 0, deviceHours: 0 }).rate).toBe(null);
  });
});

describe("the comparison of two rates", () => {
  it("says better, worse, no difference, or too little", () => {
    const verdict = (target: number, source: number, hours = 1_000) =>
      compareRates({ events: target, deviceHours: hours }, { events: source, deviceHours: 1_000 })
        .verdict;
    expect(verdict(30, 10)).toBe("worse");
    expect(verdict(10, 30)).toBe("better");
    expect(verdict(10, 11)).toBe("no-difference-shown");
    expect(verdict(1, 2)).toBe("too-little-to-say");
    expect(verdict(0, 0)).toBe("too-little-to-say");
    expect(verdict(10, 0, 0)).toBe("too-little-to-say");
    // Three times the events in three times the hours are no difference.
    expect(verdict(30, 10, 3_000)).toBe("no-difference-shown");
    expect(
      compareRates({ events: 30, deviceHours: 1_000 }, { events: 10, deviceHours: 1_000 }).ratio,
    ).toBeCloseTo(3);
  });

  it("covers the true ratio about as often as it claims", () => {
    // Seeded: Poisson counts by a linear congruential generator, mean 20 and 40, true ratio 0.5.
    let state = 7;
    const uniform = () => {
      state = (state * 48_271) % 2_147_483_647;
      return state / 2_147_483_647;
    };
    const poisson = (mean: number) => {
      let count = 0;
      for (let left = Math.exp(-mean), product = uniform(); product > left; count += 1) {
        product *= uniform();
      }
      return count;
    };
    let covered = 0;
    for (let run = 0; run < 2_000; run += 1) {
      const target = { events: poisson(20), deviceHours: 100 };
      const { low, high } = compareRates(target, { events: poisson(40), deviceHours: 100 });
      if (low <= 0.5 && (high === null || high >= 0.5)) covered += 1;
    }
    expect(covered / 2_000).toBeGreaterThan(0.93);
    expect(covered / 2_000).toBeLessThan(0.98);
  });

  it("is bounded by its own interval", () => {
    fc.assert(
      fc.property(fc.nat(500), fc.nat(500), fc.integer({ min: 1, max: 1e6 }), (a, b, hours) => {
        const target = { events: a, deviceHours: hours };
        const { ratio, low, high } = compareRates(target, { events: b, deviceHours: 1_000 });
        if (ratio === null) return;
        // A ratio of nothing is 0, and its bound as near to it as rounding leaves it.
        expect(low).toBeLessThanOrEqual(ratio * (1 + 1e-9) + 1e-12);
        if (high !== null) expect(high * (1 + 1e-9)).toBeGreaterThanOrEqual(ratio);
      }),
    );
  });
});

describe("the signature of a crash", () => {
  const signature = (message: string, reason = "panic") =>
    crashSignature("crash", { reason, message });

  it("leaves out what differs from one crash to the next", () => {
    expect(signature("assertion failed at 0x7ffe12 in task 17")).toBe(
      signature("assertion failed at 0x80aa00 in task 4"),
    );
    expect(signature('sensor "kitchen" gave 21.5')).toBe("crash: panic: sensor <text> gave <n>");
    expect(signature("job 1b4e28ba-2fa1-11d2-883f-0016d3cca427 hung")).toContain("<id>");
    expect(signature("out of memory")).not.toBe(signature("null pointer"));
  });

  it("tells kinds apart, and says nothing of silence", () => {
    expect(crashSignature("fallback", {})).toBe("fallback");
    expect(crashSignature("silence", { message: "x" })).toBe(null);
    expect(signature("x\0y".repeat(500))?.length).toBeLessThanOrEqual(200);
    expect(signature("x\0y")).not.toContain("\0");
  });
});
