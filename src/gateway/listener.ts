import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import { messageOf } from "../kernel/index.ts";
import { systemRandom } from "../kernel/random.ts";
import { type FreshCredentials, reloadSecureContext, TLS_POLICY } from "../kernel/tls-policy.ts";
import { Admission } from "./admission.ts";
import { ClientHellos } from "./client-hello.ts";
import type { GatewayContext } from "./context.ts";
import { connectsTotal, handshakeSeconds } from "./gateway-metrics.ts";
import { TokenBuckets } from "./token-bucket.ts";

const BACKLOG = 4_096;
const SESSION_ID_CONTEXT = "vautn-mqtt";

/** The way in: from a TCP connection to a TLS session that is handed over. */
export interface Listener {
  readonly port: number;
  /** Ends who says nothing. Called about once a second. */
  check(nowMs: number): void;
  /** The CONNECT of this socket has been answered: the next one of those who wait may come. */
  answered(socket: tls.TLSSocket): void;
  close(): void;
}

/** Begins to listen; each TLS session that comes about is given to `onSession`. */
export async function listen(
  context: GatewayContext,
  where: { port: number; host: string; sharesPort: boolean },
  onSession: (socket: tls.TLSSocket) => void,
): Promise<Listener> {
  const { limits } = context;
  const credentials = await tlsOptions(context);
  const tlsServer = createTlsServer(context, credentials, onSession);
  const hellos = new ClientHellos({
    timeoutMs: limits.handshakeTimeoutMs,
    onHello: (socket) => tlsServer.emit("connection", socket),
  });
  const admission = admitTo(tlsServer, hellos, context);
  const listener = createListener(context, admission);
  const reload = keepCredentialsFresh(context, tlsServer, credentials);
  const { port, host, sharesPort: reusePort } = where;
  listener.listen({ port, host, reusePort, backlog: BACKLOG });
  await once(listener, "listening");
  return {
    port: (listener.address() as net.AddressInfo).port,
    check: (nowMs) => connectsTotal.inc({ outcome: "silent" }, hellos.check(nowMs)),
    answered: (socket) => admission.leave(socket),
    close() {
      reload.stop();
      listener.close();
      admission.close();
      hellos.close();
    },
  };
}

async function tlsOptions(context: GatewayContext): Promise<FreshCredentials> {
  const { identity } = context.deps;
  const [{ keyPem, certificatePem }, ca, ticketKeys] = await Promise.all([
    identity.serverCredentials("gateway"),
    identity.rootCertificatePem(),
    identity.ticketKeys?.("mqtt"),
  ]);
  return { key: keyPem, cert: certificatePem, ca, ...(ticketKeys ? { ticketKeys } : {}) };
}

function createTlsServer(
  context: GatewayContext,
  credentials: FreshCredentials,
  onSession: (socket: tls.TLSSocket) => void,
): tls.Server {
  const { logger } = context.deps;
  const server = tls.createServer({
    ...TLS_POLICY,
    ...credentials,
    requestCert: true,
    // Node would drop who has no valid certificate without a word. Instead the CONNACK says what is
    // wrong with it; `authenticate` in packets/connect.ts lets nobody past whom TLS did not verify.
    rejectUnauthorized: false,
    handshakeTimeout: context.limits.handshakeTimeoutMs,
    // Without a name of its own a resumed session is refused to who authenticated by certificate.
    sessionIdContext: SESSION_ID_CONTEXT,
  });
  server.on("secureConnection", onSession);
  server.on("tlsClientError", (error, socket) => {
    connectsTotal.inc({ outcome: "tls-refused" });
    logger.info({ address: socket.remoteAddress, error: messageOf(error) }, "TLS was refused");
    // A handshake that was never finished is only reported: the socket would stay for ever.
    socket.destroy();
  });
  return server;
}

function admitTo(
  tlsServer: tls.Server,
  hellos: ClientHellos,
  { limits, deps }: GatewayContext,
): Admission {
  const admission = new Admission({
    clock: deps.clock,
    random: systemRandom,
    slots: limits.handshakes,
    queue: limits.handshakeQueue,
    patienceMs: limits.admissionPatienceMs,
    admit: (socket) => hellos.expect(socket, deps.clock.now()),
  });
  tlsServer.on("secureConnection", (socket) => {
    const elapsedMs = admission.sinceAdmitted(socket);
    const session = socket.isSessionReused() ? "resumed" : "full";
    if (elapsedMs !== undefined) handshakeSeconds.observe({ session }, elapsedMs / 1_000);
  });
  tlsServer.on("tlsClientError", (_error, socket) => admission.leave(socket));
  return admission;
}

/** Takes TCP connections and judges them before the handshake, which is what costs. */
function createListener(context: GatewayContext, admission: Admission): net.Server {
  const { limits, deps } = context;
  const byAddress = new TokenBuckets(limits.addressRate, limits.addressBurst);
  const listener = net.createServer({ noDelay: true, keepAlive: true }, (socket) => {
    // A socket that waits has nobody else who would hear of its end.
    socket.on("error", () => {});
    if (!byAddress.take(socket.remoteAddress ?? "", deps.clock.now())) {
      connectsTotal.inc({ outcome: "rate-limited" });
      socket.destroy();
      return;
    }
    admission.enter(socket);
  });
  listener.maxConnections = limits.connections;
  listener.on("drop", () => connectsTotal.inc({ outcome: "full" }));
  return listener;
}

function keepCredentialsFresh(
  context: GatewayContext,
  server: tls.Server,
  initial: FreshCredentials,
): { stop(): void } {
  const { clock, logger, identity } = context.deps;
  const reload = reloadSecureContext(server, {
    load: () => tlsOptions(context),
    initial,
    sessionIdContext: SESSION_ID_CONTEXT,
    clock,
    onReload: () => logger.info({}, "the server certificate or the trusted roots are new"),
    onError: (error) =>
      logger.error({ error: messageOf(error) }, "the server certificate could not be renewed"),
  });
  const unsubscribe = identity.onAuthorityChanged?.(() => void reload.now());
  return {
    stop() {
      unsubscribe?.();
      reload.stop();
    },
  };
}
