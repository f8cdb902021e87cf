// How fast are certificates made? Issuing on one core against a library, enrolment with its database,
// a large revocation list, and re-enrolment over EST against the TLS handshakes that it needs anyway.
// Usage: npm run bench:pki -- [--seconds N] [--only est] [--profile FOLDER]
import { type KeyObject, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { prepareEmbeddedDatabase, startPostgres } from "../src/db/index.ts";
import { localKey, newPrivateKey } from "../src/identity/authority-key.ts";
import { keyIdentifierOf } from "../src/identity/certificate-builder.ts";
import { DeviceCertificates } from "../src/identity/device-certificates.ts";
import { buildCrl, readCertificateRequest } from "../src/identity/index.ts";
import { distinguishedName } from "../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../src/tenancy/index.ts";
import { benchEst, type Enrolled } from "./pki-est.ts";
import { openInstallation } from "./pki-installation.ts";
import { measure, report, requestOf } from "./pki-measure.ts";

const { values: flags } = parseArgs({
  options: {
    seconds: { type: "string", default: "5" },
    only: { type: "string" },
    profile: { type: "string" },
  },
});
const durationMs = Number(flags.seconds) * 1_000;
const DEVICES = 400;
const ENTRIES = 100_000;
const DAY_MS = 86_400_000;
const LIBRARY = "@peculiar/x509";
const validity = { notBefore: new Date(), notAfter: new Date(Date.now() + 90 * DAY_MS) };

async function benchIssuing(): Promise<void> {
  const library = await measure(await libraryIssuer(), { durationMs, width: 4 });
  const publicKey = localKey(newPrivateKey()).publicKey;
  for (const algorithm of ["ecdsa-p256", "ed25519"] as const) {
    const key = localKey(newPrivateKey(algorithm));
    const name = distinguishedName("acme", "acme Issuing CA");
    const issuer = { name, key, keyIdentifier: keyIdentifierOf(key.publicKey) };
    const devices = new DeviceCertificates(issuer, "acme", "devices.vautn.internal");
    const { perCoreSecond } = await measure(
      (index) => devices.issue({ deviceId: `device-${index}`, publicKey, ...validity }),
      { durationMs },
    );
    const ratio = perCoreSecond / library.perCoreSecond;
    report(`pki/issue-${algorithm}`, perCoreSecond, "1/s of one core", [LIBRARY, ratio]);
  }
  const csr = requestOf(newPrivateKey(), "d-1");
  const checks = await measure(() => readCertificateRequest(csr), { durationMs });
  report("pki/check-request", checks.perCoreSecond, "1/s of one core");
}

/** The same certificate by a library. */
async function libraryIssuer(): Promise<(index: number) => Promise<unknown>> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const pair = () => crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const [issuing, device] = await Promise.all([pair(), pair()]);
  return async (index) =>
    x509.X509CertificateGenerator.create({
      serialNumber: randomBytes(16).toString("hex"),
      subject: `O=acme, CN=acme/device-${index}`,
      issuer: "O=acme, CN=acme Issuing CA",
      ...validity,
      signingAlgorithm: algorithm,
      signingKey: issuing.privateKey,
      publicKey: device.publicKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.2"]),
        new x509.SubjectAlternativeNameExtension([
          { type: "url", value: `spiffe://acme.devices.vautn.internal/device/device-${index}` },
        ]),
        await x509.SubjectKeyIdentifierExtension.create(device.publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(issuing.publicKey),
      ],
    });
}

async function benchList(): Promise<void> {
  const key = localKey(newPrivateKey());
  const name = distinguishedName("acme", "acme Issuing CA");
  const issuer = { name, key, keyIdentifier: keyIdentifierOf(key.publicKey) };
  const entries = Array.from({ length: ENTRIES }, (_, index) => ({
    serial: `4${randomBytes(16).toString("hex").slice(1)}`,
    revokedAt: new Date(Date.now() - index * 1_000),
    code: index % 5,
  }));
  const started = performance.now();
  const der = await buildCrl({
    issuer,
    number: 1,
    thisUpdate: new Date(),
    nextUpdate: new Date(Date.now() + DAY_MS),
    entries,
  });
  report(`pki/crl-${ENTRIES}`, (performance.now() - started) / 1_000, "s");
  report(`pki/crl-${ENTRIES}-size`, der.length / 1e6, "MB");
}

type Installation = ReturnType<typeof openInstallation>;

async function enrolOne({ identity }: Installation, deviceId: string, key: KeyObject) {
  const { chainPem } = await identity.enroll({
    tenantId: "acme",
    csr: requestOf(key, deviceId),
    via: "bench",
    authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId },
    device: { product: "hub", hardwareRevision: "a" },
  });
  const keyPem = key.export({ type: "pkcs8", format: "pem" }) as string;
  return { deviceId, key, keyPem, chainPem };
}

async function benchEnrolment(installation: Installation): Promise<Enrolled[]> {
  const devices: Enrolled[] = [];
  const keys = Array.from({ length: 20_000 }, () => newPrivateKey());
  const { perSecond } = await measure(
    async (index) => {
      const key = keys.pop() ?? newPrivateKey();
      const id = `device-${index}-${devices.length}-${keys.length}`;
      const device = await enrolOne(installation, id, key);
      if (devices.length < DEVICES) devices.push(device);
    },
    { durationMs, width: 8 },
  );
  report("pki/enrol-with-database", perSecond, "1/s");
  return devices;
}

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-pki-"));
const server = await startPostgres({ directory });
try {
  if (flags.only === undefined) {
    await benchIssuing();
    await benchList();
  }
  const { appUrl } = await prepareEmbeddedDatabase(server);
  const installation = openInstallation(appUrl);
  await installation.identity.ensurePlatform();
  await installation.tenancy.tenants.create({ id: "acme", name: "Acme" }, SYSTEM_ACTOR);
  await installation.identity.ensureTenantAuthority("acme");
  const devices = await benchEnrolment(installation);
  await benchEst({
    ...{ installation, appUrl, databasePid: server.pid, devices, durationMs },
    profiles: flags.profile,
  });
  await installation.db.close();
} finally {
  await server.stop();
  fs.rmSync(directory, { recursive: true, force: true });
}
