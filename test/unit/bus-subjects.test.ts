import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { subjectMatches, subjects } from "../../src/bus/index.ts";
import { isDeviceId, isTenantId } from "../../src/protocol/index.ts";

/** Every subject that names a tenant; one that is written tomorrow is among them. */
const ofTenants = Object.entries(subjects).flatMap(([name, subject]) =>
  typeof subject === "function"
    ? [[name, subject as (tenantId: string, id: string) => string] as const]
    : [],
);
const tenants = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,20}$/).filter(isTenantId);
const devices = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/).filter(isDeviceId);

describe("subjects of the bus", () => {
  it("are known, and most of them are a tenant's", () => {
    expect(ofTenants.length).toBeGreaterThan(7);
  });

  it.each(ofTenants)("of %s reach nobody who listens for another tenant", (_name, subject) => {
    fc.assert(
      fc.property(tenants, tenants, devices, devices, (own, other, device, theirs) => {
        fc.pre(own !== other);
        const sent = subject(other, theirs);
        // What one tenant's process can listen for: a thing of it, or all that it has of the kind.
        const [kind = ""] = subject(own, device).split(".");
        for (const pattern of [subject(own, device), `${kind}.${own}.>`, `${kind}.${own}.*`]) {
          expect(subjectMatches(pattern, sent)).toBe(false);
        }
        // The control: its own tenant's listener is reached.
        expect(subjectMatches(subject(other, theirs), sent)).toBe(true);
      }),
    );
  });
});
