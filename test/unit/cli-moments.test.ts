import { describe, expect, it } from "vitest";
import { momentOption } from "../../src/cli/moments.ts";

const MINUTE_MS = 60_000;

describe("an option that takes a moment", () => {
  it.each([
    ["2027-01-31T12:00:00Z", "2027-01-31T12:00:00.000Z"],
    ["2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00.000Z"],
    ["2027-01-31", "2027-01-31T00:00:00.000Z"],
    ["2028-02-29", "2028-02-29T00:00:00.000Z"],
  ])("reads %s", (text, moment) => {
    expect(momentOption("--from", "before")(text)).toBe(moment);
  });

  it.each([
    ["before", -7],
    ["after", 7],
  ] as const)("counts a span as what lies %s now", (side, days) => {
    const distance = Date.parse(momentOption("--from", side)("7d")) - Date.now();
    expect(Math.abs(distance - days * 86_400_000)).toBeLessThan(MINUTE_MS);
  });

  it.each([
    "",
    "soon",
    "7",
    "12345",
    "2027-13-41",
    "2027-02-29",
    "2027-02-31T12:00:00Z",
    "7 d",
    "-7d",
    "9999999999d",
  ])("refuses %j, and says what it takes", (text) => {
    expect(() => momentOption("--expires", "after")(text)).toThrow(
      /^--expires takes a time such as/,
    );
  });
});
