// The devices' HTTPS of bench/distribution.ts in a process of its own, with one image to download.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { openBlobStore } from "../src/blobs/index.ts";
import { prepareEmbeddedDatabase, startPostgres } from "../src/db/index.ts";
import { startDeviceHttp } from "../src/device-http/index.ts";
import { createFirmware } from "../src/firmware/index.ts";
import { systemClock } from "../src/kernel/index.ts";
import { createLogger } from "../src/kernel/logger.ts";
import { createSealer } from "../src/kernel/sealing.ts";
import { createCertificateRequest } from "../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../src/tenancy/index.ts";
import { openInstallation } from "./pki-installation.ts";

const IMAGE_BYTES = 64 * 1024 ** 2;

process.once("message", async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-"));
  const postgres = await startPostgres({ directory: path.join(directory, "postgres") });
  const urls = await prepareEmbeddedDatabase(postgres);
  const { db, tenancy, identity } = openInstallation(urls.appUrl);
  await identity.ensurePlatform();
  await tenancy.tenants.create({ id: "acme", name: "acme" }, SYSTEM_ACTOR);
  await identity.ensureTenantAuthority("acme");
  const blobs = openBlobStore({ directory: path.join(directory, "blobs") });
  const logger = createLogger({ level: "error" });
  const sealer = createSealer(Buffer.alloc(32, 1));
  const firmware = createFirmware({ db, clock: systemClock, blobs, sealer, tenancy, logger });
  const { sha256 } = await blobs.put(Readable.from([randomBytes(IMAGE_BYTES)]), {
    maxBytes: IMAGE_BYTES,
  });
  await db.tenant("acme", (tx) =>
    tx
      .insertInto("artifacts")
      .values({
        ...{ tenant_id: "acme", sha256, size_bytes: IMAGE_BYTES, kind: "image" },
        created_at: new Date(),
      })
      .execute(),
  );
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { chainPem } = await identity.enroll({
    tenantId: "acme",
    csr: createCertificateRequest({
      ...{ privateKey, commonName: "acme/d-1", organization: "acme" },
    }),
    via: "bench",
    authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId: "d-1" },
    device: { product: "hub", hardwareRevision: "a" },
  });
  const server = await startDeviceHttp({
    ...{ identity, firmware, tenancy, clock: systemClock, logger },
    port: 0,
    bindAddress: "127.0.0.1",
    mqttUrl: "mqtts://localhost",
    httpsUrl: "https://localhost",
    limits: { downloadsPerDevice: 1_000 },
  });
  process.on("message", async (wish: string) => {
    if (wish === "cpu") process.send?.(process.cpuUsage());
    if (wish !== "stop") return;
    await server.close();
    await firmware.stop();
    await db.close();
    await postgres.stop();
    fs.rmSync(directory, { recursive: true, force: true });
    process.exit(0);
  });
  process.send?.({
    port: server.port,
    sha256,
    sizeBytes: IMAGE_BYTES,
    file: await blobs.localPath(sha256),
    key: privateKey.export({ type: "pkcs8", format: "pem" }),
    cert: chainPem,
    root: await identity.rootCertificatePem(),
    serverCredentials: await identity.serverCredentials(),
  });
});
