import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { turnOf } from "../../src/rollouts/turns.ts";

describe("the turns of a long list", () => {
  it("come to everybody within a round, each at most a span long", () => {
    fc.assert(
      fc.property(
        fc.nat(1_000_000_000),
        fc.nat(500),
        fc.integer({ min: 1, max: 5_000 }),
        fc.integer({ min: 1, max: 900 }),
        (from, first, size, span) => {
          const everyMs = 5_000;
          const seen = new Set<number>();
          const turns = Math.ceil(size / span) + 1;
          // One more than a round: it begins wherever the clock happens to be.
          for (let turn = 0; turn < turns; turn += 1) {
            const list = { first, past: first + size, span };
            const ranges = turnOf(from + turn * everyMs, everyMs, list);
            const length = ranges.reduce((sum, [start, end]) => sum + end - start, 0);
            expect(length).toBe(Math.min(size, span));
            for (const [start, end] of ranges) {
              expect(start).toBeGreaterThanOrEqual(first);
              expect(end).toBeLessThanOrEqual(first + size);
              for (let at = start; at < end; at += 1) seen.add(at);
            }
          }
          expect(seen.size).toBe(size);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("are none of an empty list", () => {
    expect(turnOf(1, 5_000, { first: 3, past: 3, span: 10 })).toEqual([]);
  });
});
