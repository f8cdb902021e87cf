import { execFileSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import {
  basicConstraints,
  buildCertificate,
  CLIENT_AUTH,
  certsOnlyPkcs7,
  extendedKeyUsage,
  generalName,
  keyIdentifierOf,
  keyUsage,
  subjectAlternativeNames,
} from "../../src/identity/certificate-builder.ts";
import { matchesPattern } from "../../src/identity/claim-tokens.ts";
import {
  deviceCertificate,
  rootCertificate,
  serverAuthorityCertificate,
  serverCertificate,
  tenantAuthorityCertificate,
} from "../../src/identity/profiles.ts";
import { integer, oid, oidOf, readDer, time } from "../../src/kernel/der.ts";
import { distinguishedName, toPem } from "../../src/protocol/index.ts";
import { newKey } from "../support/pki.ts";

const TRUST_DOMAIN = "devices.vautn.internal";
const validity = {
  notBefore: new Date(Date.now() - 60_000),
  notAfter: new Date(Date.now() + 86_400_000),
};

function party(name: Buffer) {
  const privateKey = newKey();
  const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  return { publicKey, issuer: { name, privateKey, keyIdentifier: keyIdentifierOf(publicKey) } };
}

const root = party(distinguishedName("Vautn", "Vautn Root CA"));
const rootDer = rootCertificate({ ...root, ...validity }).der;
function authority(tenantId: string) {
  const name = distinguishedName(tenantId, `${tenantId} Issuing CA`);
  const own = party(name);
  const request = { issuer: root.issuer, publicKey: own.publicKey, ...validity };
  const tenant = { id: tenantId, trustDomain: TRUST_DOMAIN };
  return { ...own, der: tenantAuthorityCertificate(request, name, tenant).der };
}
const acme = authority("acme");
const device = { tenantId: "acme", deviceId: "d-1" };

describe("a certificate of ours", () => {
  it.each([
    ["P-256", generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey],
    ["Ed25519", generateKeyPairSync("ed25519").publicKey],
  ])("for a device's %s key is read by another library as it was meant", async (_, key) => {
    const publicKey = key.export({ type: "spki", format: "der" });
    const { der, serial } = deviceCertificate(
      { issuer: acme.issuer, publicKey, ...validity },
      device,
      TRUST_DOMAIN,
    );
    const parsed = new x509.X509Certificate(new Uint8Array(der));
    const issuer = new x509.X509Certificate(new Uint8Array(acme.der));
    expect(parsed.serialNumber).toBe(serial);
    expect(parsed.subject).toBe("O=acme, CN=acme/d-1");
    expect(parsed.issuer).toBe(issuer.subject);
    expect(await parsed.verify({ publicKey: issuer.publicKey, signatureOnly: true })).toBe(true);
    expect(Buffer.from(parsed.publicKey.rawData)).toEqual(publicKey);
    expect(parsed.getExtension(x509.BasicConstraintsExtension)).toMatchObject({
      ca: false,
      critical: true,
    });
    expect(parsed.getExtension(x509.KeyUsagesExtension)?.usages).toBe(
      x509.KeyUsageFlags.digitalSignature,
    );
    expect(parsed.getExtension(x509.ExtendedKeyUsageExtension)?.usages).toEqual([CLIENT_AUTH]);
    const names = parsed.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON();
    expect(names).toEqual([{ type: "url", value: `spiffe://acme.${TRUST_DOMAIN}/device/d-1` }]);
    const identifier = parsed.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId;
    const theirs = await x509.SubjectKeyIdentifierExtension.create(parsed.publicKey);
    expect(identifier).toBe(theirs.keyId);
    expect(parsed.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId).toBe(
      issuer.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId,
    );
    expect(parsed.notAfter.getTime()).toBe(Math.floor(validity.notAfter.getTime() / 1000) * 1000);
  });

  it("carries its critical constraints when it is a tenant's authority", () => {
    const parsed = new x509.X509Certificate(new Uint8Array(acme.der));
    expect(parsed.getExtension("2.5.29.30")?.critical).toBe(true);
    expect(parsed.getExtension(x509.BasicConstraintsExtension)).toMatchObject({
      ca: true,
      pathLength: 0,
    });
  });

  it("has a positive serial of 16 bytes that does not come twice", () => {
    const serials = Array.from({ length: 200 }, () => {
      const request = { issuer: acme.issuer, publicKey: root.publicKey, ...validity };
      return deviceCertificate(request, device, TRUST_DOMAIN).serial;
    });
    expect(new Set(serials).size).toBe(200);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9a-f]{31}$/);
  });
});

describe("DER", () => {
  it("writes times as RFC 5280 asks: two digits of the year until 2049, then four", () => {
    expect(time(new Date("2049-12-31T23:59:59.999Z")).subarray(2).toString()).toBe("491231235959Z");
    const later = time(new Date("2050-01-01T00:00:00Z"));
    expect(later.subarray(2).toString()).toBe("20500101000000Z");
  });

  it("reads back object identifiers and integers as they were written", () => {
    const arcs = fc.array(fc.nat(2 ** 31), { maxLength: 8 });
    fc.assert(
      fc.property(fc.nat(2), fc.nat(39), arcs, (first, second, rest) => {
        const dotted = [first, second, ...rest].join(".");
        return oidOf(readDer(oid(dotted))) === dotted;
      }),
    );
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 128n }), (value) => {
        const hex = value.toString(16);
        const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex");
        const content = readDer(integer(bytes)).content;
        return BigInt(`0x${content.toString("hex")}`) === value && (content[0] as number) < 0x80;
      }),
    );
  });
});

