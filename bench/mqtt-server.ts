// The gateway of bench/mqtt.ts in a process of its own. Its stores take everything at once, as the peer
// has none either; or telemetry is durable in the real one before it is acknowledged.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { LocalBus } from "../src/bus/index.ts";
import { DEFAULT_GATEWAY_LIMITS, type GatewayDeps, startGateway } from "../src/gateway/index.ts";
import { AppError, systemClock } from "../src/kernel/index.ts";
import { createLogger } from "../src/kernel/logger.ts";
import type { DeclaredProduct } from "../src/protocol/index.ts";
import { createDeclaredMetrics, createTelemetry } from "../src/telemetry/index.ts";
import { createTimeseries, startEmbeddedClickHouse, withJournal } from "../src/timeseries/index.ts";
import { peerOf } from "../test/support/device-pki.ts";

export interface ServerOrder {
  key: string;
  cert: string;
  ca: string;
  durable: boolean;
  /** Of the devices' product; their numbers are wide rows then. */
  declared?: DeclaredProduct | undefined;
  /** The worker's part of telemetry, in this process: a pass each ten seconds. */
  rollsUp?: boolean;
  /** Gateways on one port; the first starts the others. */
  processes?: number;
  /** Of one that another has started. */
  port?: number;
}

const allTaken = async () => ({ accepted: 1, rejectedCount: 0, rejected: [] });
const nothing = async () => {};
const ROLL_UP_EVERY_MS = 10_000;

function depsOf(credentials: ServerOrder): GatewayDeps {
  return {
    identity: {
      serverCredentials: async () => ({
        keyPem: credentials.key,
        certificatePem: credentials.cert,
      }),
      rootCertificatePem: async () => credentials.ca,
      // One certificate serves all; the server name tells the devices apart, or each connection
      // would take over the one before.
      authenticatePeer: async (socket) => ({
        ...peerOf(socket),
        deviceId: String(socket.servername),
      }),
      onStandingChanged: () => () => {},
      rotation: {
        renew: () => Promise.reject(new AppError("csr-invalid", "nothing is issued here")),
        confirm: nothing,
        record: nothing,
        authorities: async () => ({ issuer: "0".repeat(64), roots: ["0".repeat(64)] }),
      },
    },
    devices: {
      gatewayStarted: nothing,
      connected: nothing,
      disconnected: nothing,
      recordHeartbeats: nothing,
      recordIncidents: async () => [],
      flush: nothing,
    },
    commands: { undelivered: async () => [], markDelivered: nothing, recordResult: nothing },
    telemetry: {
      ingestTelemetry: allTaken,
      offerTelemetry: allTaken,
      ingestHeartbeat: nothing,
      ingestEvents: nothing,
    },
    logs: { ingestDeviceLogs: nothing },
    rollouts: {
      currentAssignment: async () => null,
      recordUpdateState: nothing,
      recordHeartbeat: nothing,
    },
    bus: new LocalBus(),
    clock: systemClock,
    logger: createLogger({ level: "silent" }),
  };
}

const unlimited = {
  ...{ addressRate: 1e6, addressBurst: 1e6, tenantRate: 1e6, tenantBurst: 1e6 },
  ...{ deviceMessageRate: 1e6, deviceMessageBurst: 1e6, deviceByteRate: 1e9, deviceByteBurst: 1e9 },
  ...{ tenantMessageRate: 1e6, tenantMessageBurst: 1e6, tenantByteRate: 1e9, tenantByteBurst: 1e9 },
};

process.once("message", async (order: ServerOrder) => {
  const store = order.durable ? await openStore(order) : undefined;
  const gateway = await startGateway({
    ...depsOf(order),
    ...(store ? { telemetry: store.telemetry } : {}),
    port: order.port ?? 0,
    sharesPort: (order.processes ?? 1) > 1,
    bindAddress: "127.0.0.1",
    gatewayId: `bench-${process.pid}`,
    limits: { ...DEFAULT_GATEWAY_LIMITS, ...unlimited },
  });
  const others = await startOthers(order, gateway.port);
  process.send?.({ port: gateway.port });
  process.once("SIGTERM", async () => {
    for (const other of others) other.disconnect();
    await gateway.close();
    await store?.close();
    process.exit();
  });
});

async function startOthers(order: ServerOrder, port: number): Promise<ChildProcess[]> {
  if (order.port !== undefined) return [];
  const others = Array.from({ length: (order.processes ?? 1) - 1 }, () =>
    fork(fileURLToPath(import.meta.url), { execArgv: process.execArgv }),
  );
  for (const other of others) {
    other.send({ ...order, port });
    await once(other, "message");
  }
  return others;
}

async function openStore({ declared, rollsUp }: ServerOrder) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-mqtt-"));
  const logger = createLogger({ level: "silent" });
  const engine = await startEmbeddedClickHouse({ directory, logger });
  const direct = createTimeseries({ url: engine.url, logger });
  await direct.migrate();
  // As an installation with its engine embedded does it (platform/journal-place.ts).
  const journal = { directory: path.join(directory, "journal"), name: "bench", logger };
  const timeseries = withJournal(direct, journal);
  const telemetry = createTelemetry({
    ...{ timeseries, clock: systemClock },
    ...{ batchDelayMs: 3, maxWrites: 2 },
    ...(declared ? { declared: declaredFor(declared) } : {}),
  });
  let rolling = Promise.resolve<unknown>(undefined);
  const timer = setInterval(() => {
    if (rollsUp) rolling = rolling.then(() => direct.rollUp(["1m"])).catch(() => {});
  }, ROLL_UP_EVERY_MS);
  return {
    telemetry,
    async close() {
      clearInterval(timer);
      await rolling;
      await telemetry.close();
      await timeseries.close();
      await engine.stop();
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}

function declaredFor(product: DeclaredProduct) {
  return createDeclaredMetrics({
    clock: systemClock,
    productsOf: async () => [product],
    productByDevice: async (_tenantId, ids) => new Map(ids.map((id) => [id, product.product])),
  });
}

// Memory is compared after a collection: what a connection holds, not what it has left behind.
process.on("SIGUSR2", () => globalThis.gc?.());
process.on("disconnect", () => process.exit());
