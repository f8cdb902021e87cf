import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  catchUpMs,
  isRenewalDue,
  pace,
  shareOf,
} from "../../src/agent/identity/rotation-schedule.ts";

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2026, 0, 1);

describe("when a certificate is renewed", () => {
  it("is at two thirds of its life, at a moment of each device's own within a tenth", () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 1 }),
        fc.integer({ min: 1, max: 730 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (device, days, age) => {
          const life = { notBefore: NOW, notAfter: NOW + days * DAY_MS, obtainedAt: NOW + 60_000 };
          const due = isRenewalDue(life, shareOf("acme", device), NOW + age * days * DAY_MS);
          if (age < 0.66) expect(due).toBe(false);
          if (age > 0.77) expect(due).toBe(true);
        },
      ),
    );
  });

  it("spreads a fleet that was made in one hour over days", () => {
    const life = { notBefore: NOW, notAfter: NOW + 90 * DAY_MS, obtainedAt: null };
    const dayOf = (index: number) => {
      for (let day = 0; ; day += 1) {
        if (isRenewalDue(life, shareOf("acme", `d-${index}`), NOW + day * DAY_MS)) return day;
      }
    };
    const perDay = new Map<number, number>();
    for (let index = 0; index < 1_000; index += 1) {
      const day = dayOf(index);
      perDay.set(day, (perDay.get(day) ?? 0) + 1);
    }
    expect(Math.max(...perDay.values())).toBeLessThan(200);
    expect(perDay.size).toBeGreaterThanOrEqual(9);
  });

  it("happens by a clock that is wrong at most once too often, and before the end by most clocks", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -60 * 365, max: 80 * 365 }),
        fc.integer({ min: 2, max: 400 }),
        fc.string({ minLength: 1 }),
        (skewDays, days, device) => {
          const lifetimeMs = days * DAY_MS;
          let life = {
            notBefore: NOW,
            notAfter: NOW + lifetimeMs,
            obtainedAt: null as number | null,
          };
          let rotations = 0;
          const lives = 6;
          const stepMs = lifetimeMs / 40;
          for (let trueMs = NOW; trueMs < NOW + lives * lifetimeMs; trueMs += stepMs) {
            const local = trueMs + skewDays * DAY_MS;
            // What was delivered can be judged only by a clock; the platform's refusal does it else.
            const refused = trueMs > life.notAfter;
            if (refused) expect(life.obtainedAt).toBeNull();
            if (!refused && !isRenewalDue(life, shareOf(device, String(rotations)), local))
              continue;
            rotations += 1;
            life = { notBefore: trueMs, notAfter: trueMs + lifetimeMs, obtainedAt: local };
          }
          expect(rotations).toBeGreaterThanOrEqual(lives - 1);
          expect(rotations).toBeLessThanOrEqual(Math.ceil(lives / (2 / 3)) + 1);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("never ends in asking without end, whatever the clock does", () => {
    const jumps = fc.array(fc.integer({ min: -50 * 365, max: 50 * 365 }), { maxLength: 5 });
    fc.assert(
      fc.property(jumps, (skews) => {
        let life = {
          notBefore: NOW,
          notAfter: NOW + 90 * DAY_MS,
          obtainedAt: null as number | null,
        };
        let rotations = 0;
        const span = 360 * DAY_MS;
        for (let age = 0; age < span; age += DAY_MS) {
          const phase = Math.floor((age / span) * (skews.length + 1));
          const local = NOW + age + (skews[phase] ?? 0) * DAY_MS;
          if (!isRenewalDue(life, 0.5, local)) continue;
          rotations += 1;
          const notBefore = NOW + age;
          life = { notBefore, notAfter: notBefore + 90 * DAY_MS, obtainedAt: local };
        }
        expect(rotations).toBeLessThanOrEqual(7 + skews.length);
      }),
    );
  });

  it("does not wait long for others once the end is near", () => {
    const life = { notBefore: NOW, notAfter: NOW + 90 * DAY_MS };
    expect(catchUpMs(life, NOW + 61 * DAY_MS)).toBe(3_600_000);
    expect(catchUpMs(life, NOW + 90 * DAY_MS - 600_000)).toBe(150_000);
    expect(catchUpMs(life, NOW + 900 * DAY_MS)).toBe(30_000);
  });

  it("is looked after often enough for a life of an hour, and not too often for two years", () => {
    const paceOf = (lifetimeMs: number) => pace({ notBefore: 0, notAfter: lifetimeMs });
    expect(paceOf(3_600_000).checkEveryMs).toBeLessThanOrEqual(20_000);
    expect(paceOf(730 * DAY_MS)).toEqual({ checkEveryMs: 3_600_000, spreadMs: 3_600_000 });
  });
});
