// The platform's side of bench/commands.ts in a process of its own: the API, the queue on a
// PostgreSQL that syncs to disk, and the gateway. Stores that commands do not use take everything.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { type ApiDeps, buildApi } from "../src/api/index.ts";
import { LocalBus } from "../src/bus/index.ts";
import { createCommands } from "../src/commands/index.ts";
import { Database, prepareEmbeddedDatabase, startPostgres } from "../src/db/index.ts";
import { type GatewayDeps, startGateway } from "../src/gateway/index.ts";
import { AppError, systemClock } from "../src/kernel/index.ts";
import { createLogger } from "../src/kernel/logger.ts";
import { createTenancy, SYSTEM_ACTOR } from "../src/tenancy/index.ts";
import { peerOf } from "../test/support/device-pki.ts";

const TENANT = "bench";

export interface Order {
  key: string;
  cert: string;
  ca: string;
  devices: number;
}

export interface Ready {
  mqttPort: number;
  apiUrl: string;
  apiKey: string;
}

const logger = createLogger({ level: "silent" });
const allTaken = async () => ({ accepted: 1, rejectedCount: 0, rejected: [] });
const nothing = async () => {};
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-commands-"));

process.once("message", async (order: Order) => {
  const server = await startPostgres({ directory });
  const { appUrl } = await prepareEmbeddedDatabase(server);
  const db = new Database({ url: appUrl, maxConnections: 20 });
  const bus = new LocalBus();
  const tenancy = createTenancy({ db, clock: systemClock });
  const commands = createCommands({ db, clock: systemClock, bus, tenancy });
  await tenancy.tenants.create({ id: TENANT, name: TENANT }, SYSTEM_ACTOR);
  await registerDevices(db, order.devices);
  const key = await tenancy.keys.createTenantKey(
    TENANT,
    { name: "bench", role: "operator" },
    SYSTEM_ACTOR,
  );

  const gateway = await startGateway({
    ...gatewayDeps(order, { commands, bus }),
    ...{ port: 0, bindAddress: "127.0.0.1", gatewayId: "bench" },
    limits: { addressRate: 1e6, addressBurst: 1e6, tenantRate: 1e6, tenantBurst: 1e6 },
  });
  const given: Partial<ApiDeps> = { db, clock: systemClock, logger, tenancy, commands };
  // Routes of other modules are registered, and none of them is called.
  const api = await buildApi({ ...(given as ApiDeps), requestsPerMinute: 100_000_000 });
  const apiUrl = await api.listen({ port: 0, host: "127.0.0.1" });
  const ready: Ready = { mqttPort: gateway.port, apiUrl, apiKey: key.key };
  process.send?.(ready);
  process.once("disconnect", async () => {
    await gateway.close();
    await api.close();
    await db.close();
    await server.stop();
    fs.rmSync(directory, { recursive: true, force: true });
    process.exit();
  });
});

async function registerDevices(db: Database, count: number): Promise<void> {
  const now = new Date();
  await db.tenant(TENANT, async (tx) => {
    for (let first = 1; first <= count; first += 1_000) {
      const rows = Array.from({ length: Math.min(1_000, count - first + 1) }, (_, index) => ({
        tenant_id: TENANT,
        id: `d-${first + index}`,
        product: "hub",
        hardware_revision: "a",
        created_at: now,
      }));
      await tx.insertInto("devices").values(rows).execute();
    }
  });
}

function gatewayDeps(
  order: Order,
  { commands, bus }: Pick<GatewayDeps, "commands" | "bus">,
): GatewayDeps {
  return {
    identity: {
      serverCredentials: async () => ({ keyPem: order.key, certificatePem: order.cert }),
      rootCertificatePem: async () => order.ca,
      // One certificate serves all; the server name tells the devices apart.
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
    commands,
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
    bus,
    clock: systemClock,
    logger,
  };
}
