import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LocalBus } from "../../src/bus/index.ts";
import {
  certsOnlyPkcs7,
  createIdentity,
  type DevicePeer,
  type Identity,
} from "../../src/identity/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createCertificateRequest } from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

interface Client {
  key: string;
  cert: string;
}

describe("identity over real mutual TLS", () => {
  let test: TestDatabase;
  let identity: Identity;
  let server: tls.Server;
  let port: number;
  let outcome: Promise<DevicePeer | string>;
  let rootPem: string;

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
    await Promise.all([identity.ensurePlatform(), identity.ensurePlatform()]);
    for (const id of ["acme", "globex"]) {
      await tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
      await identity.ensureTenantAuthority(id);
    }
    rootPem = await identity.rootCertificatePem();
    const { keyPem, certificatePem } = await identity.serverCredentials();
    server = tls.createServer({
      key: keyPem,
      cert: certificatePem,
      ca: rootPem,
      requestCert: true,
      rejectUnauthorized: false,
    });
    server.on("secureConnection", (socket) => {
      outcome = identity
        .authenticatePeer(socket)
        .catch((error) => String(error.details?.reason ?? error.message));
      outcome.then(() => socket.end("x"));
      socket.on("error", () => {});
      socket.resume();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    port = (server.address() as { port: number }).port;
  });

  afterAll(async () => {
    server.close();
    await test.close();
  });

  const makeKey = () => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const actor = SYSTEM_ACTOR;

  async function enroll(tenantId: string, deviceId: string): Promise<Client & { serial: string }> {
    const key = makeKey();
    const csr = createCertificateRequest({
      privateKey: key,
      commonName: `${tenantId}/${deviceId}`,
      organization: tenantId,
    });
    const { chainPem, serial } = await identity.enroll({
      tenantId,
      csr,
      via: "operator",
      authority: { kind: "operator", actor, deviceId },
      device: { product: "pump", hardwareRevision: "a" },
    });
    return { key: key.export({ type: "pkcs8", format: "pem" }) as string, cert: chainPem, serial };
  }

  async function knock(client?: Client, session?: Buffer) {
    const socket = tls.connect({
      port,
      host: "127.0.0.1",
      servername: "localhost",
      ca: rootPem,
      ...(client ? { key: client.key, cert: client.cert } : {}),
      ...(session ? { session } : {}),
    });
    let ticket: Buffer | undefined;
    socket.on("session", (value) => {
      ticket = value;
    });
    let reused = false;
    socket.on("secureConnect", () => {
      reused = socket.isSessionReused();
    });
    socket.resume();
    await once(socket, "close");
    return { outcome: await outcome, ticket, reused };
  }

  it("knows a device on a new and on a resumed session, and refuses both once it is revoked", async () => {
    const client = await enroll("acme", "pump-1");
    const first = await knock(client);
    expect(first.outcome).toMatchObject({
      tenantId: "acme",
      deviceId: "pump-1",
      serial: client.serial,
    });
    const resumed = await knock(client, first.ticket);
    expect(resumed).toMatchObject({ reused: true, outcome: { deviceId: "pump-1" } });
    const told = new Promise((resolve) => identity.onStandingChanged(resolve));
    await identity.revoke("acme", { deviceId: "pump-1" }, "stolen", actor);
    expect(await told).toMatchObject({ tenantId: "acme", deviceId: "pump-1" });
    expect((await knock(client)).outcome).toBe("revoked");
    expect(await knock(client, resumed.ticket ?? first.ticket)).toMatchObject({
      reused: true,
      outcome: "revoked",
    });
    await expect(enroll("acme", "pump-1")).rejects.toMatchObject({ code: "claim-refused" });
  });

  it("knows a device that sends its own certificate alone, without its authority's", async () => {
    const client = await enroll("acme", "pump-short");
    const [leaf = ""] = client.cert.split(/(?<=-----END CERTIFICATE-----\n)/);
    const alone = { key: client.key, cert: leaf };
    const first = await knock(alone);
    expect(first.outcome).toMatchObject({ deviceId: "pump-short", serial: client.serial });
    expect((await knock(alone, first.ticket)).outcome).toMatchObject({ deviceId: "pump-short" });
    await identity.revoke("acme", { deviceId: "pump-short" }, "stolen", actor);
    expect((await knock(alone)).outcome).toBe("revoked");
  });

  it("refuses who shows no certificate", async () => {
    expect((await knock()).outcome).toBe("missing");
  });

  it("enrols by claim token within its pattern, count and time, and never a device that is enrolled", async () => {
    const { token } = await identity.claimTokens.create(
      "acme",
      {
        name: "line 1",
        devicePattern: "hub-*",
        product: "hub",
        hardwareRevision: "b",
        region: "berlin",
        maxUses: 2,
        expiresAt: new Date(Date.now() + 60_000),
      },
      actor,
    );
    const claim = (tenantId: string, deviceId: string) =>
      identity.enroll({
        tenantId,
        csr: createCertificateRequest({
          privateKey: makeKey(),
          commonName: `${tenantId}/${deviceId}`,
          organization: tenantId,
        }),
        via: "est",
        authority: { kind: "claim", token },
      });
    await expect(claim("acme", "pump-9")).rejects.toMatchObject({ details: { reason: "pattern" } });
    await expect(claim("globex", "hub-1")).rejects.toMatchObject({
      details: { reason: "unknown" },
    });
    await claim("acme", "hub-1");
    await expect(claim("acme", "hub-1")).rejects.toMatchObject({ details: { reason: "enrolled" } });
    const results = await Promise.allSettled([2, 3, 4, 5].map((n) => claim("acme", `hub-${n}`)));
    expect(results.filter((result) => result.status === "fulfilled")).toHaveLength(1);
    const row = await test.db.tenant("acme", (tx) =>
      tx.selectFrom("devices").selectAll().where("id", "=", "hub-1").executeTakeFirst(),
    );
    expect(row).toMatchObject({ product: "hub", hardware_revision: "b", region: "berlin" });
  });

  it("issues nothing to a request that names someone else, is altered or holds a weak key", async () => {
    const request = (commonName: string) =>
      createCertificateRequest({ privateKey: makeKey(), commonName, organization: "acme" });
    const asPump7 = (csr: Uint8Array | string) =>
      identity.enroll({
        tenantId: "acme",
        csr,
        via: "operator",
        authority: { kind: "operator", actor, deviceId: "pump-7" },
      });
    await enroll("acme", "pump-7");
    const altered = request("acme/pump-7");
    altered[altered.length - 5] = (altered[altered.length - 5] as number) ^ 1;
    for (const csr of [
      request("acme/pump-8"),
      request("globex/pump-7"),
      request("pump-8"),
      altered,
      "nonsense",
      "",
      Buffer.alloc(20_000, 0x30),
    ]) {
      await expect(asPump7(csr)).rejects.toMatchObject({ code: "csr-invalid" });
    }
    await asPump7(request("acme/pump-7"));
  });

  const openssl = (() => {
    try {
      execFileSync("openssl", ["version"]);
      return true;
    } catch {
      return false;
    }
  })();

  it.skipIf(!openssl)(
    "makes chains that OpenSSL accepts strictly, and constrains each tenant's CA",
    async () => {
      const client = await enroll("acme", "pump-x509");
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-pki-"));
      const write = (name: string, text: string | Buffer) => {
        fs.writeFileSync(path.join(folder, name), text);
        return path.join(folder, name);
      };
      const [leaf, authority] = client.cert.split(/(?<=-----END CERTIFICATE-----\n)/) as [
        string,
        string,
      ];
      const verify = execFileSync("openssl", [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslclient",
        "-CAfile",
        write("root.pem", rootPem),
        "-untrusted",
        write("ca.pem", authority),
        write("leaf.pem", leaf),
      ]);
      expect(String(verify)).toContain("OK");
      const text = String(
        execFileSync("openssl", ["x509", "-in", path.join(folder, "ca.pem"), "-noout", "-text"]),
      );
      expect(text).toMatch(/Name Constraints: critical/);
      expect(text).toContain("URI:acme.devices.vautn.internal");
      const p7 = execFileSync("openssl", ["pkcs7", "-inform", "DER", "-print_certs"], {
        input: certsOnlyPkcs7([client.cert]),
      });
      expect(String(p7).match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
      fs.rmSync(folder, { recursive: true });
    },
  );
});
