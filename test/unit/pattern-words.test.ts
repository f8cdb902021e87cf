import fs from "node:fs";
import { Type } from "typebox";
import { describe, expect, it } from "vitest";
import { PATTERNS_IN_WORDS } from "../../src/api/pattern-words.ts";
import { TenantId } from "../../src/api/schemas/common.ts";
import { validatorCompiler } from "../../src/api/validation.ts";

function messageFor(value: unknown, schema = TenantId): string {
  const check = validatorCompiler({
    schema: Type.Object({ id: schema }),
    method: "POST",
    url: "/",
    httpPart: "body",
  }) as (input: unknown) => { error?: { instancePath: string; message: string }[] };
  return (check({ id: value }).error ?? []).map(({ message }) => message).join("; ");
}

describe("what a pattern asks for", () => {
  it("is said in words", () => {
    expect(messageFor("Bad Id")).toBe("must be 1 to 63 of a-z, 0-9 and -, not beginning with -");
    expect(messageFor("good-id")).toBe("");
  });

  it("is shown itself where there are no words for it", () => {
    expect(messageFor("b", Type.String({ pattern: "^a$" }))).toBe('must match pattern "^a$"');
  });

  it("has words for patterns that the API has, and for no others", () => {
    const used = new Set<string>();
    JSON.parse(fs.readFileSync("openapi.json", "utf8"), (key, value) => {
      if (key === "pattern" && typeof value === "string") used.add(value);
      return value;
    });
    expect([...PATTERNS_IN_WORDS.keys()].filter((pattern) => !used.has(pattern))).toEqual([]);
  });
});
