import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { steadyMean } from "../../src/kernel/steady-mean.ts";

const value = fc.double({ min: -1e6, max: 1e6, noNaN: true });
const honest = fc.array(value, { minLength: 3, maxLength: 100 });

describe("the mean over devices", () => {
  it("stays among what the others say, whatever one device sends", () => {
    fc.assert(
      fc.property(honest, fc.double(), (others, lie) => {
        const mean = steadyMean([...others, lie]) as number;
        expect(mean).toBeGreaterThanOrEqual(Math.min(...others) - 1e-6);
        expect(mean).toBeLessThanOrEqual(Math.max(...others) + 1e-6);
      }),
    );
  });

  it("is the plain mean of a fleet without outliers", () => {
    expect(steadyMean([1, 1, 2, 2])).toBe(1.5);
    expect(steadyMean([1, 3])).toBe(2);
    expect(steadyMean([7])).toBe(7);
  });

  it("hears what more than a twentieth of the fleet says", () => {
    const fleet = Array.from({ length: 100 }, (_, index) => (index < 10 ? 90 : 20));
    expect(steadyMean(fleet)).toBeCloseTo(27, 5);
  });

  it("is none where there is nothing to say", () => {
    expect(steadyMean([])).toBeNull();
    expect(steadyMean([Number.NaN, Number.POSITIVE_INFINITY])).toBeNull();
  });
});
