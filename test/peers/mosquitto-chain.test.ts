import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../../src/db/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import {
  createInstallation,
  type EnrolledKey,
  type Installation,
} from "../support/installation.ts";
import { forge, pemOf } from "../support/pki.ts";

const run = promisify(execFile);
const isPresent = ["mosquitto", "mosquitto_pub"].every(
  (program) => spawnSync(program, ["-h"]).error === undefined,
);

/** Somebody else's broker that trusts our chain, with our server certificate. */
describe.skipIf(!isPresent)("a mosquitto broker (skipped where it is not installed)", () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-broker-"));
  const file = (name: string, text?: string) => {
    const full = path.join(directory, name);
    if (text !== undefined) fs.writeFileSync(full, text, { mode: 0o644 });
    return full;
  };
  let test: TestDatabase;
  let installation: Installation;
  let broker: ChildProcess;
  let port: number;
  let log = "";

  beforeAll(async () => {
    fs.chmodSync(directory, 0o755);
    test = await createTestDatabase();
    installation = createInstallation(test);
    const { identity, tenancy } = installation;
    await identity.ensurePlatform();
    await tenancy.tenants.create({ id: "acme", name: "acme" }, SYSTEM_ACTOR);
    const { keyPem, certificatePem } = await identity.serverCredentials();
    port = await freePort();
    const lines = [
      `listener ${port} 127.0.0.1`,
      `cafile ${file("ca.pem", await identity.rootCertificatePem())}`,
      `certfile ${file("server.pem", certificatePem)}`,
      `keyfile ${file("server.key", keyPem)}`,
      "require_certificate true",
      "use_subject_as_username true",
      "allow_anonymous false",
      "log_type all",
    ];
    broker = spawn("mosquitto", ["-c", file("broker.conf", `${lines.join("\n")}\n`)]);
    for (const stream of [broker.stdout, broker.stderr]) {
      stream?.on("data", (chunk) => {
        log += chunk;
      });
    }
    await untilListening(port);
  });
  afterAll(async () => {
    const ended = new Promise((resolve) => broker.once("close", resolve));
    broker.kill();
    await ended;
    await test.close();
    fs.rmSync(directory, { recursive: true });
  });

  async function publishAs(device: { key: string; cert: string }): Promise<string> {
    const credentials = ["--cert", file("d.pem", device.cert), "--key", file("d.key", device.key)];
    const argv = [
      "--cafile",
      file("ca.pem"),
      ...credentials,
      "-h",
      "localhost",
      "-p",
      String(port),
    ];
    try {
      await run("mosquitto_pub", [...argv, "-i", "any", "-q", "1", "-t", "t", "-m", "m"], {
        timeout: 10_000,
      });
      return "published";
    } catch (error) {
      return String((error as { stderr: string }).stderr);
    }
  }
  const credentialsOf = (device: EnrolledKey) => ({
    key: pemOf(device.key),
    cert: device.chainPem,
  });

  it("and its clients accept our server certificate and a device's of ours", async () => {
    const device = await installation.enroll("d-1");
    expect(await publishAs(credentialsOf(device))).toBe("published");
    // RFC 2253 puts the common name first.
    expect(log).toContain("CN=acme/d-1,O=acme");
  });

  it("accepts old and new devices while the tenant's authority is rotated", async () => {
    const old = await installation.enroll("d-old");
    const what = { kind: "tenant", tenantId: "acme" } as const;
    await installation.identity.pki.rotate(what, { kind: "sealed" }, SYSTEM_ACTOR);
    const fresh = await installation.enroll("d-new");
    for (const device of [old, fresh]) {
      expect(await publishAs(credentialsOf(device))).toBe("published");
    }
  });

  it("refuses a stranger of the same name", async () => {
    const stranger = await forge({
      subject: "O=acme, CN=acme/d-1",
      uris: ["spiffe://acme.devices.vautn.internal/device/d-1"],
      usage: ["1.3.6.1.5.5.7.3.2"],
    });
    const verdict = await publishAs({ key: stranger.keyPem, cert: stranger.certificatePem });
    expect(verdict).not.toBe("published");
  });
});

async function untilListening(port: number): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    const socket = net.connect(port, "127.0.0.1");
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("mosquitto does not listen");
}
