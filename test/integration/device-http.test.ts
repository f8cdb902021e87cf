import { spawnSync } from "node:child_process";
import { createHash, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openBlobStore } from "../../src/blobs/index.ts";
import { LocalBus } from "../../src/bus/index.ts";
import { type DeviceHttp, startDeviceHttp } from "../../src/device-http/index.ts";
import { createFirmware, type Firmware } from "../../src/firmware/index.ts";
import { createIdentity, type Identity } from "../../src/identity/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createCertificateRequest, signDocument } from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { makeKey, makeManifest, makeRoot } from "../support/signing.ts";

interface Credentials {
  key: string;
  cert: string;
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

const MQTT_URL = "mqtts://localhost:8883";
const HTTPS_URL = "https://localhost:8443";
const image = randomBytes(300_000);
const imageHash = createHash("sha256").update(image).digest("hex");
const openssl = spawnSync("openssl", ["version"]).error === undefined;

describe("devices' HTTPS", () => {
  let test: TestDatabase;
  let directory: string;
  let identity: Identity;
  let firmware: Firmware;
  let server: DeviceHttp;
  let rootPem: string;
  let acme: Credentials;
  let globex: Credentials;
  const trustKeys = { root: makeKey(), release: [makeKey()] };

  beforeAll(async () => {
    test = await createTestDatabase();
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-device-http-"));
    const shared = {
      db: test.db,
      clock: systemClock,
      sealer: createSealer(Buffer.alloc(32, 1)),
      logger: createLogger({ level: "silent" }),
      tenancy: createTenancy({ db: test.db, clock: systemClock }),
      bus: new LocalBus(),
      trustDomain: "devices.vautn.internal",
      publicHost: "localhost",
      blobs: openBlobStore({ directory }),
    };
    identity = createIdentity(shared);
    firmware = createFirmware(shared);
    await identity.ensurePlatform();
    for (const id of ["acme", "globex"]) {
      await shared.tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
      await identity.ensureTenantAuthority(id);
    }
    const online = await firmware.ensureOnlineKeys("acme");
    await firmware.setTrustRoot("acme", makeRoot("acme", trustKeys, online), SYSTEM_ACTOR);
    const manifest = makeManifest(image, { tenant: "acme", version: "1.0.0" });
    const envelope = signDocument(manifest, trustKeys.release);
    await firmware.publish("acme", { envelope, image: Readable.from([image]) }, SYSTEM_ACTOR);
    rootPem = await identity.rootCertificatePem();
    acme = await credentials("acme", "d-1");
    globex = await credentials("globex", "d-1");
    server = await start();
  });
  afterAll(async () => {
    await server?.close();
    await firmware?.stop();
    await test?.close();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  function start(limits = {}, files: Partial<Firmware> = {}): Promise<DeviceHttp> {
    return startDeviceHttp({
      identity,
      firmware: { ...firmware, ...files },
      tenancy: createTenancy({ db: test.db, clock: systemClock }),
      clock: systemClock,
      logger: createLogger({ level: "silent" }),
      port: 0,
      bindAddress: "127.0.0.1",
      mqttUrl: MQTT_URL,
      httpsUrl: HTTPS_URL,
      limits: { enrolmentFailures: 1_000, ...limits },
    });
  }

  async function credentials(tenantId: string, deviceId: string): Promise<Credentials> {
    const key = ecKey();
    const { chainPem } = await identity.enroll({
      tenantId,
      csr: requestFor(key, tenantId, deviceId),
      via: "test",
      authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId },
      device: { product: "hub", hardwareRevision: "a" },
    });
    return { key: key.export({ type: "pkcs8", format: "pem" }) as string, cert: chainPem };
  }

  async function fetch(
    url: string,
    options: https.RequestOptions & { body?: string; port?: number } = {},
  ): Promise<Answer> {
    const { body, ...rest } = options;
    const request = https.request({
      host: "localhost",
      port: server.port,
      path: url,
      ca: rootPem,
      agent: false,
      ...rest,
    });
    request.end(body);
    const [response] = await once(request, "response");
    const chunks = await response.toArray();
    return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) };
  }

  const artifact = (options: Parameters<typeof fetch>[1] = {}) =>
    fetch(`/artifacts/${imageHash}`, { ...acme, ...options });

  function newToken(tenantId = "acme", maxUses = 1, devicePattern = "*") {
    return identity.claimTokens.create(
      tenantId,
      {
        name: "factory",
        devicePattern,
        product: "hub",
        hardwareRevision: "a",
        maxUses,
        expiresAt: new Date(Date.now() + 3_600_000),
      },
      SYSTEM_ACTOR,
    );
  }

  const enroll = (csr: string, authorization?: string, options: object = {}, tenant = "acme") =>
    fetch(`/.well-known/est/${tenant}/simpleenroll`, {
      method: "POST",
      headers: {
        "content-type": "application/pkcs10",
        ...(authorization ? { authorization } : {}),
      },
      body: csr,
      ...options,
    });

  describe("artifacts", () => {
    it("come whole, named and cacheable, to a device of the tenant", async () => {
      const answer = await artifact();
      expect(answer.status).toBe(200);
      expect(answer.body.equals(image)).toBe(true);
      expect(answer.headers).toMatchObject({
        etag: `"${imageHash}"`,
        "content-length": "300000",
        "accept-ranges": "bytes",
        "cache-control": expect.stringContaining("immutable"),
      });
      const head = await artifact({ method: "HEAD" });
      expect(head).toMatchObject({ status: 200, headers: { "content-length": "300000" } });
      expect(head.body.length).toBe(0);
    });

    it("resume where a broken download ended", async () => {
      const request = https.get({
        host: "localhost",
        port: server.port,
        path: `/artifacts/${imageHash}`,
        ca: rootPem,
        agent: false,
        ...acme,
      });
      const [response] = await once(request, "response");
      const [first] = await once(response, "data");
      request.destroy();
      const rest = await artifact({
        headers: { range: `bytes=${first.length}-`, "if-range": `"${imageHash}"` },
      });
      expect(rest.status).toBe(206);
      expect(rest.headers["content-range"]).toBe(`bytes ${first.length}-299999/300000`);
      expect(Buffer.concat([first, rest.body]).equals(image)).toBe(true);
    });

    it("answer ranges and conditions as RFC 9110 says", async () => {
      const last = await artifact({ headers: { range: "bytes=-5" } });
      expect(last.body.equals(image.subarray(-5))).toBe(true);
      const beyond = await artifact({ headers: { range: "bytes=300000-" } });
      expect(beyond).toMatchObject({ status: 416, headers: { "content-range": "bytes */300000" } });
      expect(problem(beyond).code).toBe("range-not-satisfiable");
      const two = await artifact({ headers: { range: "bytes=0-1,4-5" } });
      expect(two).toMatchObject({ status: 200, headers: { "content-length": "300000" } });
      const other = await artifact({ headers: { range: "bytes=5-", "if-range": '"x"' } });
      expect(other.status).toBe(200);
      const known = await artifact({ headers: { "if-none-match": `"${imageHash}"` } });
      expect(known).toMatchObject({ status: 304 });
      expect(known.body.length).toBe(0);
      const head = await artifact({ method: "HEAD", headers: { range: "bytes=5-9" } });
      expect(head).toMatchObject({ status: 200, headers: { "content-length": "300000" } });
    });

    it("are not found by another tenant's device, nor under names that are no hashes", async () => {
      expect(await artifact(globex)).toMatchObject({ status: 404 });
      for (const name of ["0".repeat(64), "..%2f..%2fmaster.key", "x", "a".repeat(5_000)]) {
        const answer = await fetch(`/artifacts/${name}`, acme);
        expect(answer.status, name).toBeGreaterThanOrEqual(404);
        expect(answer.status, name).toBeLessThan(500);
      }
    });

    it("are refused without a certificate, with a stranger's, and with a revoked one", async () => {
      const none = await fetch(`/artifacts/${imageHash}`);
      expect(none.status).toBe(403);
      expect(none.headers["content-type"]).toContain("application/problem+json");
      expect(problem(none)).toMatchObject({
        code: "certificate-refused",
        details: { reason: "missing" },
        traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
      });
      const forged = await artifact({ cert: acme.cert, key: acme.key, ...selfSigned() });
      if (openssl) expect(problem(forged)).toMatchObject({ code: "certificate-refused" });
      const lost = await credentials("acme", "d-lost");
      expect((await artifact(lost)).status).toBe(200);
      await identity.revoke("acme", { deviceId: "d-lost" }, "stolen", SYSTEM_ACTOR);
      await new Promise((resolve) => setTimeout(resolve, 50));
      const revoked = await artifact(lost);
      expect(problem(revoked)).toMatchObject({ code: "certificate-refused" });
    });

    it("survive thousands of ranges, and ranges beyond all numbers", async () => {
      for (const range of [
        `bytes=${Array.from({ length: 1_000 }, (_, at) => `${at}-${at}`).join(",")}`,
        "bytes=0-99999999999999999999999999",
        "bytes=99999999999999999999-",
        "bytes=--1",
        "bytes=5-2",
        "bytes=-",
        "lines=1-2",
      ]) {
        const answer = await artifact({ headers: { range } });
        expect(answer, range.slice(0, 40)).toMatchObject({
          status: 200,
          headers: { "content-length": "300000" },
        });
      }
      const all = await artifact({ headers: { range: "bytes=-999999999999999" } });
      expect(all).toMatchObject({ status: 206, headers: { "content-length": "300000" } });
      expect((await artifact({ headers: { range: "bytes=-0" } })).status).toBe(416);
    });

    it("come by a signed URL without a certificate, and by none that was tampered with", async () => {
      const link = { sha256: imageHash, deviceId: null, validSeconds: 60 };
      const { path: signed } = await firmware.links.create("acme", link, SYSTEM_ACTOR);
      const answer = await fetch(signed, { headers: { range: "bytes=10-19" } });
      expect(answer.status).toBe(206);
      expect(answer.body.equals(image.subarray(10, 20))).toBe(true);
      const over = await firmware.links.create(
        "acme",
        { ...link, validSeconds: -60 },
        SYSTEM_ACTOR,
      );
      const foreign = await firmware.links
        .create("globex", link, SYSTEM_ACTOR)
        .catch((error) => error);
      expect(foreign).toMatchObject({ code: "not-found" });
      for (const url of [
        signed.replace("tenant=acme", "tenant=globex"),
        signed.replace(/expires=\d+/, "expires=99999999999"),
        signed.replace(imageHash, "0".repeat(64)),
        `${signed}&device=d-1`,
        `/artifacts/${imageHash}?`.concat("tenant=acme"),
        over.path,
      ]) {
        expect(problem(await fetch(url)), url.slice(80)).toMatchObject({ code: "link-refused" });
      }
      const keys = await fetch("/artifacts/link-keys", acme);
      expect(Object.keys(JSON.parse(keys.body.toString()).keys)).toHaveLength(3);
      expect((await fetch("/artifacts/link-keys")).status).toBe(403);
    });

    it("make their devices wait beyond the tenant's pace, each for a time of its own", async () => {
      const { tenants } = createTenancy({ db: test.db, clock: systemClock });
      await tenants.updateSettings("acme", { maxDownloads: 1 }, SYSTEM_ACTOR);
      // A download that has begun and does not end.
      const busy = await start(undefined, {
        async openArtifact(tenantId, sha256) {
          const artifact = await firmware.openArtifact(tenantId, sha256);
          const begun = () => {
            const content = new Readable({ read() {} });
            content.push(image.subarray(0, 1_000));
            return content;
          };
          return { ...artifact, read: async () => begun() };
        },
      });
      const { path: signed } = await firmware.links.create(
        "acme",
        { sha256: imageHash, deviceId: null, validSeconds: 60 },
        SYSTEM_ACTOR,
      );
      try {
        const socket = tls.connect({ host: "localhost", port: busy.port, ca: rootPem });
        socket.on("error", () => {});
        socket.write(`GET ${signed} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
        await once(socket, "data");
        const answer = await artifact({ port: busy.port });
        expect(problem(answer)).toMatchObject({ code: "rate-limited" });
        expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
        socket.destroy();
      } finally {
        await tenants.updateSettings("acme", { maxDownloads: 1_000 }, SYSTEM_ACTOR);
        await busy.close();
      }
    });

    it("are fetched from the store where that can be, once the device's right is known", async () => {
      const elsewhere = await start(undefined, {
        async openArtifact(tenantId, sha256) {
          const artifact = await firmware.openArtifact(tenantId, sha256);
          return { ...artifact, redirectUrl: async () => "https://store.example/x?signed=1" };
        },
      });
      try {
        const { port } = elsewhere;
        const answer = await artifact({ port, headers: { range: "bytes=5-" } });
        expect(answer).toMatchObject({
          status: 307,
          headers: { location: "https://store.example/x?signed=1", "cache-control": "no-store" },
        });
        expect(answer.headers.etag).toBeUndefined();
        expect(answer.body.length).toBe(0);
        expect((await artifact({ port, ...globex })).status).toBe(404);
        expect((await fetch(`/artifacts/${imageHash}`, { port })).status).toBe(403);
        // A question about it is answered here.
        expect((await artifact({ port, method: "HEAD" })).status).toBe(200);
      } finally {
        await elsewhere.close();
      }
    });

    it("are sent to one device a few times at once and no more", async () => {
      // More than the sockets' buffers take in, so that the first download is still under way.
      const large = Buffer.alloc(32 * 1024 * 1024);
      const manifest = makeManifest(large, { tenant: "acme", version: "1.1.0" });
      const envelope = signDocument(manifest, trustKeys.release);
      await firmware.publish("acme", { envelope, image: Readable.from([large]) }, SYSTEM_ACTOR);
      const strict = await start({ downloadsPerDevice: 1 });
      try {
        const held = https.get({
          host: "localhost",
          port: strict.port,
          path: `/artifacts/${manifest.image.sha256}`,
          ca: rootPem,
          agent: false,
          ...acme,
        });
        const [response] = await once(held, "response");
        const second = await artifact({ port: strict.port });
        expect(second).toMatchObject({ status: 429, headers: { "retry-after": "5" } });
        expect((await artifact({ port: strict.port, ...globex })).status).toBe(404);
        await response.toArray();
        await new Promise((resolve) => setTimeout(resolve, 50));
        expect((await artifact({ port: strict.port })).status).toBe(200);
      } finally {
        await strict.close();
      }
    });
  });

  describe("EST", () => {
    it("enrols a device by a claim token, and the certificate opens the door", async () => {
      const { token } = await newToken();
      const key = ecKey();
      const csr = requestFor(key, "acme", "d-new");
      const answer = await enroll(csr, basic(token));
      expect(answer.status, answer.body.toString()).toBe(200);
      expect(answer.headers).toMatchObject({
        "content-type": "application/pkcs7-mime; smime-type=certs-only",
        "content-transfer-encoding": "base64",
      });
      if (!openssl) return;
      const [leaf, ...more] = certificatesIn(answer.body);
      expect(more).toEqual([]);
      const authorities = certificatesIn((await fetch("/.well-known/est/acme/cacerts")).body);
      expect(authorities).toHaveLength(2);
      const cert = [leaf, ...authorities].join("\n");
      const pem = key.export({ type: "pkcs8", format: "pem" }) as string;
      expect((await artifact({ key: pem, cert })).status).toBe(200);
    });

    it("renews a certificate for the device that presents it, and for no other", async () => {
      const renew = (csr: string, options: object) =>
        fetch("/.well-known/est/acme/simplereenroll", {
          method: "POST",
          headers: { "content-type": "application/pkcs10" },
          body: csr,
          ...options,
        });
      expect((await renew(requestFor(ecKey(), "acme", "d-1"), acme)).status).toBe(200);
      expect((await renew(requestFor(ecKey(), "acme", "d-2"), acme)).status).toBe(400);
      expect((await renew(requestFor(ecKey(), "globex", "d-1"), globex)).status).toBe(404);
      expect((await renew(requestFor(ecKey(), "acme", "d-1"), {})).status).toBe(403);
    });

    it("refuses wrong tokens, used ones, other tenants' and other devices' names", async () => {
      const csr = requestFor(ecKey(), "acme", "d-x");
      const anonymous = await enroll(csr);
      expect(anonymous.status).toBe(401);
      expect(anonymous.headers["www-authenticate"]).toMatch(/^Basic /);
      expect(anonymous.headers["content-type"]).toContain("text/plain");
      for (const credentials of ["Bearer x", "Basic !!!", basic("", "operator:x")]) {
        expect((await enroll(csr, credentials)).status).toBe(401);
      }
      expect((await enroll(csr, basic("vc_wrong"))).status).toBe(401);
      const foreign = await newToken("globex");
      expect((await enroll(csr, basic(foreign.token))).status).toBe(401);
      const narrow = await newToken("acme", 5, "sensor-*");
      expect((await enroll(csr, basic(narrow.token))).status).toBe(403);
      const once = await newToken();
      expect((await enroll(csr, basic(once.token))).status).toBe(200);
      const again = requestFor(ecKey(), "acme", "d-y");
      expect((await enroll(again, basic(once.token))).status).toBe(403);
    });

    it("refuses bodies that are no request, of another type, or too large", async () => {
      const { token } = await newToken("acme", 10);
      const post = (body: string, type = "application/pkcs10") =>
        enroll(body, undefined, {
          headers: { "content-type": type, authorization: basic(token) },
        });
      expect((await post("")).status).toBe(400);
      expect((await post("bm90IGEgcmVxdWVzdA==")).status).toBe(400);
      expect((await post("{}", "application/json")).status).toBe(415);
      expect((await post("A".repeat(20_000))).status).toBe(413);
      const elsewhere = requestFor(ecKey(), "nobody", "d-z");
      expect((await enroll(elsewhere, basic(token), {}, "nobody")).status).toBe(404);
      expect((await enroll(elsewhere, basic(token), {}, "..")).status).toBe(404);
      expect((await fetch("/.well-known/est/nobody/cacerts")).status).toBe(404);
      expect((await fetch("/.well-known/est/acme/csrattrs")).status).toBe(200);
    });

    it("makes an address that keeps failing wait", async () => {
      const strict = await start({ enrolmentFailures: 3 });
      try {
        const attempt = (token: string) =>
          enroll(requestFor(ecKey(), "acme", "d-w"), basic(token), { port: strict.port });
        for (let count = 0; count < 3; count += 1) {
          expect((await attempt("vc_guess")).status).toBe(401);
        }
        const { token } = await newToken();
        const refused = await attempt(token);
        expect(refused.status).toBe(429);
        expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
      } finally {
        await strict.close();
      }
    });
  });

  it("tells a device what it must know before it has a certificate", async () => {
    const answer = await fetch("/enrolment/acme/trust");
    expect(answer.status).toBe(200);
    const trustRoot = await firmware.trustRoot("acme");
    const told = { tenant: "acme", trustRoot, rootPem, mqttUrl: MQTT_URL, httpsUrl: HTTPS_URL };
    expect(JSON.parse(answer.body.toString())).toEqual(told);
    const chain = await fetch("/enrolment/acme/trust?after=0");
    expect(JSON.parse(chain.body.toString()).trustRoots).toEqual([trustRoot]);
    for (const [url, status] of [
      ["/enrolment/acme/trust?after=x", 400],
      ["/enrolment/globex/trust", 404],
      ["/enrolment/nobody/trust", 404],
      ["/enrolment/.%2e/trust", 404],
      ["/", 404],
    ] as const) {
      expect((await fetch(url)).status, url).toBe(status);
    }
  });

  it("says that it is well", async () => {
    expect((await fetch("/healthz")).status).toBe(200);
  });

  it("ends connections that say nothing, or say it too slowly", async () => {
    const hasty = await start({ headersTimeoutMs: 300, requestTimeoutMs: 300, idleTimeoutMs: 300 });
    try {
      const socket = tls.connect({ port: hasty.port, host: "127.0.0.1", ca: rootPem });
      socket.on("error", () => {});
      await once(socket, "secureConnect");
      const trickle = setInterval(() => socket.write("x"), 50);
      socket.write("GET /healthz HTTP/1.1\r\nx-slow: ");
      socket.resume();
      await once(socket, "close");
      clearInterval(trickle);
    } finally {
      await hasty.close();
    }
  });

  it("refuses headers that are too large and TLS that is too old", async () => {
    const answer = await fetch("/healthz", { headers: { "x-big": "a".repeat(20_000) } });
    expect(answer.status).toBe(431);
    const old = fetch("/healthz", { maxVersion: "TLSv1.1", minVersion: "TLSv1.1" });
    await expect(old).rejects.toThrow();
  });
});

function ecKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;
}

function requestFor(privateKey: KeyObject, tenantId: string, deviceId: string): string {
  const commonName = `${tenantId}/${deviceId}`;
  const der = createCertificateRequest({ privateKey, commonName, organization: tenantId });
  return der.toString("base64").replace(/(.{64})/g, "$1\n");
}

function basic(token: string, credentials = `claim:${token}`): string {
  return `Basic ${Buffer.from(credentials).toString("base64")}`;
}

function problem(answer: Answer) {
  return JSON.parse(answer.body.toString());
}

/** What openssl reads in an answer of EST. */
function certificatesIn(body: Buffer): string[] {
  const der = Buffer.from(body.toString(), "base64");
  const { stdout } = spawnSync("openssl", ["pkcs7", "-inform", "DER", "-print_certs"], {
    input: der,
  });
  const pattern = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
  return stdout.toString().match(pattern) ?? [];
}

/** A certificate that nobody vouches for, made by openssl where there is one. */
function selfSigned(): Credentials | Record<string, never> {
  if (!openssl) return {};
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-forged-"));
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => path.join(folder, name)) as [
    string,
    string,
  ];
  spawnSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-keyout", key, "-out", cert, "-subj", "/O=acme/CN=acme\\/d-1", "-days", "1"],
    ...["-addext", "subjectAltName=URI:spiffe://acme.devices.vautn.internal/device/d-1"],
    ...["-addext", "extendedKeyUsage=clientAuth", "-addext", "basicConstraints=CA:FALSE"],
  ]);
  const forged = { key: fs.readFileSync(key, "utf8"), cert: fs.readFileSync(cert, "utf8") };
  fs.rmSync(folder, { recursive: true });
  return forged;
}
