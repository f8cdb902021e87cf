import { execFileSync, spawnSync } from "node:child_process";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AuthorityKeys } from "../../src/identity/authority-keys.ts";
import {
  basicConstraints,
  buildCertificate,
  CLIENT_AUTH,
  extendedKeyUsage,
  generalName,
  keyUsage,
  subjectAlternativeNames,
} from "../../src/identity/certificate-builder.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { distinguishedName, toPem } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { createInstallation, type Installation, TRUST_DOMAIN } from "../support/installation.ts";
import { newKey } from "../support/pki.ts";

const isPresent = spawnSync("openssl", ["version"]).error === undefined;

describe.skipIf(!isPresent)("openssl verify (skipped where it is not installed)", () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-chains-"));
  const write = (name: string, pem: string) => {
    const file = path.join(directory, name);
    fs.writeFileSync(file, pem);
    return file;
  };
  let test: TestDatabase;
  let installation: Installation;
  let root: string;

  beforeAll(async () => {
    test = await createTestDatabase();
    installation = createInstallation(test);
    await installation.identity.ensurePlatform();
    for (const id of ["acme", "globex"]) {
      await installation.tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
    }
    root = await installation.identity.rootCertificatePem();
  });
  afterAll(async () => {
    await test.close();
    fs.rmSync(directory, { recursive: true });
  });

  /** What OpenSSL says of the first certificate of a chain, by the rest of it and one root. */
  function verdictOn(chainPem: string, purpose: "sslclient" | "sslserver", trusted = root): string {
    const [leaf = "", ...others] = chainPem.split(/(?<=-----END CERTIFICATE-----\n)/);
    const argv = ["verify", "-x509_strict", "-purpose", purpose];
    argv.push("-CAfile", write("root.pem", trusted));
    if (others.length > 0) argv.push("-untrusted", write("chain.pem", others.join("")));
    const { stdout, stderr } = spawnSync("openssl", [...argv, write("leaf.pem", leaf)]);
    return `${stdout}${stderr}`;
  }

  const deviceKeys = {
    "P-256": () => newKey(),
    Ed25519: () => generateKeyPairSync("ed25519").privateKey,
  };

  it.each([
    ["P-256", "ecdsa-p256"],
    ["P-256", "ed25519"],
    ["Ed25519", "ecdsa-p256"],
    ["Ed25519", "ed25519"],
  ] as const)(
    "accepts a device's %s key under a tenant's %s authority",
    async (kind, algorithm) => {
      const { identity } = installation;
      const what = { kind: "tenant", tenantId: "acme" } as const;
      await identity.pki.rotate(what, { kind: "sealed", algorithm }, SYSTEM_ACTOR);
      const deviceId = `d-${kind}-${algorithm}`;
      const { chainPem } = await installation.enroll(deviceId, { key: deviceKeys[kind]() });
      expect(verdictOn(chainPem, "sslclient")).toContain(": OK");
      expect(verdictOn(chainPem, "sslserver")).toContain("unsuitable certificate purpose");
      const ours = new X509Certificate(chainPem);
      const uri = `URI:spiffe://acme.${TRUST_DOMAIN}/device/${deviceId}`;
      expect([ours.subject, ours.subjectAltName]).toEqual([`O=acme\nCN=acme/${deviceId}`, uri]);
      const text = execFileSync("openssl", ["x509", "-noout", "-text"], {
        input: chainPem,
      }).toString();
      expect(text).toMatch(/Basic Constraints: critical\s+CA:FALSE/);
      expect(text).toMatch(/Key Usage: critical\s+Digital Signature\n/);
    },
  );

  it("accepts an application's certificate, for clients only, under the name constraints", async () => {
    const { applicationCertificates } = installation.identity;
    const application = { name: "billing", role: "viewer" } as const;
    const { chainPem } = await applicationCertificates.issue("acme", application, SYSTEM_ACTOR);
    expect(verdictOn(chainPem, "sslclient")).toContain(": OK");
    expect(verdictOn(chainPem, "sslserver")).toContain("unsuitable certificate purpose");
    const ours = new X509Certificate(chainPem);
    const uri = `URI:spiffe://acme.${TRUST_DOMAIN}/application/billing`;
    expect([ours.subject, ours.subjectAltName]).toEqual(["O=acme\nCN=application billing", uri]);
    // The same name under another tenant's authority breaks that authority's constraints.
    const foreign = await signedByAcme("globex", [
      generalName.uri(`spiffe://globex.${TRUST_DOMAIN}/application/billing`),
    ]);
    expect(verdictOn(foreign, "sslclient")).toContain("permitted subtree violation");
  });

  it("accepts the server's certificate, for servers only", async () => {
    const { certificatePem } = await installation.identity.serverCredentials();
    expect(verdictOn(certificatePem, "sslserver")).toContain(": OK");
    expect(verdictOn(certificatePem, "sslclient")).toContain("unsuitable certificate purpose");
  });

  /** A certificate that the genuine authority of acme has signed, whatever stands in it. */
  async function signedByAcme(organization: string, names: Buffer[]): Promise<string> {
    const row = await test.db.tenant("acme", (tx) =>
      tx
        .selectFrom("certificate_authorities")
        .selectAll()
        .where("status", "=", "active")
        .executeTakeFirstOrThrow(),
    );
    const keys = new AuthorityKeys({ sealer: createSealer(Buffer.alloc(32, 1)) });
    const { der } = await buildCertificate({
      issuer: keys.issuerOf(row),
      subject: distinguishedName(organization, `${organization}/d-1`),
      publicKey: generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "der" }),
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 3_600_000),
      extensions: [
        basicConstraints(null),
        keyUsage("digital-signature"),
        extendedKeyUsage(CLIENT_AUTH),
        subjectAlternativeNames(names),
      ],
    });
    return toPem("CERTIFICATE", der) + row.certificate_pem;
  }
  const uriOf = (host: string) => generalName.uri(`spiffe://${host}/device/d-1`);
  const own = uriOf(`acme.${TRUST_DOMAIN}`);

  it.each([
    ["globex by subject", "globex", [own]],
    ["globex by URI", "acme", [uriOf(`globex.${TRUST_DOMAIN}`)]],
    ["globex by a second URI", "acme", [own, uriOf(`globex.${TRUST_DOMAIN}`)]],
    ["a server by DNS name", "acme", [own, generalName.dns("fleet.example.com")]],
    ["a server by address", "acme", [own, generalName.ip(Buffer.from([192, 0, 2, 1]))]],
  ])("refuses what acme's own authority signs for %s", async (_, organization, names) => {
    expect(verdictOn(await signedByAcme("acme", [own]), "sslclient")).toContain(": OK");
    expect(verdictOn(await signedByAcme(organization, names), "sslclient")).toMatch(
      /(permitted|excluded) subtree violation/,
    );
  });

  it("reaches what is below a new root from the old one alone, by the cross-certificate", async () => {
    const { identity } = installation;
    const device = await installation.enroll("d-before");
    await identity.pki.rotateRoot({ kind: "sealed" }, SYSTEM_ACTOR);
    const { certificatePem } = await identity.serverCredentials();
    const newRoot = (await identity.rootCertificatePem()).replace(root, "");
    for (const trusted of [root, newRoot]) {
      expect(verdictOn(certificatePem, "sslserver", trusted)).toContain(": OK");
    }
    expect(verdictOn(device.chainPem, "sslclient", root)).toContain(": OK");
    const later = await installation.enroll("d-after");
    expect(verdictOn(later.chainPem, "sslclient", newRoot)).toContain(": OK");
    expect(verdictOn(later.chainPem, "sslclient", root)).toContain("unable to get");
  });
});
