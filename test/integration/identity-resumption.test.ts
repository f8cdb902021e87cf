import { once } from "node:events";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LocalBus } from "../../src/bus/index.ts";
import { createIdentity, type DevicePeer, type Identity } from "../../src/identity/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createCertificateRequest } from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { forge, newKey, pemOf } from "../support/pki.ts";

describe.each(["TLSv1.3", "TLSv1.2"] as const)("a resumed %s session", (version) => {
  let test: TestDatabase;
  let identity: Identity;
  let server: tls.Server;
  let rootPem: string;
  let verdicts: { reused: boolean; verdict: DevicePeer | string }[] = [];

  beforeAll(async () => {
    test = await createTestDatabase();
    const tenancy = createTenancy({ db: test.db, clock: systemClock });
    identity = createIdentity({
      db: test.db,
      clock: systemClock,
      sealer: createSealer(Buffer.alloc(32, 1)),
      bus: new LocalBus(),
      tenancy,
      trustDomain: "devices.vautn.internal",
      publicHost: "localhost",
      logger: createLogger({ level: "silent" }),
    });
    await identity.ensurePlatform();
    await tenancy.tenants.create({ id: "acme", name: "Acme" }, SYSTEM_ACTOR);
    rootPem = await identity.rootCertificatePem();
    const { keyPem, certificatePem } = await identity.serverCredentials();
    server = tls.createServer({
      key: keyPem,
      cert: certificatePem,
      ca: rootPem,
      requestCert: true,
      rejectUnauthorized: false,
      sessionIdContext: "test",
      minVersion: version,
      maxVersion: version,
    });
    server.on("secureConnection", async (socket) => {
      const reused = socket.isSessionReused();
      const verdict = await identity
        .authenticatePeer(socket)
        .catch((error) => String(error.details?.reason ?? error));
      verdicts.push({ reused, verdict });
      socket.end("x");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  afterAll(async () => {
    server.close();
    await test.close();
  });

  async function connect(client: { key: string; cert: string }, session?: Buffer) {
    verdicts = [];
    let ticket = session;
    const socket = tls.connect({
      ...client,
      port: (server.address() as { port: number }).port,
      host: "127.0.0.1",
      servername: "localhost",
      ca: rootPem,
      ...(session ? { session } : {}),
    });
    socket.on("session", (value) => {
      ticket = value;
    });
    socket.resume();
    await once(socket, "close");
    return { ...verdicts[0], ticket };
  }

  async function enroll(deviceId: string) {
    const key = newKey();
    const { chainPem } = await identity.enroll({
      tenantId: "acme",
      csr: createCertificateRequest({
        privateKey: key,
        commonName: `acme/${deviceId}`,
        organization: "acme",
      }),
      via: "test",
      authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId },
      device: { product: "hub", hardwareRevision: "a" },
    });
    return { key: pemOf(key), cert: chainPem };
  }

  it("still names its device", async () => {
    const client = await enroll("stays");
    const first = await connect(client);
    expect(first).toMatchObject({ reused: false, verdict: { deviceId: "stays" } });
    const second = await connect(client, first.ticket);
    expect(second).toMatchObject({ reused: true, verdict: { deviceId: "stays" } });
  });

  it("is refused once the certificate was revoked", async () => {
    const client = await enroll("leaves");
    const first = await connect(client);
    await identity.revoke("acme", { deviceId: "leaves" }, "stolen", SYSTEM_ACTOR);
    const second = await connect(client, first.ticket);
    expect(second).toMatchObject({ reused: true, verdict: "revoked" });
  });

  it("does not wash clean a certificate that was refused at first", async () => {
    const forged = await forge({
      subject: "O=acme, CN=acme/forged",
      uris: ["spiffe://acme.devices.vautn.internal/device/forged"],
      usage: ["1.3.6.1.5.5.7.3.2"],
    });
    const client = { key: forged.keyPem, cert: forged.certificatePem };
    const first = await connect(client);
    expect(first).toMatchObject({ reused: false, verdict: "foreign-ca" });
    const second = await connect(client, first.ticket);
    expect(second).toMatchObject({ reused: true, verdict: "foreign-ca" });
  });
});
