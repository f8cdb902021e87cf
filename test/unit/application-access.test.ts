import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { commandTarget, mayHear, readFilter } from "../../src/gateway/applications/access.ts";
import { topicMatches } from "../../src/protocol/index.ts";
import type { Principal, TenantRole } from "../../src/tenancy/index.ts";

const principal = (role: TenantRole): Principal => ({
  actor: { kind: "api-key", id: "k", name: "k" },
  platformRole: null,
  rolesByTenant: Object.assign(Object.create(null), { acme: role }),
});
const viewer = principal("viewer");

describe("what an application may ask for", () => {
  it("never reaches another tenant, whatever the filter is made of", () => {
    const level = fc.oneof(
      fc.constantFrom("tenants", "acme", "globex", "devices", "d-1", "+", "#", "$share", "g", ""),
      fc.string({ maxLength: 4 }),
    );
    const filters = fc.array(level, { minLength: 1, maxLength: 8 }).map((all) => all.join("/"));
    const suffixes = fc.constantFrom("telemetry", "logs", "commands", "certificate/response");
    fc.assert(
      fc.property(filters, suffixes, (filter, suffix) => {
        const asked = readFilter(viewer, filter);
        if (typeof asked === "string") return;
        expect(topicMatches(asked.filter, `tenants/globex/devices/d-1/${suffix}`)).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ["tenants/acme/devices/d#", "invalid"],
    ["$share/g+/tenants/acme/#", "invalid"],
    ["$share/g", "invalid"],
    ["tenants/acme/devices/d-1/update", "not-authorized"],
    ["tenants/acme/devices/+/certificate/request", "not-authorized"],
  ])("is told apart where it is refused: %s", (filter, answer) => {
    expect(readFilter(viewer, filter)).toBe(answer);
  });

  it("is heard by topic and role, and ordered by role alone", () => {
    const topic = (suffix: string, tenant = "acme") => `tenants/${tenant}/devices/d-1/${suffix}`;
    for (const suffix of ["telemetry", "logs", "events", "commands/1/result", "update/state"]) {
      expect(mayHear(viewer, topic(suffix))).toBe(true);
      expect(mayHear(viewer, topic(suffix, "globex"))).toBe(false);
    }
    for (const suffix of ["commands", "update", "certificate/request", "certificate/response"]) {
      expect(mayHear(principal("administrator"), topic(suffix))).toBe(false);
    }
    expect(commandTarget(viewer, topic("commands"))).toBeUndefined();
    expect(commandTarget(principal("operator"), topic("commands", "globex"))).toBeUndefined();
    expect(commandTarget(principal("operator"), topic("commands"))).toEqual({
      tenantId: "acme",
      deviceId: "d-1",
    });
  });
});
