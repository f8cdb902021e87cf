import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import tls from "node:tls";
import { ApiClient } from "../src/client/index.ts";
import { createCertificateRequest, deviceTopic, toPem } from "../src/protocol/index.ts";
import { fixedPorts, signInTo, startProcess } from "../test/support/platform-process.ts";
import { connectOne, type Device, type Target } from "./mqtt-client.ts";
import { cpuByProcess } from "./process-figures.ts";
import { report } from "./report.ts";
import { type Load, publish } from "./telemetry-gateway.ts";
import { METRICS } from "./telemetry-points.ts";

const TENANT = "bench";
const GOAL = 100_000;
const SETTLE_MS = 15_000;
const WARM_UP_SECONDS = 3;
const UNLIMITED = [
  ...["deviceMessageRate", "tenantMessageRate", "addressMessageRate"].map(
    (name) => `${name}=1000000`,
  ),
  ...["deviceMessageBurst", "tenantMessageBurst", "addressMessageBurst"].map(
    (one) => `${one}=1000000`,
  ),
  ...["deviceByteRate", "tenantByteRate", "addressByteRate"].map((name) => `${name}=1000000000`),
  ...["deviceByteBurst", "tenantByteBurst", "addressByteBurst"].map((name) => `${name}=1000000000`),
].join(",");

/**
 * The same load on the whole platform: every process that `vautn up` starts, PostgreSQL and the engine
 * among them, with devices that were enrolled. Narrow rows: what is declared has wide ones minutes later.
 */
export async function measurePlatform(load: Load): Promise<void> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-"));
  const ports = await fixedPorts();
  const environment = { VAUTN_DATA: folder, VAUTN_GATEWAY_LIMITS: UNLIMITED, ...ports };
  const platform = startProcess(["up", "--no-fleet"], environment);
  const devices: Device[] = [];
  try {
    await platform.untilSaid(/Ctrl-C stops everything/);
    const apiUrl = `http://localhost:${ports.VAUTN_API_PORT}`;
    const administrator = await signInTo(apiUrl, platform.output());
    await administrator.call("createTenant", { body: { id: TENANT, name: TENANT } });
    const key = { name: "bench", role: "administrator" };
    const { key: apiKey } = await administrator.call("createKey", {
      params: { tenant: TENANT },
      body: key,
    });
    const api = new ApiClient(apiUrl, { apiKey });
    const port = Number(ports.VAUTN_MQTT_PORT);
    for (let number = 1; number <= load.connections; number += 1) {
      const target = { ...topics(port), context: await enrol(api, number) };
      devices.push(await connectOne(target, number));
    }
    const target: Target = { ...topics(port), context: tls.createSecureContext({}) };
    await publish(target, devices, { ...load, seconds: WARM_UP_SECONDS });
    await pause(SETTLE_MS);
    const before = cpuByProcess(process.pid);
    const started = performance.now();
    const messages = await publish(target, devices, load);
    const elapsed = (performance.now() - started) / 1_000;
    await pause(SETTLE_MS);
    tell(messages * METRICS.length, elapsed, before, cpuByProcess(process.pid));
  } finally {
    for (const { socket } of devices) socket.destroy();
    await platform.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

function tell(
  points: number,
  elapsed: number,
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): void {
  // The first is this process, which is the load and not the platform.
  const spent = [...after]
    .slice(1)
    .map(([name, ms]) => [name, ms - (before.get(name) ?? 0)] as const);
  const cpuMs = spent.reduce((sum, [, ms]) => sum + ms, 0);
  const perCore = points / (cpuMs / 1_000);
  const name = "whole platform over mTLS MQTT";
  report(`${name}, per busy core`, perCore, "points/s", "goal of 100,000", perCore / GOAL);
  report(`${name}, as it went`, points / elapsed, "points/s");
  const perMessage = points / METRICS.length;
  for (const [process, ms] of spent) {
    report(`${name}, CPU of ${process}`, (ms * 1_000) / perMessage, "µs/message");
  }
}

function topics(port: number): Omit<Target, "context"> {
  return {
    port,
    topic: (number) => deviceTopic({ tenantId: TENANT, deviceId: `d-${number}` }, "telemetry"),
  };
}

async function enrol(api: ApiClient, number: number): Promise<tls.SecureContext> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const id = `d-${number}`;
  const request = createCertificateRequest({
    ...{ privateKey, commonName: `${TENANT}/${id}`, organization: TENANT },
  });
  const csr = toPem("CERTIFICATE REQUEST", request);
  const body = { id, product: "hub", hardwareRevision: "a", csr };
  const { certificate } = await api.call("enrollDevice", { params: { tenant: TENANT }, body });
  const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  return tls.createSecureContext({ key, cert: certificate?.chainPem ?? "" });
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
