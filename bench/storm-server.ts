// The gateway of bench/storm.ts in a process of its own, with stores that take everything at once:
// what is measured is the gateway, and the peer has no stores either.
import { LocalBus } from "../src/bus/index.ts";
import { DEFAULT_GATEWAY_LIMITS, type GatewayDeps, startGateway } from "../src/gateway/index.ts";
import { AppError, systemClock } from "../src/kernel/index.ts";
import { createLogger } from "../src/kernel/logger.ts";
import { peerOf } from "../test/support/device-pki.ts";

export interface ServerCredentials {
  key: string;
  cert: string;
  ca: string;
}

const nothing = async () => {};

function depsOf(credentials: ServerCredentials): GatewayDeps {
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
    telemetry: { ingestTelemetry: nothing, ingestHeartbeat: nothing, ingestEvents: nothing },
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

const unlimited = { addressRate: 1e6, addressBurst: 1e6, tenantRate: 1e6, tenantBurst: 1e6 };

process.once("message", async (credentials: ServerCredentials) => {
  const gateway = await startGateway({
    ...depsOf(credentials),
    port: 0,
    bindAddress: "127.0.0.1",
    gatewayId: "bench",
    limits: { ...DEFAULT_GATEWAY_LIMITS, ...unlimited },
  });
  process.send?.({ port: gateway.port });
});
// Memory is compared after a collection: what a connection holds, not what it has left behind.
process.on("SIGUSR2", () => globalThis.gc?.());
process.on("disconnect", () => process.exit());
