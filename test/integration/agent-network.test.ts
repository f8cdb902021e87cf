import dns from "node:dns";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import tls from "node:tls";
import { afterAll, beforeAll, expect, it } from "vitest";
import { AGENT_DEFAULTS, writeProvisioning } from "../../src/agent/index.ts";
import { createTestPki } from "../support/device-pki.ts";
import { type FileAgent, startFileAgent } from "../support/file-agent.ts";
import { until } from "../support/gateway.ts";
import { type RotationPlatform, startRotationPlatform } from "../support/rotation-platform.ts";

/** What stands between the device and the platform, and what is wrong with it. */
type Weather = "fair" | "half-open" | "captive-portal" | "reset";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-network-"));
const sockets = new Set<net.Socket>();
let platform: RotationPlatform;
let agent: FileAgent;
let weather: Weather = "captive-portal";
let line: net.Server;
let portalHits = 0;

beforeAll(async () => {
  platform = await startRotationPlatform();
  const portal = await createTestPki();
  const { key, cert } = portal.server;
  line = net.createServer((client) => {
    keep(client);
    if (weather === "reset") return void client.resetAndDestroy();
    if (weather === "captive-portal") {
      // It answers for everybody, with a certificate of its own, and a page to sign in at.
      portalHits += 1;
      const socket = new tls.TLSSocket(client, { isServer: true, key, cert });
      socket.on("error", () => {}).end("HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n");
      return;
    }
    const upstream = net.connect(Number(new URL(platform.mqttUrl).port), "127.0.0.1");
    keep(upstream);
    // Half open: both ends stay up, and nothing gets through any more.
    client.on("data", (bytes) => weather !== "half-open" && upstream.write(bytes));
    upstream.on("data", (bytes) => weather !== "half-open" && client.write(bytes));
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
  });
  await new Promise<void>((resolve) => line.listen(0, "127.0.0.1", resolve));
  const { port } = line.address() as net.AddressInfo;
  const identity = await platform.enroll("roamer");
  await writeProvisioning(path.join(folder, "identity"), {
    ...{ tenant: "acme", device: "roamer", product: "sensor", hardwareRevision: "r1" },
    mqttUrl: `mqtts://localhost:${port}`,
    httpsUrl: platform.httpsUrl,
    ...{ key: identity.key, certificate: identity.cert, root: platform.rootPem },
    trustRoot: platform.trustRoot,
  });
  agent = await startFileAgent(folder, {
    settings: {
      heartbeatIntervalMs: 500,
      connection: {
        ...AGENT_DEFAULTS.connection,
        backOff: { baseMs: 50, capMs: 300 },
        connectTimeoutMs: 2_000,
        publishTimeoutMs: 1_500,
      },
    },
  });
});

afterAll(async () => {
  await agent?.agent.stop();
  for (const socket of sockets) socket.destroy();
  line?.close();
  await platform?.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

function keep(socket: net.Socket): void {
  sockets.add(socket);
  socket.on("error", () => {}).on("close", () => sockets.delete(socket));
}

const isConnected = () => agent.agent.status()?.connected === true;

it("believes no captive portal, and connects once it has gone", async () => {
  await until(() => portalHits >= 3);
  expect(isConnected()).toBe(false);
  weather = "fair";
  await until(isConnected);
});

it("leaves a connection that is half open, and comes back by another", async () => {
  await until(isConnected);
  weather = "half-open";
  await until(() => !isConnected());
  weather = "fair";
  await until(isConnected);
});

it("comes back from connections that are reset as soon as they are made", async () => {
  weather = "reset";
  for (const socket of sockets) socket.resetAndDestroy();
  await until(() => !isConnected());
  weather = "fair";
  await until(isConnected);
});

it("goes on asking for a name that cannot be resolved", async () => {
  const { lookup } = dns;
  let asked = 0;
  const fails = (_name: string, _options: unknown, done: (error: Error) => void) => {
    asked += 1;
    const error = new Error("getaddrinfo EAI_AGAIN localhost");
    setImmediate(done, Object.assign(error, { code: "EAI_AGAIN" }));
  };
  dns.lookup = fails as unknown as typeof dns.lookup;
  try {
    for (const socket of sockets) socket.destroy();
    await until(() => asked >= 3);
    expect(isConnected()).toBe(false);
  } finally {
    dns.lookup = lookup;
  }
  await until(isConnected);
});
