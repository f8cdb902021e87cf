import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decideRange, matchesAny } from "../../src/device-http/range.ts";

const ETAG = '"abc"';
const decide = (range: string | undefined, sizeBytes = 1000, ifRange?: string) =>
  decideRange({ range, ifRange }, sizeBytes, ETAG);

describe("range requests", () => {
  it.each([
    ["bytes=0-99", { kind: "part", start: 0, end: 99 }],
    ["bytes=500-", { kind: "part", start: 500, end: 999 }],
    ["bytes=-10", { kind: "part", start: 990, end: 999 }],
    ["bytes=-5000", { kind: "part", start: 0, end: 999 }],
    ["bytes=990-5000", { kind: "part", start: 990, end: 999 }],
    ["bytes=1000-", { kind: "unsatisfiable" }],
    ["bytes=-0", { kind: "unsatisfiable" }],
    ["bytes=0-1,5-6", { kind: "whole" }],
    ["bytes=9-3", { kind: "whole" }],
    ["bytes=-", { kind: "whole" }],
    ["lines=1-2", { kind: "whole" }],
    ["bytes=1e3-", { kind: "whole" }],
    [undefined, { kind: "whole" }],
  ])("%s is answered by %j", (range, expected) => {
    expect(decide(range)).toEqual(expected);
  });

  it("drops the range when If-Range names another content, a weak tag or a date", () => {
    const part = { kind: "part", start: 5, end: 999 };
    expect(decide("bytes=5-", 1000, ETAG)).toEqual(part);
    for (const ifRange of ['"def"', `W/${ETAG}`, "Mon, 23 Nov 2026 09:00:00 GMT"]) {
      expect(decide("bytes=5-", 1000, ifRange)).toEqual({ kind: "whole" });
    }
  });

  it("never goes outside the content, whatever the header says", () => {
    const header = fc.oneof(fc.string(), fc.stringMatching(/^bytes=\d{0,20}-\d{0,20}$/));
    fc.assert(
      fc.property(header, fc.nat({ max: 5000 }), (range, sizeBytes) => {
        const decision = decide(range, sizeBytes);
        if (decision.kind !== "part") return true;
        const { start, end } = decision;
        return 0 <= start && start <= end && end < sizeBytes;
      }),
    );
  });

  it("knows by If-None-Match what the client has", () => {
    expect(matchesAny(undefined, ETAG)).toBe(false);
    expect(matchesAny('"x", W/"abc"', ETAG)).toBe(true);
    expect(matchesAny("*", ETAG)).toBe(true);
    expect(matchesAny('"x"', ETAG)).toBe(false);
  });
});
