import fs from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  assertMayGrant,
  holds,
  PERMISSIONS,
  type Permission,
  type Principal,
  TENANT_ROLES,
  type TenantRole,
} from "../../src/tenancy/index.ts";
import { permissionsDocument } from "../../tools/permissions-document.ts";

const ALL = Object.keys(PERMISSIONS) as Permission[];
const ROOT = path.resolve(import.meta.dirname, "../..");
const read = (name: string) => fs.readFileSync(path.join(ROOT, name), "utf8");

function principal(role: TenantRole, scopes?: Permission[]): Principal {
  return {
    actor: { kind: "api-key", id: "k", name: "k" },
    platformRole: null,
    rolesByTenant: Object.assign(Object.create(null), { acme: role }),
    ...(scopes ? { scopes } : {}),
  };
}

const roles = fc.constantFrom(...TENANT_ROLES);
const scopes = fc.option(fc.subarray(ALL), { nil: undefined });

describe("permissions", () => {
  it("are described as the table and the routes say", () => {
    const text = permissionsDocument(JSON.parse(read("openapi.json")));
    expect(read("docs/security/permissions.md")).toBe(text);
  });

  it("are each asked for by some route or topic", () => {
    const byTopic = ["exchange.read", "exchange.publish"];
    const text = read("docs/security/permissions.md");
    for (const name of ALL.filter((one) => !byTopic.includes(one))) {
      expect(text).toMatch(new RegExp(`\\| \`${name}\` \\| \`[a-z]`, "i"));
    }
  });

  it("are only ever taken away by scopes, and never hold in another tenant", () => {
    fc.assert(
      fc.property(roles, scopes, fc.constantFrom(...ALL), (role, some, permission) => {
        const scoped = holds(principal(role, some), "acme", permission);
        const whole = holds(principal(role), "acme", permission);
        expect(scoped).toBe(whole && (some === undefined || some.includes(permission)));
        expect(holds(principal(role, some), "globex", permission)).toBe(false);
      }),
    );
  });

  it("are never given by who lacks them", () => {
    fc.assert(
      fc.property(roles, scopes, roles, scopes, (own, ownScopes, given, givenScopes) => {
        const giver = principal(own, ownScopes);
        const taker = principal(given, givenScopes);
        const isMore = ALL.some(
          (name) => holds(taker, "acme", name) && !holds(giver, "acme", name),
        );
        const give = () => assertMayGrant(giver, "acme", given, givenScopes);
        if (isMore) expect(give).toThrow(/you cannot give/);
        else expect(give).not.toThrow();
      }),
      { numRuns: 500 },
    );
  });
});
