import { execFileSync } from "node:child_process";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { type KeyAlgorithm, localKey, newPrivateKey } from "../../src/identity/authority-key.ts";
import {
  basicConstraints,
  buildCertificate,
  CLIENT_AUTH,
  certificateToBeSigned,
  certsOnlyPkcs7,
  extendedKeyUsage,
  generalName,
  keyIdentifierOf,
  keyUsage,
  subjectAlternativeNames,
} from "../../src/identity/certificate-builder.ts";
import { DeviceCertificates } from "../../src/identity/device-certificates.ts";
import { matchesPattern } from "../../src/identity/device-pattern.ts";
import {
  authorityRecipe,
  DEVICE_EXTENSIONS,
  rootCertificate,
  serverCertificate,
} from "../../src/identity/profiles.ts";
import { integer, membersOf, oid, oidOf, readDer, TAG, time } from "../../src/kernel/der.ts";
import { distinguishedName, toPem } from "../../src/protocol/index.ts";

const TRUST_DOMAIN = "devices.vautn.internal";
const validity = {
  notBefore: new Date(Date.now() - 60_000),
  notAfter: new Date(Date.now() + 86_400_000),
};

function party(name: Buffer, algorithm: KeyAlgorithm = "ecdsa-p256") {
  const key = localKey(newPrivateKey(algorithm));
  const { publicKey } = key;
  return { publicKey, issuer: { name, key, keyIdentifier: keyIdentifierOf(publicKey) } };
}

const root = party(distinguishedName("Vautn", "Vautn Root CA"));
const rootDer = (await rootCertificate({ ...root, ...validity })).der;
async function below(kind: "tenant" | "server", tenantId: string, algorithm?: KeyAlgorithm) {
  const key = localKey(newPrivateKey(algorithm));
  const { publicKey } = key;
  const recipe = authorityRecipe(kind, tenantId, publicKey, TRUST_DOMAIN);
  const { der } = await buildCertificate({
    ...recipe,
    issuer: root.issuer,
    publicKey,
    ...validity,
  });
  const issuer = { name: recipe.subject, key, keyIdentifier: keyIdentifierOf(publicKey) };
  return { publicKey, issuer, der };
}
async function authority(tenantId: string, algorithm?: KeyAlgorithm) {
  const { der, ...own } = await below("tenant", tenantId, algorithm);
  return { ...own, der, devices: new DeviceCertificates(own.issuer, tenantId, TRUST_DOMAIN) };
}
const acme = await authority("acme");
const acmeEd25519 = await authority("acme", "ed25519");
const deviceKey = (algorithm: KeyAlgorithm) => localKey(newPrivateKey(algorithm)).publicKey;
/** Every kind of key of a device below every kind of key of an authority. */
const VARIANTS = (["ecdsa-p256", "ed25519"] as const).flatMap((device) => [
  { device, issuing: acme, by: "P-256" },
  { device, issuing: acmeEd25519, by: "Ed25519" },
]);
const deviceId = "d-1";

