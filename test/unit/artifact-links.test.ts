import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { artifactLinkPath, checkArtifactLink } from "../../src/protocol/index.ts";

const NOW = Date.UTC(2026, 0, 1);
const SHA256 = "ab".repeat(32);
const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const keys = new Map([["7", publicKey]]);
const link = { sha256: SHA256, tenantId: "acme", deviceId: "d-1", expires: NOW / 1000 + 60 };

function queryOf(path: string): Record<string, string> {
  return Object.fromEntries(new URL(path, "https://x").searchParams);
}
const good = () => queryOf(artifactLinkPath(link, { id: "7", privateKey }));
const check = (query: Record<string, unknown>, sha256 = SHA256, now = NOW) =>
  checkArtifactLink(sha256, query, keys, now);

describe("a signed link to an artifact", () => {
  it("permits what it was made for", () => {
    expect(check(good())).toEqual(link);
    const anybody = queryOf(artifactLinkPath({ ...link, deviceId: null }, { id: "7", privateKey }));
    expect(check(anybody).deviceId).toBeNull();
  });

  it.each([
    ["another tenant", { tenant: "globex" }],
    ["another device", { device: "d-2" }],
    ["a later end", { expires: String(link.expires + 1) }],
    ["another key", { key: "8" }],
    ["no signature", { signature: undefined }],
    ["a signature that is short", { signature: "AAAA" }],
    ["a parameter more", { admin: "1" }],
    ["a parameter twice", { tenant: ["acme", "acme"] }],
    ["a tenant that is none", { tenant: "acme\nd-1" }],
    ["an end beyond all numbers", { expires: "9".repeat(13) }],
    ["an end in another notation", { expires: "0x7fffffff" }],
  ])("refuses %s", (_what, change) => {
    expect(() => check({ ...good(), ...change })).toThrow(/not valid/);
  });

  it("refuses another artifact, a device left out, and any time after its end", () => {
    expect(() => check(good(), "cd".repeat(32))).toThrow(/not valid/);
    const { device: _, ...bare } = good();
    expect(() => check(bare)).toThrow(/not valid/);
    expect(check(good(), SHA256, NOW + 80_000)).toEqual(link);
    expect(() => check(good(), SHA256, NOW + 91_000)).toThrow(/not valid/);
  });

  it("refuses a signature with any bit changed", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 511 }), (bit) => {
        const query = good();
        const bytes = Buffer.from(query.signature as string, "base64url");
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
        expect(() => check({ ...query, signature: bytes.toString("base64url") })).toThrow();
      }),
      { numRuns: 100 },
    );
  });
});
