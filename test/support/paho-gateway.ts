import mqtt from "mqtt";
import { LocalBus } from "../../src/bus/index.ts";
import { createCommands } from "../../src/commands/index.ts";
import { Database, prepareEmbeddedDatabase, startPostgres } from "../../src/db/index.ts";
import { createDevices } from "../../src/devices/index.ts";
import { type GatewayDeps, startGateway } from "../../src/gateway/index.ts";
import { createIdentity } from "../../src/identity/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startPahoProxy } from "./paho-proxy.ts";

const TENANT = "paho";

/** The real gateway on a PostgreSQL of its own, as Paho's suite can reach it: plain TCP on `port`. */
export async function startPahoGateway(directory: string) {
  const server = await startPostgres({ directory });
  const { appUrl } = await prepareEmbeddedDatabase(server);
  const db = new Database({ url: appUrl, maxConnections: 10 });
  const base = { db, clock: systemClock, bus: new LocalBus() };
  const logger = createLogger({ level: process.env.TEST_LOG ?? "silent" });
  const tenancy = createTenancy(base);
  const identity = createIdentity({
    ...{ ...base, tenancy, logger },
    sealer: createSealer(Buffer.alloc(32, 1)),
    trustDomain: "devices.vautn.internal",
    publicHost: "localhost",
  });
  await identity.ensurePlatform();
  await tenancy.tenants.create({ id: TENANT, name: TENANT }, SYSTEM_ACTOR);
  await identity.ensureTenantAuthority(TENANT);
  const application = { name: "suite", role: "operator" } as const;
  const issued = await identity.applicationCertificates.issue(TENANT, application, SYSTEM_ACTOR);
  const gateway = await startGateway({
    ...{ ...base, logger, tenancy, identity },
    devices: createDevices({ ...base, tenancy }),
    commands: createCommands({ ...base, tenancy }),
    ...storesOfNothing(),
    ...{ port: 0, bindAddress: "127.0.0.1", gatewayId: "paho" },
    // The suite wants a Server Keep Alive of 60 where it asks for 120.
    applicationLimits: { maxKeepAliveSeconds: 60 },
  });
  const proxy = await startPahoProxy({
    gateway: {
      port: gateway.port,
      key: issued.keyPem as string,
      cert: issued.chainPem,
      ca: issued.rootsPem,
    },
    prefix: `tenants/${TENANT}/exchange/`,
    outside: "test/nosubscribe",
  });
  await warmUp(proxy.port);
  return {
    port: proxy.port,
    async close() {
      proxy.close();
      await gateway.close();
      await db.close();
      await server.stop();
    },
  };
}

/** The suite waits half a second for a CONNACK; the first one takes longer, as all code is new. */
async function warmUp(port: number): Promise<void> {
  for (let count = 0; count < 10; count += 1) {
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5 });
    await client.subscribeAsync("warm");
    await client.publishAsync("warm", "up", { qos: 2 });
    await client.endAsync();
  }
}

/** The suite is no device, and nothing of it goes there. */
function storesOfNothing(): Pick<GatewayDeps, "telemetry" | "logs" | "rollouts"> {
  const allTaken = async () => ({ accepted: 1, rejectedCount: 0, rejected: [] });
  const nothing = async () => {};
  return {
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
  };
}