describe("a certificate of ours", () => {
  it.each(VARIANTS)(
    "for a device's $device key, signed with $by, is read by another library as it was meant",
    async (variant) => {
      const publicKey = deviceKey(variant.device);
      const { issuing } = variant;
      const { der, serial } = await issuing.devices.issue({ deviceId, publicKey, ...validity });
      const parsed = new x509.X509Certificate(new Uint8Array(der));
      const issuer = new x509.X509Certificate(new Uint8Array(issuing.der));
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
    },
  );

  it("carries its critical constraints when it is a tenant's authority", () => {
    const parsed = new x509.X509Certificate(new Uint8Array(acme.der));
    expect(parsed.getExtension("2.5.29.30")?.critical).toBe(true);
    expect(parsed.getExtension(x509.BasicConstraintsExtension)).toMatchObject({
      ca: true,
      pathLength: 0,
    });
  });

  it("has a positive serial of 16 bytes that does not come twice", async () => {
    const request = { deviceId, publicKey: root.publicKey, ...validity };
    const issued = await Promise.all(
      Array.from({ length: 200 }, () => acme.devices.issue(request)),
    );
    const serials = issued.map(({ serial }) => serial);
    expect(new Set(serials).size).toBe(200);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9a-f]{31}$/);
  });

  it("from the template is the one that the rare way of building gives, for any id and time", async () => {
    const id = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/);
    const moment = fc.date({
      min: new Date("2020-01-01"),
      max: new Date("2080-01-01"),
      noInvalidDate: true,
    });
    const algorithm = fc.constantFrom<KeyAlgorithm>("ecdsa-p256", "ed25519");
    await fc.assert(
      fc.asyncProperty(id, moment, moment, algorithm, async (name, notBefore, notAfter, kind) => {
        const publicKey = deviceKey(kind);
        const times = { notBefore, notAfter };
        const { der } = await acme.devices.issue({ deviceId: name, publicKey, ...times });
        const [ours] = membersOf(readDer(der), TAG.sequence);
        const serial = membersOf(ours, TAG.sequence)[1]?.content as Buffer;
        const uri = `spiffe://acme.${TRUST_DOMAIN}/device/${name}`;
        const plain = certificateToBeSigned(
          {
            issuer: acme.issuer,
            subject: distinguishedName("acme", `acme/${name}`),
            publicKey,
            ...times,
            extensions: [...DEVICE_EXTENSIONS, subjectAlternativeNames([generalName.uri(uri)])],
          },
          serial,
        );
        expect(ours?.raw.equals(plain)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it("is not issued for a key of another kind", async () => {
    const publicKey = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({
      type: "spki",
      format: "der",
    });
    await expect(acme.devices.issue({ deviceId, publicKey, ...validity })).rejects.toThrow(
      "P-256 or Ed25519",
    );
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
    const before = process.cpuUsage();
    expect(matchesPattern("a*".repeat(64), `${"a".repeat(127)}b`)).toBe(true);
    expect(matchesPattern(`${"*a".repeat(63)}*c`, "a".repeat(128))).toBe(false);
    expect(process.cpuUsage(before).user).toBeLessThan(500_000);
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
  const leafOf = async (subject: Buffer, names: Buffer[], issuer = acme.issuer) => {
    const certificate = await buildCertificate({
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
    });
    return certificate.der;
  };
  const own = distinguishedName("acme", "acme/d-1");
  const ownUri = generalName.uri(`spiffe://acme.${TRUST_DOMAIN}/device/d-1`);

  it.each(VARIANTS)(
    "accepts a certificate of a $device key, signed with $by, strictly",
    async (variant) => {
      const { issuing } = variant;
      const publicKey = deviceKey(variant.device);
      for (const id of ["d", "d-1", "D".repeat(128)]) {
        for (const notAfter of [validity.notAfter, new Date("2051-01-01")]) {
          const request = { deviceId: id, publicKey, ...validity, notAfter };
          const { der } = await issuing.devices.issue(request);
          expect(verify("sslclient", issuing.der, der)).toContain(": OK");
          expect(verify("sslserver", issuing.der, der)).toContain("unsuitable certificate purpose");
        }
      }
    },
  );

  it("accepts a server's certificate strictly, and not as a client's", async () => {
    const { der: authorityDer, ...server } = await below("server", "_platform");
    const leafRequest = { issuer: server.issuer, publicKey: root.publicKey, ...validity };
    const leaf = (await serverCertificate(leafRequest, "2001:db8::1")).der;
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
  ])("refuses %s below a tenant's authority", async (_, subject, names) => {
    const verdict = verify("sslclient", acme.der, await leafOf(subject, names));
    expect(verdict).toMatch(/permitted subtree violation|excluded subtree violation/);
    // The control: nothing but the name is at fault.
    expect(verify("sslclient", acme.der, await leafOf(own, [ownUri]))).toContain(": OK");
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
