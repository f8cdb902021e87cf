// How fast are certificates made? Issuing on one core against a library, enrolment with its database,
// a large revocation list, and re-enrolment over EST against the TLS handshakes that it needs anyway.
// Usage: npm run bench:pki -- [--seconds N]
import { type ChildProcess, fork } from "node:child_process";
import { type KeyObject, randomBytes } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import tls from "node:tls";
import { parseArgs } from "node:util";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { prepareEmbeddedDatabase, startPostgres } from "../src/db/index.ts";
import { localKey, newPrivateKey } from "../src/identity/authority-key.ts";
import { keyIdentifierOf } from "../src/identity/certificate-builder.ts";
import { DeviceCertificates } from "../src/identity/device-certificates.ts";
import { buildCrl, readCertificateRequest } from "../src/identity/index.ts";
import { createCertificateRequest, distinguishedName } from "../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../src/tenancy/index.ts";
import { openInstallation } from "./pki-installation.ts";
import { cpuMsOf } from "./process-figures.ts";

const { values: flags } = parseArgs({ options: { seconds: { type: "string", default: "5" } } });
const DURATION_MS = Number(flags.seconds) * 1_000;
const WIDTH = 32;
const ROUNDS = 3;
const DEVICES = 400;
const ENTRIES = 100_000;
/** Requests that are made beforehand: what devices do is not measured. */
const MAX_RENEWALS = 20_000;
const DAY_MS = 86_400_000;
const LIBRARY = "@peculiar/x509";
const validity = { notBefore: new Date(), notAfter: new Date(Date.now() + 90 * DAY_MS) };

