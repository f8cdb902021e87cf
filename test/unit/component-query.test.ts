import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseComponentQuery, purlName } from "../../src/firmware/component-query.ts";
import { componentVersionKey } from "../../src/firmware/component-version.ts";

const key = (version: string) => componentVersionKey(version) as string;
const order = (left: string, right: string) =>
  Buffer.compare(Buffer.from(left), Buffer.from(right));

describe("the order of components' versions", () => {
  // From oldest to newest: Debian, Alpine, OpenSSL's letters, SemVer, PEP 440 and plain numbers.
  it.each([
    [["3.0.2", "3.0.14", "3.0.15-1~deb12u1", "3.0.15-1", "3.0.15-2", "3.1.0", "3.10"]],
    [["1.1.1", "1.1.1a", "1.1.1k", "1.1.1w", "1.1.1za", "1.1.2"]],
    [["9.2p1", "9.8p1", "9.8p2", "10.0p1"]],
    [["2.36-9+deb12u1", "2.36-9+deb12u10", "2.36-10", "2.37"]],
    [["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"]],
    [["1.0.dev1", "1.0-snapshot", "1.0alpha1", "1.0.rc1", "1.0"]],
    [["1.2.13-r0", "1.2.13-r1", "1.2.13-r10"]],
    [["1.0~rc1", "1.0rc2", "1.0", "1.0.1"]],
    [["20230101", "20231231", "20240101"]],
  ])("is %j", (versions) => {
    const keys = versions.map(key);
    expect(keys.toSorted(order)).toEqual(keys);
    expect(new Set(keys).size).toBe(keys.length);
  });

  it.each([
    ["1.0", "1.0.0"],
    ["v1.2.3", "1.2.3"],
    ["1:3.0.15", "3.0.15"],
    ["1.01", "1.1"],
    ["2.0-1", "2-1"],
    ["1.0.0-rc.1", "1.0.0~rc.1"],
    ["1.2.3-RC1", "1.2.3-rc1"],
  ])("does not tell %s from %s", (left, right) => {
    expect(key(left)).toBe(key(right));
  });

  it("knows no place for what has no digit", () => {
    expect(["", "unknown", "git", "-"].map(componentVersionKey)).toEqual(Array(4).fill(null));
  });

  it("agrees with numbers, whatever they are", () => {
    const numbers = fc.array(fc.nat(), { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(numbers, numbers, (left, right) => {
        const at = left.findIndex((each, index) => each !== right[index]);
        const expected = at < 0 ? 0 : Math.sign((left[at] ?? 0) - (right[at] ?? 0));
        expect(order(key(left.join(".")), key(right.join(".")))).toBe(expected);
      }),
    );
  });

  it("is bounded and printable, whatever is given", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 100 }), (text) => {
        const made = componentVersionKey(`1${text}${text.repeat(7)}`);
        expect(made).toMatch(/^[!-~]{1,512}$/);
      }),
      { numRuns: 50 },
    );
  });
});

describe("a query for components", () => {
  it("has a name and bounds", () => {
    expect(parseComponentQuery(" OpenSSL >= 3.0 , < 3.0.15")).toEqual({
      namePattern: "openssl",
      byPurl: false,
      bounds: [
        { comparison: ">=", versionKey: key("3.0") },
        { comparison: "<", versionKey: key("3.0.15") },
      ],
    });
    expect(parseComponentQuery("")).toEqual({ namePattern: null, byPurl: false, bounds: [] });
    expect(parseComponentQuery("<2").bounds).toHaveLength(1);
  });

  it("takes only * for a placeholder", () => {
    expect(parseComponentQuery("lib*_100%\\").namePattern).toBe("lib%\\_100\\%\\\\");
  });

  it("goes by package URLs, whatever version and qualifiers they carry", () => {
    const given = "pkg:deb/debian/openssl@3.0.14-1~deb12u2?arch=arm64#x";
    expect(parseComponentQuery(given)).toMatchObject({
      namePattern: "pkg:deb/debian/openssl",
      byPurl: true,
    });
    expect(purlName("pkg:npm/%40angular/core@17.0.0")).toBe("pkg:npm/@angular/core");
    expect(purlName("pkg:npm/@angular/core")).toBe("pkg:npm/@angular/core");
  });

  it.each(["openssl <", "openssl < 1 2", "openssl < stable", "a => 1", "a < 1,", "a ! 1"])(
    "is refused where it is %j",
    (text) => {
      expect(() => parseComponentQuery(text)).toThrow(/the query for components/);
    },
  );

  it("is refused where it is too long", () => {
    expect(() => parseComponentQuery("a".repeat(600))).toThrow(/characters/);
    expect(() => parseComponentQuery(`a ${Array(9).fill("< 1").join(",")}`)).toThrow(/bounds/);
  });
});
