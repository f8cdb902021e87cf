import { type ChildProcess, fork } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import type { IncomingMessage } from "node:http";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openBlobStore } from "../../src/blobs/index.ts";
import { LocalBus } from "../../src/bus/index.ts";
import { createFirmware } from "../../src/firmware/index.ts";
import { createIdentity } from "../../src/identity/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createCertificateRequest, signDocument } from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR, type Tenancy } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { until } from "../support/gateway.ts";
import { newKey, pemOf } from "../support/pki.ts";
import { makeKey, makeManifest, makeRoot } from "../support/signing.ts";
import { silentLogger } from "../support/timeseries.ts";

const ENTRY = path.resolve(import.meta.dirname, "../support/device-http-process.ts");
const PATIENCE_MS = 60_000;
/** More than sockets hold: who does not read keeps the place. */
const image = randomBytes(24 * 1024 ** 2);
const imageHash = createHash("sha256").update(image).digest("hex");

let test: TestDatabase;
let directory: string;
let tenancy: Tenancy;
let rootPem: string;
const devices: { key: string; cert: string }[] = [];
const children: ChildProcess[] = [];
const ports: number[] = [];

async function startProcess(name: string): Promise<void> {
  const child = fork(ENTRY, [test.appUrl, directory, name]);
  // Both start at once, and the second may be the first to listen.
  const index = children.push(child) - 1;
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  ports[index] = port;
}

beforeAll(async () => {
  test = await createTestDatabase();
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-shares-"));
  tenancy = createTenancy({ db: test.db, clock: systemClock });
  const shared = {
    ...{ db: test.db, clock: systemClock, logger: silentLogger, tenancy, bus: new LocalBus() },
    sealer: createSealer(Buffer.alloc(32, 1)),
    trustDomain: "devices.vautn.internal",
    publicHost: "localhost",
    blobs: openBlobStore({ directory }),
  };
  const identity = createIdentity(shared);
  const firmware = createFirmware(shared);
  await identity.ensurePlatform();
  await tenancy.tenants.create({ id: "acme", name: "acme" }, SYSTEM_ACTOR);
  await identity.ensureTenantAuthority("acme");
  const keys = { root: makeKey(), release: [makeKey()] };
  const online = await firmware.ensureOnlineKeys("acme");
  await firmware.setTrustRoot("acme", makeRoot("acme", keys, online), SYSTEM_ACTOR);
  const manifest = makeManifest(image, { tenant: "acme", version: "1.0.0" });
  const envelope = signDocument(manifest, keys.release);
  await firmware.publish("acme", { envelope, image: Readable.from([image]) }, SYSTEM_ACTOR);
  await firmware.stop();
  rootPem = await identity.rootCertificatePem();
  for (let index = 0; index < 8; index += 1) {
    const key = newKey();
    const { chainPem } = await identity.enroll({
      ...{ tenantId: "acme", via: "test" },
      csr: createCertificateRequest({
        ...{ privateKey: key, organization: "acme", commonName: `acme/d-${index}` },
      }),
      authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId: `d-${index}` },
      device: { product: "hub", hardwareRevision: "a" },
    });
    devices.push({ key: pemOf(key), cert: chainPem });
  }
  await Promise.all([startProcess("left"), startProcess("right")]);
}, 60_000);

afterAll(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const exited = once(child, "exit");
    child.send("stop");
    await exited;
  }
  await test?.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

/** Begins a download and reads nothing of it. */
async function begin(process: number, device: number): Promise<IncomingMessage> {
  const request = https.get({
    ...{ host: "localhost", port: ports[process], path: `/artifacts/${imageHash}` },
    ...{ ca: rootPem, agent: false, ...devices[device] },
  });
  request.on("error", () => {});
  const [response] = (await once(request, "response")) as [IncomingMessage];
  if (response.statusCode !== 200) response.destroy();
  return response;
}

/** As devices do, who come again when they were told to: a busy machine may lose a lease of ten seconds. */
async function beginAtLast(process: number, device: number): Promise<IncomingMessage> {
  let response: IncomingMessage | undefined;
  await until(async () => {
    response = await begin(process, device);
    return response.statusCode === 200;
  }, PATIENCE_MS);
  return response as IncomingMessage;
}

describe("devices' HTTPS in two processes", () => {
  const running: IncomingMessage[] = [];
  const held = () =>
    test.db.platform((tx) =>
      tx.selectFrom("download_shares").selectAll().orderBy("process").execute(),
    );

  it("lets as many downloads of a tenant in as one would, and each process gets its part", async () => {
    await tenancy.tenants.updateSettings("acme", { maxDownloads: 4 }, SYSTEM_ACTOR);
    // Four that come at once to a process that is alone: it takes all there is.
    running.push(...(await Promise.all([0, 1, 2, 3].map((device) => beginAtLast(0, device)))));
    for (const [process, device] of [
      [0, 4],
      [1, 5],
      [1, 6],
    ] as const) {
      const { statusCode, headers } = await begin(process, device);
      expect(statusCode).toBe(429);
      expect(Number(headers["retry-after"])).toBeGreaterThan(0);
    }
    // Two of them end; the other process, whose devices wait as well, gets a place.
    for (const response of running.splice(0, 2)) response.destroy();
    running.push(await beginAtLast(1, 5));
    const rows = await held();
    expect(rows.map((row) => row.process)).toEqual(["left", "right"]);
    expect(rows.reduce((sum, row) => sum + row.places, 0)).toBeLessThanOrEqual(4);
  }, 120_000);

  it("gives the part of a process that has died to the others once its lease has ended", async () => {
    const left = children[0] as ChildProcess;
    const exited = once(left, "exit");
    left.kill("SIGKILL");
    await exited;
    for (const response of running.splice(0)) response.destroy();
    // Ten seconds that nobody needs to wait for.
    await test.db.platform((tx) =>
      tx
        .updateTable("download_shares")
        .set({ until: new Date(0) })
        .execute(),
    );
    for (const device of [4, 5, 6, 7]) running.push(await beginAtLast(1, device));
    expect((await begin(1, 0)).statusCode).toBe(429);
    for (const response of running) response.destroy();
  }, 240_000);

  it("leaves nothing behind when it stops", async () => {
    const right = children[1] as ChildProcess;
    const exited = once(right, "exit");
    right.send("stop");
    await exited;
    expect((await held()).filter((row) => row.process === "right")).toEqual([]);
  });
});
