import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  X509Certificate,
} from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import { openBlobStore } from "../../src/blobs/index.ts";
import { LocalBus } from "../../src/bus/index.ts";
import { type DeviceHttp, startDeviceHttp } from "../../src/device-http/index.ts";
import { createFirmware } from "../../src/firmware/index.ts";
import { createIdentity, type NewClaim } from "../../src/identity/index.ts";
import {
  bits,
  context,
  membersOf,
  octets,
  oid,
  readDer,
  sequence,
  set,
  TAG,
} from "../../src/kernel/der.ts";
import { type Clock, systemClock } from "../../src/kernel/index.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createCertificateRequest, toPem } from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase } from "./database.ts";
import { silentLogger } from "./timeseries.ts";

export interface Credentials {
  key: string;
  cert: string;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  text: string;
}

export interface Call extends https.RequestOptions {
  body?: string | Buffer;
  token?: string;
}

/** Devices' HTTPS on a real identity module, with a clock that tests can move. */
export async function startEnrolment() {
  const database = await createTestDatabase();
  let offsetMs = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + offsetMs };
  const tenancy = createTenancy({ db: database.db, clock });
  const shared = {
    db: database.db,
    clock,
    sealer: createSealer(Buffer.alloc(32, 1)),
    logger: silentLogger,
    tenancy,
    bus: new LocalBus(),
    trustDomain: "devices.vautn.internal",
    publicHost: "localhost",
    allowPrivateAddresses: true,
    askAgainSeconds: 1,
  };
  const identity = createIdentity(shared);
  await identity.ensurePlatform();
  tenancy.onTenantCreated((id) => identity.ensureTenantAuthority(id));
  for (const id of ["acme", "globex"]) await tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
  const rootPem = await identity.rootCertificatePem();
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-enrolment-"));
  const firmware = createFirmware({ ...shared, blobs: openBlobStore({ directory }) });
  const server: DeviceHttp = await startDeviceHttp({
    identity,
    firmware,
    tenancy,
    clock,
    logger: silentLogger,
    port: 0,
    bindAddress: "127.0.0.1",
    mqttUrl: "mqtts://localhost:8883",
    httpsUrl: "https://localhost:8443",
    limits: { enrolmentFailures: 10_000 },
  });

  async function call(path: string, options: Call = {}): Promise<Answer> {
    const { body, token, headers, ...rest } = options;
    const basic = Buffer.from(`claim:${token}`).toString("base64");
    const request = https.request({
      host: "localhost",
      port: server.port,
      path,
      ca: rootPem,
      agent: false,
      ...rest,
      headers: { ...headers, ...(token ? { authorization: `Basic ${basic}` } : {}) },
    });
    request.end(body);
    const [response] = await once(request, "response");
    const bytes = Buffer.concat(await response.toArray());
    const { statusCode: status, headers: answered } = response;
    return { status, headers: answered, body: bytes, text: bytes.toString() };
  }

  return {
    database,
    tenancy,
    identity,
    firmware,
    rootPem,
    server,
    clock,
    call,
    /** A request of EST; `label` is the tenant of the path, none where empty. */
    est(operation: string, csr: string, options: Call & { label?: string } = {}) {
      const { label = "acme", ...rest } = options;
      return call(`/.well-known/est${label ? `/${label}` : ""}/${operation}`, {
        method: "POST",
        body: csr,
        ...rest,
        headers: { "content-type": "application/pkcs10", ...rest.headers },
      });
    },
    claim(change: Partial<NewClaim> = {}): NewClaim {
      return {
        name: "line",
        devicePattern: "*",
        product: "hub",
        hardwareRevision: "a",
        maxUses: 100,
        expiresAt: new Date(clock.now() + 3_600_000),
        ...change,
      };
    },
    /** A device with a certificate, as an operator enrols one. */
    async device(deviceId: string, tenantId = "acme"): Promise<Credentials> {
      const key = newKey();
      const { chainPem } = await identity.enroll({
        tenantId,
        csr: requestFor(key, { tenantId, deviceId }),
        via: "test",
        authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId },
        device: { product: "hub", hardwareRevision: "a" },
      });
      return { key: pemOf(key), cert: chainPem };
    },
    /** Newest first. */
    async refusals(tenantId = "acme") {
      const filters = { outcome: "refused" as const };
      return (await tenancy.audit.list(tenantId, { filters })).items;
    },
    wait(milliseconds: number) {
      offsetMs += milliseconds;
    },
    async close() {
      await server.close();
      await database.close();
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}

export function newKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;
}

export function pemOf(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }) as string;
}

/** A request in base64, as EST takes it. */
export function requestFor(
  privateKey: KeyObject,
  { tenantId = "acme", deviceId = "d-1" } = {},
): string {
  const commonName = `${tenantId}/${deviceId}`;
  const der = createCertificateRequest({ privateKey, commonName, organization: tenantId });
  return der.toString("base64").replace(/(.{64})/g, "$1\n");
}

const DECRYPT_KEY = {
  symmetric: "1.2.840.113549.1.9.16.2.37",
  asymmetric: "1.2.840.113549.1.9.16.2.54",
};

/** The same, which wants a key made for it to be encrypted (RFC 7030 §4.4.1), for each of these keys. */
export function encryptingRequestFor(
  privateKey: KeyObject,
  deviceId: string,
  wanted: readonly { kind: keyof typeof DECRYPT_KEY; identifier: Uint8Array }[],
): string {
  const plain = readDer(Buffer.from(requestFor(privateKey, { deviceId }), "base64"));
  const [information, algorithm] = membersOf(plain, TAG.sequence);
  const [version, subject, key] = membersOf(information, TAG.sequence).map(({ raw }) => raw);
  const attributes = wanted.map(({ kind, identifier }) =>
    sequence(oid(DECRYPT_KEY[kind]), set(octets(identifier))),
  );
  const toBeSigned = sequence(
    ...[version, subject, key].map((part) => part as Buffer),
    context(0, ...attributes),
  );
  const signature = sign("sha256", toBeSigned, privateKey);
  const der = sequence(toBeSigned, algorithm?.raw as Buffer, bits(signature));
  return der.toString("base64");
}

/** RFC 5280 §4.2.1.2, method 1. */
export function keyIdentifier(privateKey: KeyObject): Buffer {
  const der = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  return createHash("sha1").update(der.subarray(-65)).digest();
}

/** The one certificate in an answer of EST: it stands last in the certs-only message. */
export function certificateIn(base64: string): X509Certificate {
  const der = Buffer.from(base64, "base64");
  for (let at = 0; at < der.length - 4; at += 1) {
    if (der[at] !== 0x30 || der[at + 1] !== 0x82) continue;
    const size = der.readUInt16BE(at + 2) + 4;
    try {
      return new X509Certificate(der.subarray(at, at + size));
    } catch {
      // Not the certificate but what is around it.
    }
  }
  throw new Error("no certificate in the answer");
}

export function toPemOf(certificate: X509Certificate): string {
  return toPem("CERTIFICATE", certificate.raw);
}
