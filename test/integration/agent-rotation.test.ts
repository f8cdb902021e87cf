import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import tls from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  CredentialStore,
  createEstClient,
  createHttpsArtifacts,
  createMqttTransport,
  openFileStorage,
  writeProvisioning,
} from "../../src/agent/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestPki } from "../support/device-pki.ts";
import { type FileAgent, rightsIn, startFileAgent } from "../support/file-agent.ts";
import { until } from "../support/gateway.ts";
import { forge } from "../support/pki.ts";
import {
  DAY_MS,
  type EnrolledDevice,
  type RotationPlatform,
  startRotationPlatform,
} from "../support/rotation-platform.ts";

const SERVER = "1.3.6.1.5.5.7.3.1";
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-agents-"));
const running: FileAgent[] = [];
let platform: RotationPlatform;

beforeAll(async () => {
  platform = await startRotationPlatform(200);
});
afterEach(async () => {
  await Promise.all(running.splice(0).map(({ agent }) => agent.stop()));
});
afterAll(async () => {
  await platform?.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

/** A device's folder as `vautn device enroll` writes it. */
async function provision(device: string, enrolled?: EnrolledDevice): Promise<EnrolledDevice> {
  const identity = enrolled ?? (await platform.enroll(device));
  await writeProvisioning(path.join(folder, device, "identity"), {
    tenant: "acme",
    device,
    product: "sensor",
    hardwareRevision: "r1",
    mqttUrl: platform.mqttUrl,
    httpsUrl: platform.httpsUrl,
    key: identity.key,
    certificate: identity.cert,
    root: platform.rootPem,
    trustRoot: platform.trustRoot,
  });
  return identity;
}

async function start(
  device: string,
  options: Parameters<typeof startFileAgent>[1] = {},
): Promise<FileAgent> {
  const started = await startFileAgent(path.join(folder, device), options);
  running.push(started);
  return started;
}

async function order(device: string): Promise<string> {
  const wanted = { deviceIds: [device], name: "rotate-certificate", args: {}, ttlSeconds: 60 };
  const [command] = await platform.commands.send("acme", wanted, SYSTEM_ACTOR, null);
  return command?.id ?? "";
}

const statuses = async (device: string) =>
  (await platform.identity.certificates("acme", device)).map(({ status, revocationReason }) =>
    revocationReason ? `${status}: ${revocationReason}` : status,
  );

describe.each(["est", "mqtt"] as const)("the agent, by %s", (way) => {
  it("renews on command, confirms, and the old certificate is revoked", async () => {
    const device = `on-command-${way}`;
    const old = await provision(device);
    const { agent, log } = await start(device, { way });
    await until(() => agent.status()?.connected === true);
    const id = await order(device);
    await until(
      async () => (await platform.commands.get("acme", id)).status === "succeeded",
      20_000,
    );
    expect(await statuses(device)).toEqual(["active", "revoked: superseded"]);
    const serial = agent.status()?.certificate?.serial;
    expect(serial).not.toBe(old.serial);
    const state = () => platform.identity.rotation.state("acme", device);
    await until(async () => (await state())?.step === "done");
    expect(await state()).toMatchObject({ error: null, failures: 0, serial });
    await until(() => agent.status()?.connected === true);
    // Whatever of it may be read by others, keys may not.
    const rights = rightsIn(path.join(folder, device, "identity"));
    const keys = Object.entries(rights).filter(([name]) => name.includes("key"));
    expect(keys).toHaveLength(3);
    expect(keys.map(([, mode]) => mode)).toEqual([0o600, 0o600, 0o600]);
    expect(log.join("\n")).not.toMatch(/PRIVATE KEY/);
  });

  it("comes back after its certificate has expired, within the grace window", async () => {
    const device = `expired-${way}`;
    platform.shift(-93 * DAY_MS);
    const old = await platform.enroll(device);
    platform.shift(0);
    await provision(device, old);
    const { agent } = await start(device, { way });
    await until(() => agent.status()?.connected === true, 20_000);
    expect(agent.status()?.certificate?.serial).not.toBe(old.serial);
    await until(async () => (await statuses(device)).includes("revoked: superseded"));
  });

  it("takes up new authorities and roots, while the old ones are trusted too", async () => {
    const device = `authority-${way}`;
    const old = await provision(device);
    const rotation = { way, backOff: { baseMs: 200, capMs: 1_000 }, timeoutMs: 10_000 };
    const settings = { rotation: { ...rotation, authoritiesSpreadMs: 0 } };
    const { agent } = await start(device, { way, settings });
    await until(() => agent.status()?.connected === true);
    expect(agent.status()?.certificate?.serial).toBe(old.serial);
    await agent.stop();
    if (way === "est") await platform.identity.pki.rotateRoot({ kind: "sealed" }, SYSTEM_ACTOR);
    await platform.identity.pki.rotate(
      { kind: "tenant", tenantId: "acme" },
      { kind: "sealed" },
      SYSTEM_ACTOR,
    );

    const again = await start(device, { way, settings });
    await until(() => again.agent.status()?.certificate?.serial !== old.serial, 30_000);
    await until(async () => (await statuses(device)).includes("revoked: superseded"), 20_000);
    await until(() => again.credentials.state.rotation === null);
    expect(again.credentials.state.announced).toBeNull();
    const root = fs.readFileSync(path.join(folder, device, "identity", "root.pem"), "utf8");
    expect(root).toBe(await platform.identity.rootCertificatePem());
    expect(root.match(/BEGIN/g)?.length).toBeGreaterThan(1);
  });
});

describe("the agent's process, killed at a change of its identity's files", () => {
  const children: ChildProcess[] = [];
  afterAll(() => {
    for (const child of children) child.kill("SIGKILL");
  });

  /** Runs the agent until it dies or the new certificate is in use; says how it ended. */
  async function run(device: string, way: string, killAt: number, oldSerial: string) {
    const script = path.resolve(import.meta.dirname, "../support/killed-agent.ts");
    const args = [script, path.join(folder, device), way, String(killAt)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    children.push(child);
    let last = { serial: "", rotation: "", connected: false };
    let text = "";
    child.stdout?.on("data", (chunk) => {
      text += chunk;
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) last = JSON.parse(line);
    });
    const ended = once(child, "exit").then(() => "killed" as const);
    const isRotated = () =>
      last.serial !== "" && last.serial !== oldSerial && last.rotation === null && last.connected;
    let ordered = false;
    const rotated = until(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return true;
      if (last.connected && !ordered && last.rotation === null && !isRotated()) {
        ordered = true;
        await order(device);
      }
      return isRotated();
    }, 30_000).then(() => "rotated" as const);
    const outcome = await Promise.race([ended, rotated]);
    child.kill("SIGTERM");
    await ended;
    return outcome;
  }

  it.each(["est", "mqtt"])(
    "always connects again, and rotates in the end, by %s",
    async (way) => {
      const device = `killed-${way}`;
      let { serial } = await provision(device);
      let kills = 0;
      for (const killAt of way === "est" ? [3, 21, 33, 48, 60] : [9, 14, 27, 40, 55]) {
        if ((await run(device, way, killAt, serial)) === "killed") kills += 1;
        const store = await CredentialStore.open(
          await openFileStorage(path.join(folder, device, "identity")),
        );
        const transport = createMqttTransport({
          url: platform.mqttUrl,
          tenantId: "acme",
          deviceId: device,
          credentials: async () => store.current,
        });
        const handlers = { onMessage: async () => {}, onClose: () => {} };
        const session = await transport.connect(handlers, AbortSignal.timeout(10_000));
        await session.close();
        if (!store.state.rotation) serial = store.current.serial;
      }
      expect(kills).toBeGreaterThan(2);
      expect(await run(device, way, 0, serial)).toBe("rotated");
    },
    180_000,
  );
});

describe("a server that is not the platform", () => {
  const servers: tls.Server[] = [];
  afterAll(() => {
    for (const server of servers) server.close();
  });

  async function listen(credentials: { key: string; cert: string }): Promise<number> {
    const server = tls.createServer({
      ...credentials,
      requestCert: true,
      rejectUnauthorized: false,
    });
    server.on("secureConnection", (socket) => {
      socket.on("error", () => {});
      socket.end("no");
    });
    server.on("tlsClientError", () => {});
    servers.push(server.listen(0, "127.0.0.1"));
    await once(server, "listening");
    return (server.address() as { port: number }).port;
  }

  /** What each of the agent's ways says to a server. */
  async function reach(host: string, port: number, root: string): Promise<string[]> {
    const device = await platform.enroll("careful");
    const identity = { key: device.key, certificate: device.cert, root };
    const credentials = async () => identity;
    const signal = AbortSignal.timeout(10_000);
    const url = `${host}:${port}`;
    const mqtt = createMqttTransport({
      url: `mqtts://${url}`,
      tenantId: "acme",
      deviceId: "careful",
      credentials,
    });
    const est = createEstClient({ httpsUrl: `https://${url}`, tenant: "acme" });
    const attempts = [
      mqtt.connect({ onMessage: async () => {}, onClose: () => {} }, signal),
      createHttpsArtifacts(credentials).fetch(`https://${url}/artifacts/x`, 0, signal),
      est.reenroll(platform.csr("careful"), identity, signal),
    ];
    return Promise.all(
      attempts.map((attempt) =>
        (attempt as Promise<unknown>).then(
          () => "accepted",
          (error) => String(error.code ?? error.message),
        ),
      ),
    );
  }

  it("is refused where its certificate comes from a foreign authority", async () => {
    const foreign = await createTestPki();
    const port = await listen(foreign.server);
    const verdicts = await reach("localhost", port, platform.rootPem);
    expect(verdicts.every((verdict) => /^(?:UNABLE_TO|SELF_SIGNED|DEPTH)/.test(verdict))).toBe(
      true,
    );
    // The same server under its own root is reached, so that it is the authority that decides.
    const [, , est] = await reach("localhost", platform.http.port, platform.rootPem);
    expect(est).toBe("accepted");
  });

  it("is refused where its certificate bears another name", async () => {
    const issuer = await forge({ subject: "CN=Root", authority: true });
    const reachAs = async (name: string) => {
      const server = await forge({ issuer, subject: "CN=server", dns: [name], usage: [SERVER] });
      const port = await listen({ key: server.keyPem, cert: server.certificatePem });
      return reach("localhost", port, issuer.certificatePem);
    };
    const verdict = "ERR_TLS_CERT_ALTNAME_INVALID";
    expect(await reachAs("elsewhere.example")).toEqual([verdict, verdict, verdict]);
    // By its right name it is refused for other reasons only: it speaks neither MQTT nor HTTP.
    expect(await reachAs("localhost")).not.toContain(verdict);
  });
});
