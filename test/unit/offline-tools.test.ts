import { describe, expect, it } from "vitest";
import {
  buildManifest,
  createRoot,
  generateSigningKey,
  readPublicKey,
  readSigningKey,
  sign,
  verifyRelease,
} from "../../src/firmware/index.ts";
import type { Envelope, ReleaseManifest, RootMetadata } from "../../src/protocol/index.ts";

const NOW = Date.UTC(2026, 5, 1);
const image = Buffer.from("an image of some bytes");
const online = {
  director: readPublicKey(generateSigningKey({}).publicKeyPem),
  repository: readPublicKey(generateSigningKey({}).publicKeyPem),
};
const [rootKey, alice, bob, mallory] = [1, 2, 3, 4].map(() => generateSigningKey({}));

const options = {
  tenant: "acme",
  product: "hub",
  version: "2.0.0",
  hardwareRevisions: ["b", "a"],
  securityCounter: 3,
  minimumSourceVersion: "1.0.0",
  imageName: "hub.bin",
  createdAtMs: NOW,
  validityDays: 30,
};

describe("offline signing tools", () => {
  it.each(["ed25519", "ecdsa-sha2-nistp256"] as const)(
    "make %s keys that can be read back",
    (scheme) => {
      const { privateKeyPem, publicKeyPem } = generateSigningKey({ scheme, passphrase: "secret" });
      expect(privateKeyPem).toContain("ENCRYPTED PRIVATE KEY");
      expect(readPublicKey(publicKeyPem).scheme).toBe(scheme);
      expect(readSigningKey(privateKeyPem, "secret").type).toBe("private");
      for (const passphrase of ["wrong", undefined]) {
        expect(() => readSigningKey(privateKeyPem, passphrase)).toThrow(/cannot be read/);
      }
      expect(() => readPublicKey("no key")).toThrow(/cannot be read/);
    },
  );

  it("build the same manifest from the same inputs", async () => {
    const [one, two] = [await build(), await build({ hardwareRevisions: ["a", "b"] })];
    expect(JSON.stringify(one)).toBe(JSON.stringify(two));
    expect(one?.signed.expires).toBe("2026-07-01T00:00:00.000Z");
  });

  it("refuse to build what no platform would take", async () => {
    await expect(build({ version: "two" })).rejects.toMatchObject({ code: "manifest-invalid" });
    const root = () =>
      createRoot({
        tenant: "acme",
        version: 1,
        expires: new Date(NOW + 1).toISOString(),
        root: { keys: [readPublicKey(rootKey!.publicKeyPem)], threshold: 2 },
        release: { keys: [readPublicKey(alice!.publicKeyPem)], threshold: 1 },
        online,
      });
    expect(root).toThrow(/threshold/);
  });

  it("take signatures one by one until the threshold is met", async () => {
    const root = signedRoot();
    const unsigned = await build();
    const once = signBy(alice!, unsigned);
    expect(await verifyRelease(once, root, { nowMs: NOW })).toMatchObject({
      accepted: false,
      threshold: 2,
      signers: [alice!.keyId],
    });
    const strange = signBy(mallory!, once);
    expect((await verifyRelease(strange, root, { nowMs: NOW })).accepted).toBe(false);
    const twice = signBy(bob!, strange);
    expect(await verifyRelease(twice, root, { nowMs: NOW, image: bytes(image) })).toEqual({
      accepted: true,
      reason: null,
      signers: [alice!.keyId, bob!.keyId],
      threshold: 2,
    });
    const other = await verifyRelease(twice, root, { nowMs: NOW, image: bytes(Buffer.from("x")) });
    expect(other).toMatchObject({ accepted: false, reason: expect.stringContaining("hash") });
    const late = await verifyRelease(twice, root, { nowMs: NOW + 31 * 86_400_000 });
    expect(late).toMatchObject({ accepted: false, reason: expect.stringContaining("expired") });
    const altered = { ...twice, signed: { ...twice.signed, securityCounter: 9 } };
    expect((await verifyRelease(altered, root, { nowMs: NOW })).signers).toEqual([]);
  });

  it("sign nothing but roots and releases", () => {
    const key = readSigningKey(alice!.privateKeyPem);
    const assignment = { signed: { _type: "assignment" }, signatures: [] };
    expect(() => sign(assignment, key)).toThrow(/no release manifest/);
    expect(() => sign({ signed: null, signatures: [] }, key)).toThrow(/no release manifest/);
  });
});

function build(change: Partial<typeof options> = {}): Promise<Envelope<ReleaseManifest>> {
  return buildManifest(bytes(image), { ...options, ...change });
}

function signBy(
  who: { privateKeyPem: string },
  envelope: Envelope<ReleaseManifest>,
): Envelope<ReleaseManifest> {
  return sign(envelope, readSigningKey(who.privateKeyPem)) as Envelope<ReleaseManifest>;
}

function signedRoot(): Envelope<RootMetadata> {
  const root = createRoot({
    tenant: "acme",
    version: 1,
    expires: new Date(NOW + 365 * 86_400_000).toISOString(),
    root: { keys: [readPublicKey(rootKey!.publicKeyPem)], threshold: 1 },
    release: { keys: [alice!, bob!].map((key) => readPublicKey(key.publicKeyPem)), threshold: 2 },
    online,
  });
  return sign(root, readSigningKey(rootKey!.privateKeyPem)) as Envelope<RootMetadata>;
}

async function* bytes(content: Buffer): AsyncGenerator<Uint8Array> {
  yield content;
}
