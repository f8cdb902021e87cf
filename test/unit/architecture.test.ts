import fs from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { findViolations, MAY_IMPORT, readSources } from "../support/architecture.ts";

const SRC = path.resolve(import.meta.dirname, "../../src");
const ORDER = Object.keys(MAY_IMPORT);

describe("the architecture", () => {
  it("has no import against the table", () => {
    expect(findViolations(readSources(SRC))).toEqual([]);
  });

  it("has a row for every room that exists", () => {
    const rooms = fs
      .readdirSync(SRC, { withFileTypes: true })
      .filter((entry) => entry.isDirectory());
    for (const room of rooms) expect(ORDER).toContain(room.name);
  });

  it("reads top to bottom: a room imports only rooms above it", () => {
    for (const [room, imports] of Object.entries(MAY_IMPORT)) {
      for (const imported of imports) {
        expect(ORDER.indexOf(imported), `${room} -> ${imported}`).toBeLessThan(ORDER.indexOf(room));
      }
    }
  });

  it.each([
    ["a module that imports a shell", "devices/x.ts", 'import { a } from "../api/index.ts";'],
    ["an agent that imports the platform", "agent/x.ts", 'import { a } from "../db/index.ts";'],
    ["an import past a module's face", "api/x.ts", 'import { a } from "../devices/store.ts";'],
    ["a shell that imports a shell", "gateway/x.ts", 'import type { A } from "../api/index.ts";'],
    ["a dynamic import", "kernel/x.ts", 'await import("../db/index.ts");'],
    ["a room without a row", "sundries/x.ts", ""],
  ])("finds %s", (_, file, text) => {
    expect(findViolations(new Map([[file, text]]))).toHaveLength(1);
  });

  it("is the table that docs/architecture.md shows", () => {
    const page = fs.readFileSync(path.resolve(SRC, "../docs/architecture.md"), "utf8");
    for (const [room, imports] of Object.entries(MAY_IMPORT)) {
      expect(page).toContain(`| \`${room}\` | ${imports.join(", ") || "nothing"} |`);
    }
  });
});
