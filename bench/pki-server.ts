// The devices' HTTPS of bench/pki.ts in a process of its own, and beside it a listener with the same
// certificates that does nothing but the handshake.
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import tls from "node:tls";
import { startDeviceHttp } from "../src/device-http/index.ts";
import { AppError, systemClock } from "../src/kernel/index.ts";
import { createLogger } from "../src/kernel/logger.ts";
import { TLS_POLICY } from "../src/kernel/tls-policy.ts";
import { openInstallation } from "./pki-installation.ts";

const nothing = () => Promise.reject(new AppError("not-found", "there is no firmware here"));

const never = () => {
  throw new AppError("link-refused", "there are no links here");
};

process.once("message", async (appUrl: string) => {
  const { identity } = openInstallation(appUrl);
  const limits = { connections: 10_000, enrolmentFailures: 1_000_000 };
  const server = await startDeviceHttp({
    identity,
    firmware: {
      ...{ openArtifact: nothing, trustRoot: nothing, trustRootsAfter: nothing },
      links: { check: never, publicKeys: () => ({}) },
    },
    tenancy: { settings: nothing },
    clock: systemClock,
    logger: createLogger({ level: "error" }),
    port: 0,
    bindAddress: "127.0.0.1",
    mqttUrl: "mqtts://localhost",
    httpsUrl: "https://localhost",
    limits,
  });
  const { keyPem, certificatePem } = await identity.serverCredentials();
  const handshakes = tls.createServer({
    ...TLS_POLICY,
    key: keyPem,
    cert: certificatePem,
    ca: await identity.rootCertificatePem(),
    requestCert: true,
    rejectUnauthorized: false,
    sessionIdContext: "bench",
  });
  handshakes.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    socket.end("x");
  });
  handshakes.listen(0, "127.0.0.1");
  await once(handshakes, "listening");
  process.send?.({
    estPort: server.port,
    handshakePort: (handshakes.address() as AddressInfo).port,
  });
  process.once("message", () => process.exit(0));
});
