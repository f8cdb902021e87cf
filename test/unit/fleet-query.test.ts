import fc from "fast-check";
import semver from "semver";
import { describe, expect, it } from "vitest";
import { parseFleetQuery } from "../../src/devices/fleet-query-parser.ts";
import { compileFleetQuery, versionSortKey } from "../../src/devices/index.ts";

function refusalOf(text: string): { message: string; position: unknown } {
  try {
    compileFleetQuery(text);
  } catch (error) {
    const { code, message, details } = error as never as {
      code: string;
      message: string;
      details: { position: unknown };
    };
    expect(code).toBe("invalid-query");
    return { message, position: details.position };
  }
  throw new Error(`"${text}" was understood`);
}

describe("the fleet query language", () => {
  it("reads and/or by their rank, and parentheses before both", () => {
    expect(parseFleetQuery('online and (region = eu or region = "us") or not connected')).toEqual({
      kind: "or",
      terms: [
        {
          kind: "and",
          terms: [
            expect.objectContaining({ field: "online", values: ["true"] }),
            {
              kind: "or",
              terms: [
                expect.objectContaining({ field: "region", values: ["eu"] }),
                expect.objectContaining({ field: "region", values: ["us"] }),
              ],
            },
          ],
        },
        { kind: "not", term: expect.objectContaining({ field: "connected" }) },
      ],
    });
  });

  it("takes an empty query for the whole fleet", () => {
    expect(compileFleetQuery("  ").root).toBeNull();
  });

  it("keeps quotes and backslashes that a value holds", () => {
    expect(parseFleetQuery(String.raw`tags.note = "a \"b\" \\ c"`)).toMatchObject({
      values: [String.raw`a "b" \ c`],
    });
  });

  it.each([
    ["region = ", 9, /expected a value/],
    ["colour = red", 0, /no field "colour"/],
    ["tags. = x", 0, /no field/],
    ["online online", 7, /expected "and"/],
    ["(online", 7, /expected "\)"/],
    ['region = "eu', 9, /never closed/],
    ["region < eu", 0, /no order/],
    ["firmware.version < banana", 19, /no semantic version/],
    ["lastSeen > yesterday", 11, /is no time/],
    ["lastSeen = 2026-01-01", 0, /takes </],
    ["online = maybe", 0, /true or false/],
    ["region not = eu", 11, /expected "in"/],
    ["region in (eu, )", 15, /expected a value/],
    ["id ~ *a*", 5, /means nothing/],
    ['id ~ "*a*b*c*d*e*f*g*h*i"', 5, /wildcards/],
    ["region = eu; drop table devices", 11, /means nothing/],
    ["a".repeat(2001), 0, /longer than/],
    [Array.from({ length: 51 }, () => "online").join(" and "), 550, /more than 50 terms/],
    [`${"(".repeat(20)}online${")".repeat(20)}`, 17, /nested too deeply/],
    [`${"not ".repeat(20)}online`, 68, /nested too deeply/],
  ])("refuses %j at character %d", (text, position, message) => {
    const refusal = refusalOf(text);
    expect(refusal.position).toBe(position);
    expect(refusal.message).toMatch(message);
  });

  it("answers any text with a query or a refusal that has a position", () => {
    const word = fc.constantFrom(
      ..."online and or not in ( ) , = != < >= ~ tags.a firmware.version 1.2.3 -1h lastSeen".split(
        " ",
      ),
      '"x"',
      "id",
    );
    const texts = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(word, { maxLength: 40 }).map((words) => words.join(" ")),
    );
    fc.assert(
      fc.property(texts, (text) => {
        try {
          compileFleetQuery(text);
        } catch (error) {
          expect((error as { code: string }).code).toBe("invalid-query");
          expect((error as { details: { position: number } }).details.position).toBeGreaterThan(-1);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

const identifier = fc.oneof(
  fc.nat({ max: 1_000_000_000 }).map(String),
  fc.stringMatching(/^[0-9A-Za-z-]{1,8}$/).filter((text) => !/^0\d+$/.test(text)),
);
const version = fc
  .tuple(
    fc.tuple(fc.nat(), fc.nat({ max: 20 }), fc.nat({ max: 20 })),
    fc.array(identifier, { maxLength: 4 }),
    fc.option(fc.stringMatching(/^[0-9A-Za-z-]{1,8}$/), { nil: undefined }),
  )
  .map(
    ([core, prerelease, build]) =>
      core.join(".") +
      (prerelease.length > 0 ? `-${prerelease.join(".")}` : "") +
      (build ? `+${build}` : ""),
  );

describe("the sort key of firmware versions", () => {
  it("orders texts as SemVer orders the versions", () => {
    fc.assert(
      fc.property(version, version, (left, right) => {
        const [a, b] = [versionSortKey(left) as string, versionSortKey(right) as string];
        expect(a < b ? -1 : a > b ? 1 : 0).toBe(semver.compare(left, right));
      }),
      { numRuns: 2_000 },
    );
  });

  it("follows the example of SemVer 2.0.0 §11.4", () => {
    const ordered = "alpha alpha.1 alpha.beta beta beta.2 beta.11 rc.1".split(" ");
    const keys = [
      ...ordered.map((tail) => versionSortKey(`1.0.0-${tail}`)),
      versionSortKey("1.0.0"),
    ];
    expect([...keys].sort()).toEqual(keys);
  });

  it("has none for what is no semantic version", () => {
    expect(versionSortKey("build 17")).toBeNull();
  });
});
