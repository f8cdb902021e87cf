import { execFileSync } from "node:child_process";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readCertificateRequest } from "../../src/identity/certificate-request.ts";
import { isAppError } from "../../src/kernel/index.ts";
import { createCertificateRequest, toPem } from "../../src/protocol/index.ts";
import { newKey } from "../support/pki.ts";

const P256 = newKey();
const ED25519 = generateKeyPairSync("ed25519").privateKey;

function request(privateKey: KeyObject, commonName = "acme/d-1", organization = "acme"): Buffer {
  return createCertificateRequest({ privateKey, commonName, organization });
}

async function refused(bytes: Uint8Array): Promise<boolean> {
  try {
    await readCertificateRequest(bytes);
    return false;
  } catch (error) {
    return isAppError(error, "csr-invalid");
  }
}

function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"]);
    return true;
  } catch {
    return false;
  }
}

describe("a certificate request", () => {
  it.each([
    ["P-256", P256],
    ["Ed25519", ED25519],
  ])("of ours with a %s key is one to another library, and to us", async (_, key) => {
    const der = request(key);
    const theirs = new x509.Pkcs10CertificateRequest(der);
    expect(await theirs.verify()).toBe(true);
    expect(theirs.subject).toBe("O=acme, CN=acme/d-1");
    const ours = await readCertificateRequest(der);
    expect(ours.name).toEqual({ tenantId: "acme", deviceId: "d-1" });
    expect(ours.publicKey).toEqual(Buffer.from(theirs.publicKey.rawData));
  });

  it.skipIf(!hasOpenssl())("of ours verifies in OpenSSL", () => {
    const output = execFileSync("openssl", ["req", "-verify", "-noout", "-inform", "DER"], {
      input: request(P256),
      stdio: ["pipe", "pipe", "pipe"],
    });
    expect(output.length).toBe(0);
  });

  it.skipIf(!hasOpenssl())("of OpenSSL's is read", async () => {
    const pem = execFileSync(
      "openssl",
      ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"].concat([
        "-keyout",
        "/dev/null",
        "-subj",
        "/O=acme/CN=acme\\/d-1",
        "-addext",
        "subjectAltName=URI:spiffe://acme.devices.vautn.internal/device/d-1",
      ]),
      { stdio: ["pipe", "pipe", "pipe"] },
    );
    expect(await readCertificateRequest(pem.toString())).toMatchObject({
      name: { tenantId: "acme", deviceId: "d-1" },
      uris: ["spiffe://acme.devices.vautn.internal/device/d-1"],
    });
  });

  it("is taken as DER, PEM, and base64 with line breaks, as text or bytes", async () => {
    const der = request(P256);
    const pem = toPem("CERTIFICATE REQUEST", der);
    const base64 = der.toString("base64").replace(/(.{64})/g, "$1\r\n");
    for (const form of [der, pem, Buffer.from(pem), base64, Buffer.from(base64)]) {
      expect((await readCertificateRequest(form)).name.deviceId).toBe("d-1");
    }
  });

  it.each([
    ["an RSA key", () => generateKeyPairSync("rsa", { modulusLength: 2048 })],
    ["a P-384 key", () => generateKeyPairSync("ec", { namedCurve: "P-384" })],
  ])("with %s is not made, and not taken", async (_, pair) => {
    const { privateKey } = pair();
    expect(() => request(privateKey)).toThrow(TypeError);
  });

  it("of a library's with an RSA key is refused for its key", async () => {
    const algorithm = {
      name: "RSASSA-PKCS1-v1_5",
      hash: "SHA-256",
      publicExponent: new Uint8Array([1, 0, 1]),
      modulusLength: 2048,
    };
    const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const csr = await x509.Pkcs10CertificateRequestGenerator.create({
      name: "O=acme, CN=acme/d-1",
      keys,
      signingAlgorithm: algorithm,
    });
    await expect(readCertificateRequest(new Uint8Array(csr.rawData))).rejects.toMatchObject({
      details: { reason: "key" },
    });
  });

  it.each([
    ["two slashes", "acme/d-1/x", "acme"],
    ["an id with a wildcard", "acme/*", "acme"],
    ["a path upwards", "acme/..", "acme"],
    ["a line break", "acme/d\n1", "acme"],
    ["another organisation", "acme/d-1", "globex"],
    ["an empty common name", "", "acme"],
    ["no tenant before the slash", "/d-1", "acme"],
    ["an organisation that is no tenant", "acme/d-1", "ACME Ltd"],
  ])("with %s in its name is refused for its name", async (_, commonName, organization) => {
    await expect(
      readCertificateRequest(request(P256, commonName, organization)),
    ).rejects.toMatchObject({ details: { reason: "name" } });
  });

  it("that asks for a DNS name is refused for its name", async () => {
    const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
    const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const csr = await x509.Pkcs10CertificateRequestGenerator.create({
      name: "O=acme, CN=acme/d-1",
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.SubjectAlternativeNameExtension([{ type: "dns", value: "example.com" }]),
      ],
    });
    await expect(readCertificateRequest(new Uint8Array(csr.rawData))).rejects.toMatchObject({
      details: { reason: "name" },
    });
  });

  it("that was changed in any byte is refused, and with no other error", async () => {
    const der = request(P256);
    await fc.assert(
      fc.asyncProperty(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Buffer.from(der);
        changed[at] = (changed[at] as number) ^ flip;
        return refused(changed);
      }),
      { numRuns: 2_000 },
    );
  });

  it("that is cut short or is noise is refused, and with no other error", async () => {
    const der = request(P256);
    for (let size = 0; size < der.length; size += 1)
      expect(await refused(der.subarray(0, size))).toBe(true);
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), refused));
    const nested = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from([0x30, ...bytes]));
    await fc.assert(fc.asyncProperty(nested, refused));
    expect(await refused(Buffer.alloc(20_000, 0x30))).toBe(true);
  });
});
