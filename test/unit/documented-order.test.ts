import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { inDocumentedOrder } from "../../src/rollouts/documented-order.ts";
import { DEFAULT_POLICY, type RolloutPolicy } from "../../src/rollouts/policy.ts";

/** As a database gives it back that keeps an object's fields in an order of its own. */
function disordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(disordered);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).sort(([a], [b]) => (a > b ? -1 : 1));
  return Object.fromEntries(fields.map(([name, part]) => [name, disordered(part)]));
}

const POLICY: RolloutPolicy = {
  ...DEFAULT_POLICY,
  order: "one-per-site-first",
  disruption: { tag: "site", atMost: 2 },
  window: { from: "22:00", to: "05:00", zoneTag: "timezone" },
  maxConcurrent: 2_000,
  downloads: { concurrent: 5 },
  priority: 1,
  steppingStones: ["2.0.0"],
  startAt: "2026-01-01T00:00:00Z",
  dynamic: true,
  retry: { attempts: 2, afterSeconds: 86_400 },
  penalty: { failures: 3, days: 30 },
};

describe("a policy in the documented order", () => {
  it("says what the guide's table says, in its order", () => {
    const guide = readFileSync("docs/guides/rollouts.md", "utf8");
    const section = guide.split("## What a policy can say")[1]?.split("\n##")[0] ?? "";
    const rows = section.split("\n").filter((line) => line.startsWith("| `"));
    const named = rows.flatMap((row) =>
      [...(row.split("|")[1] ?? "").matchAll(/`(\w+)`/g)].map(([, name]) => name as string),
    );
    expect(named.length).toBeGreaterThan(15);
    const fields = Object.keys(inDocumentedOrder(disordered(POLICY) as RolloutPolicy));
    expect(fields.filter((name) => named.includes(name))).toEqual(named);
  });

  it("has the fields of its parts in order as well, and is the same policy", () => {
    const made = inDocumentedOrder(disordered(POLICY) as RolloutPolicy);
    expect(made).toEqual(POLICY);
    expect(Object.keys(made.stages[0] ?? {})).toEqual(["name", "devices"]);
    expect(Object.keys(made.window ?? {})).toEqual(["from", "to", "zoneTag"]);
    expect(Object.keys(made.retry ?? {})).toEqual(["attempts", "afterSeconds"]);
  });

  it("keeps what a newer version has written and this one does not know", () => {
    const strange = { ...POLICY, unheardOf: { b: 1 } } as RolloutPolicy;
    expect(Object.keys(inDocumentedOrder(strange)).at(-1)).toBe("unheardOf");
  });
});