function report(name: string, value: number, unit: string, against?: [string, number]): void {
  const ratio = against ? { ratio: round(against[1]), against: against[0] } : {};
  console.log(JSON.stringify({ name, value: round(value), unit, ...ratio }));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

/**
 * Runs `work` side by side for a while: per second of the clock, of one core's time of this process,
 * and the core time that another one spent on each.
 */
async function measure(
  work: (index: number) => Promise<unknown>,
  { width = WIDTH, other }: { width?: number; other?: number | undefined } = {},
) {
  let done = 0;
  for (; done < width; done += 1) await work(done);
  const warm = done;
  const cpuBefore = process.cpuUsage();
  const otherBefore = other === undefined ? 0 : cpuMsOf(other);
  const started = performance.now();
  const worker = async () => {
    while (performance.now() - started < DURATION_MS) {
      const index = done;
      done += 1;
      await work(index);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  const seconds = (performance.now() - started) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const count = done - warm;
  const otherMs = other === undefined ? 0 : (cpuMsOf(other) - otherBefore) / count;
  return { perSecond: count / seconds, perCoreSecond: count / ((user + system) / 1e6), otherMs };
}

type Measured = Awaited<ReturnType<typeof measure>>;

function requestOf(privateKey: KeyObject, deviceId: string): Buffer {
  const commonName = `acme/${deviceId}`;
  return createCertificateRequest({ privateKey, commonName, organization: "acme" });
}

async function benchIssuing(): Promise<void> {
  const library = await measure(await libraryIssuer(), { width: 4 });
  const publicKey = localKey(newPrivateKey()).publicKey;
  for (const algorithm of ["ecdsa-p256", "ed25519"] as const) {
    const key = localKey(newPrivateKey(algorithm));
    const name = distinguishedName("acme", "acme Issuing CA");
    const issuer = { name, key, keyIdentifier: keyIdentifierOf(key.publicKey) };
    const devices = new DeviceCertificates(issuer, "acme", "devices.vautn.internal");
    const { perCoreSecond } = await measure((index) =>
      devices.issue({ deviceId: `device-${index}`, publicKey, ...validity }),
    );
    const ratio = perCoreSecond / library.perCoreSecond;
    report(`pki/issue-${algorithm}`, perCoreSecond, "1/s of one core", [LIBRARY, ratio]);
  }
  const csr = requestOf(newPrivateKey(), "d-1");
  const checks = await measure(() => readCertificateRequest(csr));
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

interface Enrolled {
  deviceId: string;
  key: KeyObject;
  keyPem: string;
  chainPem: string;
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
    { width: 8 },
  );
  report("pki/enrol-with-database", perSecond, "1/s");
  return devices;
}

async function benchEst(installation: Installation, appUrl: string, devices: Enrolled[]) {
  const child = fork(path.resolve(import.meta.dirname, "pki-server.ts"));
  child.send(appUrl);
  const [ports] = (await once(child, "message")) as [{ estPort: number; handshakePort: number }];
  const ca = await installation.identity.rootCertificatePem();
  const pick = (index: number) => devices[index % devices.length] as Enrolled;
  try {
    const bodies = Array.from({ length: MAX_RENEWALS }, (_, index) =>
      requestOf(newPrivateKey(), pick(index).deviceId).toString("base64"),
    );
    let next = 0;
    const renewOne = () => {
      const index = next;
      next += 1;
      return renewOverEst(ports.estPort, ca, pick(index), bodies[index] ?? "");
    };
    const handshakes: Measured[] = [];
    const renewals: Measured[] = [];
    // By turns: what else the machine does meets both alike.
    for (let round = 0; round < ROUNDS; round += 1) {
      const shake = (index: number) => shakeHands(ports.handshakePort, ca, pick(index));
      handshakes.push(await measure(shake, { other: child.pid }));
      renewals.push(await measure(renewOne, { other: child.pid }));
    }
    const against = (of: (measured: Measured) => number): [string, number] => [
      "TLS handshakes alone",
      mean(renewals.map(of)) / mean(handshakes.map(of)),
    ];
    const perSecond = ({ perSecond }: Measured) => perSecond;
    report("pki/handshakes-alone", mean(handshakes.map(perSecond)), "1/s");
    report("pki/est-reenrol", mean(renewals.map(perSecond)), "1/s", against(perSecond));
    // What the clock says depends on who else wants the cores; what the server's process spent does not.
    const serverMs = ({ otherMs }: Measured) => otherMs;
    report("pki/handshake-server-cpu", mean(handshakes.map(serverMs)), "ms");
    const [name, times] = against(serverMs);
    report("pki/est-reenrol-server-cpu", mean(renewals.map(serverMs)), "ms", [name, 1 / times]);
  } finally {
    await stop(child);
  }
}

function connectionOf(port: number, ca: string, device: Enrolled): tls.ConnectionOptions {
  const { keyPem, chainPem } = device;
  return { host: "127.0.0.1", servername: "localhost", port, ca, key: keyPem, cert: chainPem };
}

async function shakeHands(port: number, ca: string, device: Enrolled): Promise<void> {
  const socket = tls.connect(connectionOf(port, ca, device));
  socket.resume();
  await once(socket, "close");
}

/** A connection of its own for each, as devices have it, and a new key each time. */
async function renewOverEst(
  port: number,
  ca: string,
  device: Enrolled,
  body: string,
): Promise<void> {
  const request = https.request({
    ...connectionOf(port, ca, device),
    path: "/.well-known/est/acme/simplereenroll",
    method: "POST",
    agent: false,
    headers: { "content-type": "application/pkcs10", "content-length": body.length },
  });
  request.end(body);
  const [response] = await once(request, "response");
  response.resume();
  await once(response, "end");
  if (response.statusCode !== 200) throw new Error(`re-enrolment answered ${response.statusCode}`);
}

async function stop(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.send("stop");
  await exited;
}

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-pki-"));
const server = await startPostgres({ directory });
try {
  await benchIssuing();
  await benchList();
  const { appUrl } = await prepareEmbeddedDatabase(server);
  const installation = openInstallation(appUrl);
  await installation.identity.ensurePlatform();
  await installation.tenancy.tenants.create({ id: "acme", name: "Acme" }, SYSTEM_ACTOR);
  await installation.identity.ensureTenantAuthority("acme");
  const devices = await benchEnrolment(installation);
  await benchEst(installation, appUrl, devices);
  await installation.db.close();
} finally {
  await server.stop();
  fs.rmSync(directory, { recursive: true, force: true });
}
