import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decideRenewal,
  excessCertificates,
  type HeldCertificate,
  MAX_ACTIVE,
  MAX_ISSUED,
  type RenewalFacts,
} from "../../src/identity/renewal-decision.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

function held(fields: Partial<HeldCertificate> = {}): HeldCertificate {
  return {
    serial: "own",
    device_id: "d-1",
    ca_id: "ca",
    status: "active",
    public_key_sha256: "old-key",
    issued_at: new Date(NOW - 60 * DAY_MS),
    not_after: new Date(NOW + 30 * DAY_MS),
    first_used_at: new Date(NOW - 59 * DAY_MS),
    revocation_reason: null,
    certificate_der: null,
    ...fields,
  };
}

function facts(fields: Partial<RenewalFacts> = {}): RenewalFacts {
  return {
    deviceId: "d-1",
    deviceStatus: "active",
    peerSerial: "own",
    peer: { device_id: "d-1", status: "active" },
    publicKeySha256: "new-key",
    isCompromised: false,
    holders: [],
    own: [held()],
    issuedLately: 1,
    issuerId: "ca",
    nowMs: NOW,
    ...fields,
  };
}

/** A certificate for the same request, issued a moment ago and kept to be given again. */
const earlier = (fields: Partial<HeldCertificate> = {}) =>
  held({
    serial: "before",
    public_key_sha256: "new-key",
    issued_at: new Date(NOW - 1_000),
    not_after: new Date(NOW + 90 * DAY_MS),
    first_used_at: null,
    certificate_der: Buffer.from("der"),
    ...fields,
  });

describe("a renewal", () => {
  it("is granted, and ends nothing while there is room", () => {
    expect(decideRenewal(facts())).toEqual({ kind: "issue", supersede: [] });
    expect(decideRenewal(facts({ peer: "registered" })).kind).toBe("issue");
    expect(decideRenewal(facts({ deviceStatus: "quarantined" })).kind).toBe("issue");
  });

  const revoked = { status: "revoked", device_id: "d-1" } as const;
  it.each([
    ["no device", { deviceStatus: undefined }, "not-found", "right"],
    ["a revoked device", { deviceStatus: "revoked" }, "claim-refused", "right"],
    ["a revoked certificate", { peer: revoked }, "certificate-refused", "right"],
    ["an unknown certificate", { peer: undefined }, "certificate-refused", "right"],
    [
      "another device's certificate",
      { peer: { device_id: "d-2", status: "active" } },
      "certificate-refused",
      "right",
    ],
    ["a compromised key", { isCompromised: true }, "csr-invalid", "key"],
    ["another device's key", { holders: [held({ device_id: "d-2" })] }, "csr-invalid", "key"],
    [
      "the key of a revoked certificate",
      { holders: [held({ status: "revoked", revocation_reason: "stolen" })] },
      "csr-invalid",
      "key",
    ],
    ["too many within the hour", { issuedLately: MAX_ISSUED }, "rate-limited", "issue"],
  ] as const)("is refused for %s", (_, fields, code, step) => {
    let thrown: unknown;
    try {
      decideRenewal(facts(fields as Partial<RenewalFacts>));
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code, details: { step } });
  });

  it("of a key that was superseded, and not revoked for a reason, is granted", () => {
    const holders = [held({ status: "revoked", revocation_reason: "superseded" })];
    expect(decideRenewal(facts({ holders })).kind).toBe("issue");
  });

  it("that is repeated gets the same certificate again, whatever the limits say", () => {
    const again = { kind: "again", serial: "before" };
    expect(decideRenewal(facts({ holders: [earlier()] }))).toMatchObject(again);
    const many = Array.from({ length: MAX_ISSUED }, () => earlier());
    const limits = { own: many, issuedLately: MAX_ISSUED };
    expect(decideRenewal(facts({ holders: [earlier()], ...limits }))).toMatchObject(again);
  });

  it.each([
    ["is the one that it connects with", { serial: "own" }],
    [
      "was used more than a day ago",
      {
        first_used_at: new Date(NOW - 2 * DAY_MS),
        issued_at: new Date(NOW - 2 * DAY_MS),
      },
    ],
    ["is past half of its life", { not_after: new Date(NOW + 500) }],
    ["is of a retired authority", { ca_id: "other" }],
    ["was not kept", { certificate_der: null }],
    ["is superseded", { status: "superseded" }],
  ] as const)("gets a new certificate where the earlier one %s", (_, fields) => {
    expect(decideRenewal(facts({ holders: [earlier(fields)] })).kind).toBe("issue");
  });

  it("leaves few certificates in force, its own among them, and never ends more than it must", () => {
    const certificate = fc.record({
      used: fc.boolean(),
      ageDays: fc.nat(80),
      status: fc.constantFrom("active", "superseded", "revoked"),
      isOver: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(certificate, { maxLength: 12 }), fc.nat(12), (drawn, own) => {
        const all = drawn.map(({ used, ageDays, status, isOver }, index) =>
          held({
            serial: String(index),
            status: status as HeldCertificate["status"],
            issued_at: new Date(NOW - ageDays * DAY_MS),
            not_after: new Date(isOver ? NOW - 1 : NOW + DAY_MS),
            first_used_at: used ? new Date(NOW) : null,
          }),
        );
        const options = { keep: MAX_ACTIVE - 1, except: String(own), nowMs: NOW };
        const ended = excessCertificates(all, options);
        const inForce = all.filter(
          (one) => one.status === "active" && one.not_after.getTime() > NOW,
        );
        const left = inForce.filter((one) => !ended.includes(one.serial));
        const isOwnActive = inForce.some((one) => one.serial === String(own));
        expect(ended).not.toContain(String(own));
        expect(left.length).toBe(
          Math.min(inForce.length, Math.max(MAX_ACTIVE - 1, isOwnActive ? 1 : 0)),
        );
        // An unused one never outlives a used one that is not the device's own.
        const others = left.filter((one) => one.serial !== String(own));
        const endedUsed = inForce.some(
          (one) => ended.includes(one.serial) && one.first_used_at !== null,
        );
        if (endedUsed) expect(others.every((one) => one.first_used_at !== null)).toBe(true);
      }),
    );
  });
});
