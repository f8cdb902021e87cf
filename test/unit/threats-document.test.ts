import fs from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "../..");
const read = (file: string) => fs.readFileSync(path.join(root, file), "utf8");

/** Each `file` of a row with the names that follow it. */
function citations(document: string): { file: string; name: string }[] {
  const rows = document.split("\n").filter((line) => line.startsWith("| "));
  return rows.flatMap((row) => {
    const tests = row.split(" | ").at(-1) ?? "";
    return [...tests.matchAll(/`([\w-]+)`((?:,? "[^"]+")+)/g)].flatMap(([, file, names]) =>
      [...(names as string).matchAll(/"([^"]+)"/g)].map(([, name]) => ({
        file: file as string,
        name: name as string,
      })),
    );
  });
}

function sourceOf(file: string): string {
  for (const folder of ["unit", "integration"]) {
    const candidate = `test/${folder}/${file}.test.ts`;
    if (fs.existsSync(path.join(root, candidate))) return read(candidate);
  }
  throw new Error(`there is no test file ${file}`);
}

describe("the list of threats", () => {
  const document = read("docs/security/threats.md");

  it("names tests that are there", () => {
    const cited = citations(document);
    expect(cited.length).toBeGreaterThan(80);
    const missing = cited.filter(({ file, name }) => !sourceOf(file).includes(`"${name}`));
    expect(missing).toEqual([]);
  });

  it("has a test, or a word why there is none, in each row", () => {
    const tables = document.slice(0, document.indexOf("## What stands open"));
    const rows = tables.split("\n").filter((line) => line.startsWith("| "));
    const bare = rows.filter(
      (row) => !/^\| attempt/.test(row) && !/not built yet/.test(row) && !citations(row).length,
    );
    expect(bare).toEqual([]);
  });

  it("names files of the source that are there", () => {
    const places = document.split("\n").flatMap((row) => {
      const cell = row.startsWith("| ") ? (row.split(" | ")[1] ?? "") : "";
      let folder = "";
      return [...cell.matchAll(/`([\w/-]+\.ts)`/g)].map(([, place]) => {
        const file = place as string;
        if (!file.includes("/")) return `src/${folder}/${file}`;
        folder = path.dirname(file);
        return `src/${file}`;
      });
    });
    expect(places.length).toBeGreaterThan(50);
    expect(places.filter((place) => !fs.existsSync(path.join(root, place)))).toEqual([]);
  });
});