describe("a pattern of device ids", () => {
  it("matches as the regular expression of the same meaning does", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "-"), maxLength: 12 });
    const pattern = fc.string({ unit: fc.constantFrom("a", "b", "*", "?"), maxLength: 8 });
    fc.assert(
      fc.property(pattern, letters, (glob, text) => {
        const expression = glob.replaceAll("*", ".*").replaceAll("?", ".");
        return matchesPattern(glob, text) === new RegExp(`^${expression}$`).test(text);
      }),
      { numRuns: 3_000 },
    );
  });

  it("takes no time to speak of with many stars", () => {
    const started = performance.now();
    expect(matchesPattern("a*".repeat(64), `${"a".repeat(127)}b`)).toBe(true);
    expect(matchesPattern(`${"*a".repeat(63)}*c`, "a".repeat(128))).toBe(false);
    expect(performance.now() - started).toBeLessThan(100);
  });
});

describe.skipIf(!hasOpenssl())("OpenSSL", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-pki-"));
  afterAll(() => fs.rmSync(folder, { recursive: true }));
  const write = (name: string, der: Buffer) => {
    const file = path.join(folder, `${name}.pem`);
    fs.writeFileSync(file, toPem("CERTIFICATE", der));
    return file;
  };
  function verify(purpose: string, authorityDer: Buffer, leaf: Buffer): string {
    const chain = ["-CAfile", write("root", rootDer), "-untrusted", write("ca", authorityDer)];
    const options = ["verify", "-x509_strict", "-purpose", purpose, ...chain, write("leaf", leaf)];
    try {
      return execFileSync("openssl", options, { stdio: ["pipe", "pipe", "pipe"] }).toString();
    } catch (error) {
      const { stdout, stderr } = error as { stdout: Buffer; stderr: Buffer };
      return `${stdout}${stderr}`;
    }
  }
  const leafOf = (subject: Buffer, names: Buffer[], issuer = acme.issuer) =>
    buildCertificate({
      issuer,
      subject,
      publicKey: root.publicKey,
      ...validity,
      extensions: [
        basicConstraints(null),
        keyUsage("digital-signature"),
        extendedKeyUsage(CLIENT_AUTH),
        subjectAlternativeNames(names),
      ],
    }).der;
  const own = distinguishedName("acme", "acme/d-1");
  const ownUri = generalName.uri(`spiffe://acme.${TRUST_DOMAIN}/device/d-1`);

  it("accepts a device's certificate strictly", () => {
    const request = { issuer: acme.issuer, publicKey: root.publicKey, ...validity };
    const leaf = deviceCertificate(request, device, TRUST_DOMAIN).der;
    expect(verify("sslclient", acme.der, leaf)).toContain(": OK");
    expect(verify("sslserver", acme.der, leaf)).toContain("unsuitable certificate purpose");
  });

  it("accepts a server's certificate strictly, and not as a client's", () => {
    const name = distinguishedName("Vautn", "Vautn Server CA");
    const server = party(name);
    const request = { issuer: root.issuer, publicKey: server.publicKey, ...validity };
    const authorityDer = serverAuthorityCertificate(request, name).der;
    const leafRequest = { issuer: server.issuer, publicKey: root.publicKey, ...validity };
    const leaf = serverCertificate(leafRequest, "2001:db8::1").der;
    expect(verify("sslserver", authorityDer, leaf)).toContain(": OK");
    expect(verify("sslclient", authorityDer, leaf)).toContain("unsuitable certificate purpose");
    expect(new X509Certificate(leaf).checkIP("2001:db8::1")).toBe("2001:db8::1");
  });

  it.each([
    ["another tenant's URI", own, [generalName.uri(`spiffe://globex.${TRUST_DOMAIN}/device/d`)]],
    ["a host below the tenant's", own, [generalName.uri(`spiffe://x.acme.${TRUST_DOMAIN}/d`)]],
    ["another tenant's subject", distinguishedName("globex", "globex/d-1"), [ownUri]],
    ["a DNS name", own, [ownUri, generalName.dns("example.com")]],
    ["an e-mail address", own, [ownUri, generalName.email("a@example.com")]],
    ["an IPv4 address", own, [ownUri, generalName.ip(Buffer.from([192, 0, 2, 1]))]],
    ["an IPv6 address", own, [ownUri, generalName.ip(Buffer.alloc(16, 1))]],
  ])("refuses %s below a tenant's authority", (_, subject, names) => {
    const verdict = verify("sslclient", acme.der, leafOf(subject, names));
    expect(verdict).toMatch(/permitted subtree violation|excluded subtree violation/);
    // The control: nothing but the name is at fault.
    expect(verify("sslclient", acme.der, leafOf(own, [ownUri]))).toContain(": OK");
  });

  it("reads a certs-only answer", () => {
    const pem = toPem("CERTIFICATE", acme.der) + toPem("CERTIFICATE", rootDer);
    const output = execFileSync("openssl", ["pkcs7", "-inform", "DER", "-print_certs"], {
      input: certsOnlyPkcs7([pem]),
    });
    expect(output.toString().match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
  });
});

function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"]);
    return true;
  } catch {
    return false;
  }
}
