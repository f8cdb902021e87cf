import "reflect-metadata";
import { verify } from "node:crypto";
import * as x509 from "@peculiar/x509";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildCrl, type CrlEntry } from "../../src/identity/crl.ts";
import { LIST_LIFETIME_MS, nextListKind } from "../../src/identity/crl-schedule.ts";
import { bitsOf, membersOf, readDer, TAG } from "../../src/kernel/der.ts";
import { createTestIssuer } from "../support/crl-fixture.ts";

const HOUR_MS = 3_600_000;
const thisUpdate = new Date("2026-11-23T12:00:00Z");
const nextUpdate = new Date(thisUpdate.getTime() + LIST_LIFETIME_MS);

const entry = fc.record({
  serial: fc
    .uint8Array({ minLength: 1, maxLength: 20 })
    .filter((bytes) => bytes[0] !== 0)
    .map((bytes) => Buffer.from(bytes).toString("hex")),
  revokedAt: fc
    .integer({ min: 946_684_800, max: 2_840_140_800 })
    .map((seconds) => new Date(seconds * 1_000)),
  code: fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 8, 9, 10),
});

describe("a revocation list", () => {
  it("says what it was given, as a library reads it, and is signed by its authority", async () => {
    for (const algorithm of ["ecdsa-p256", "ed25519"] as const) {
      const { issuer, certificate } = await createTestIssuer(algorithm);
      await fc.assert(
        fc.asyncProperty(fc.array(entry, { maxLength: 40 }), async (entries: CrlEntry[]) => {
          const der = await buildCrl({ issuer, number: 7, thisUpdate, nextUpdate, entries });
          const list = new x509.X509Crl(der);
          expect(list.thisUpdate).toEqual(thisUpdate);
          expect(list.nextUpdate).toEqual(nextUpdate);
          expect(
            list.entries.map((one) => ({
              serial: one.serialNumber.toLowerCase().replace(/^00(?=[89a-f])/, ""),
              revokedAt: one.revocationDate,
              code: one.reason ?? 0,
            })),
          ).toEqual(entries);
          const [toBeSigned, , signature] = membersOf(readDer(der), TAG.sequence);
          const digest = algorithm === "ed25519" ? null : "sha256";
          const key = certificate.publicKey;
          expect(verify(digest, toBeSigned?.raw as Buffer, key, bitsOf(signature))).toBe(true);
        }),
        { numRuns: 25 },
      );
    }
  });

  it("refuses a serial that cannot be one", async () => {
    const { issuer } = await createTestIssuer();
    for (const serial of ["", "ab".repeat(33)]) {
      const entries = [{ serial, revokedAt: thisUpdate, code: 0 }];
      const list = buildCrl({ issuer, number: 1, thisUpdate, nextUpdate, entries });
      await expect(list).rejects.toThrow("not a serial");
    }
  });

  it("of a hundred thousand entries holds them all", async () => {
    const { issuer } = await createTestIssuer();
    const entries = Array.from({ length: 100_000 }, (_, index) => ({
      serial: (2n ** 126n + BigInt(index) * 7_919n).toString(16),
      revokedAt: new Date(thisUpdate.getTime() - (index % 1_000) * 60_000),
      code: index % 2,
    }));
    const der = await buildCrl({ issuer, number: 1, thisUpdate, nextUpdate, entries });
    expect(der.length).toBeGreaterThan(3_500_000);
  });
});

describe("the schedule of revocation lists", () => {
  const times = { this_update: thisUpdate, next_update: nextUpdate };
  const published = { entries: 10_000, content_sha256: "a", ...times };
  const at = (hours: number) => thisUpdate.getTime() + hours * HOUR_MS;
  const next = (content: string, entries: number, nowMs: number) =>
    nextListKind(published, { content, entries, nowMs });

  it("makes the first one, and each one anew halfway to its end", () => {
    expect(nextListKind(undefined, { content: "a", entries: 0, nowMs: at(0) })).toBe("full");
    expect(next("a", 5, at(11))).toBe("none");
    expect(next("a", 5, at(12.1))).toBe("full");
  });

  it("makes a small one anew for every change, and a large one by deltas for ten minutes", () => {
    expect(next("b", 9_999, at(0.01))).toBe("full");
    expect(next("b", 10_000, at(0.01))).toBe("delta");
    expect(next("b", 10_000, at(0.2))).toBe("full");
    const small = { ...published, entries: 9_999 };
    const grown = { content: "b", entries: 10_001, nowMs: at(0.01) };
    expect(nextListKind(small, grown)).toBe("full");
  });

  it("never leaves a change unpublished, nor a list that is about to end", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 200_000 }),
        fc.double({ min: 0, max: 30, noNaN: true }),
        (n, h) => {
          const isFresh = next("b", n, at(h)) !== "none";
          const isRenewed = h <= 12 || next("a", n, at(h)) === "full";
          return isFresh && isRenewed;
        },
      ),
    );
  });
});
