import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import { readFreshCommand } from "../commands/index.ts";
import { messageOf } from "../kernel/index.ts";
import { type FreshCredentials, reloadSecureContext, TLS_POLICY } from "../kernel/tls-policy.ts";
import { Admission } from "./admission.ts";
import { ClientHellos } from "./client-hello.ts";
import { Connection } from "./connection.ts";
import type { GatewayContext } from "./context.ts";
import { DEFAULT_GATEWAY_LIMITS, type GatewayDeps, type GatewayOptions } from "./deps.ts";
import { sweepTenant } from "./due-wills.ts";
import { FanOut } from "./fan-out.ts";
import { connectionsGauge, connectsTotal } from "./gateway-metrics.ts";
import { MessageRouter } from "./message-router.ts";
import { Paces } from "./pacing.ts";
import { ConnectionFault, REASON } from "./reason-codes.ts";
import { Refusals } from "./refusals.ts";
import { Registry } from "./registry.ts";
import { Retained } from "./retained.ts";
import { Sessions } from "./sessions.ts";
import { applyStanding } from "./standing.ts";
import { TokenBuckets } from "./token-bucket.ts";

/** How often keep-alives and the like are looked at. */
const CHECK_INTERVAL_MS = 1_000;
const BACKLOG = 4_096;
const SESSION_ID_CONTEXT = "vautn-mqtt";
/** How long connections may take to end when the gateway stops. */
const CLOSE_TIMEOUT_MS = 5_000;

/** A running MQTT listener. */
export interface Gateway {
  readonly port: number;
  /** Connections of devices that have been accepted and live. */
  connections(): number;
  close(): Promise<void>;
}

/** Starts to listen for devices: MQTT 3.1.1 and 5 over mutual TLS. */
export async function startGateway(deps: GatewayDeps & GatewayOptions): Promise<Gateway> {
  const limits = { ...DEFAULT_GATEWAY_LIMITS, ...deps.limits };
  const context: GatewayContext = {
    deps,
    limits,
    gatewayId: deps.gatewayId,
    nextConnectionId: connectionIds(deps),
    router: new MessageRouter(deps),
    refusals: new Refusals(deps),
    registry: new Registry(),
    sessions: new Sessions(deps, deps.gatewayId),
    retained: new Retained(deps, limits),
    fanOut: new FanOut(deps),
    tenantConnects: new TokenBuckets(limits.tenantRate, limits.tenantBurst),
    tenantMessages: new Paces(limits.tenantMessageRate, limits.tenantMessageBurst),
    tenantBytes: new Paces(limits.tenantByteRate, limits.tenantByteBurst),
    load: { inboundBytes: 0, revocations: 0 },
  };
  await context.sessions.begin();
  await deps.devices.gatewayStarted(deps.gatewayId);
  const connections = new Set<Connection>();
  const credentials = await tlsOptions(context);
  const tlsServer = createTlsServer(context, connections, credentials);
  const hellos = new ClientHellos({
    timeoutMs: limits.handshakeTimeoutMs,
    onHello: (socket) => tlsServer.emit("connection", socket),
  });
  const admission = admitTo(tlsServer, hellos, context);
  const listener = createListener(context, admission);
  const stopChecks = startChecks(context, connections, hellos);
  const stopSweeping = context.sessions.startSweeping(
    (db, tenantId) => sweepTenant(context, db, tenantId),
    () => sendAway(connections),
  );
  const reload = keepCredentialsFresh(context, tlsServer, credentials);
  const unsubscribe = subscribe(context);
  listener.listen({ port: deps.port, host: deps.bindAddress, backlog: BACKLOG });
  await once(listener, "listening");
  return {
    port: (listener.address() as net.AddressInfo).port,
    connections: () => context.registry.size,
    async close() {
      stopChecks();
      stopSweeping();
      reload.stop();
      for (const stop of unsubscribe) stop();
      listener.close();
      admission.close();
      hellos.close();
      for (const connection of connections) shutDown(connection);
      await Promise.race([ended(connections), timeout(CLOSE_TIMEOUT_MS)]);
      for (const connection of connections) connection.socket.destroy();
      await context.router.flush();
      await context.sessions.flush();
      await deps.devices.flush();
    },
  };
}

function connectionIds({ gatewayId, clock }: GatewayDeps & GatewayOptions): () => string {
  const life = clock.now().toString(36);
  let count = 0;
  return () => {
    count += 1;
    return `${gatewayId}-${life}-${count}`;
  };
}

/** MQTT 5.0 §4.13: the server says that it stops. The devices live on, so their wills stay shut. */
function shutDown(connection: Connection): void {
  if (!connection.isOpen) {
    connection.socket.destroy();
    return;
  }
  if (connection.version === 5) {
    connection.send({ cmd: "disconnect", reasonCode: REASON.serverShuttingDown });
  }
  connection.end("the gateway stops", "serverShuttingDown", true);
}

/** The other gateways have taken this one for dead: its devices must connect anew, and will. */
function sendAway(connections: ReadonlySet<Connection>): void {
  for (const connection of connections) {
    connection.fail(new ConnectionFault(REASON.serverBusy, "the gateway was taken for dead"), true);
  }
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
  connections: Set<Connection>,
  credentials: FreshCredentials,
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
  server.on("secureConnection", (socket) => {
    const connection = new Connection(socket, context);
    connections.add(connection);
    connectionsGauge.inc();
    socket.once("close", () => {
      connections.delete(connection);
      connectionsGauge.dec();
    });
  });
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
    slots: limits.handshakes,
    queue: limits.handshakeQueue,
    patienceMs: limits.admissionPatienceMs,
    admit: (socket) => hellos.expect(socket, deps.clock.now()),
  });
  tlsServer.on("secureConnection", (socket) => admission.leave(socket));
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

function startChecks(
  { deps }: GatewayContext,
  connections: ReadonlySet<Connection>,
  hellos: ClientHellos,
): () => void {
  const { clock } = deps;
  let stopped = false;
  let checking = clock.after(CHECK_INTERVAL_MS, check);
  function check(): void {
    const now = clock.now();
    for (const connection of connections) connection.check(now);
    connectsTotal.inc({ outcome: "silent" }, hellos.check(now));
    if (!stopped) checking = clock.after(CHECK_INTERVAL_MS, check);
  }
  return () => {
    stopped = true;
    checking.cancel();
  };
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

/** What others have to say to the devices that are connected here. */
function subscribe(context: GatewayContext): (() => void)[] {
  const { deps, registry } = context;
  return [
    context.fanOut.start(),
    deps.bus.subscribe("device.>", (message, subject) => {
      const { kind } = message;
      const connection = registry.bySubject(subject);
      if (kind === "session") takeOver(context, subject, message);
      if (!connection?.isOpen || (kind !== "command" && kind !== "update")) return;
      const fresh = kind === "command" ? readFreshCommand(message) : undefined;
      if (fresh) connection.deliveries.hear(fresh);
      else connection.deliveries.wake(kind);
    }),
    deps.identity.onStandingChanged((change) => applyStanding(context, change)),
  ];
}

/** The device has connected at another gateway (MQTT 5.0 §3.1.4 [MQTT-3.1.4-3]). */
function takeOver(
  { registry, sessions }: GatewayContext,
  subject: string,
  message: { epoch?: unknown; resumed?: unknown },
): void {
  const epoch = Number(message.epoch);
  sessions.hear(subject, epoch);
  const connection = registry.bySubject(subject);
  if (!connection?.isOpen || connection.session.epoch >= epoch) return;
  connection.takeOver(message.resumed === true);
}

function ended(connections: ReadonlySet<Connection>): Promise<unknown> {
  return Promise.all(
    [...connections].map(({ socket }) => {
      if (socket.destroyed) return undefined;
      // A reset on the way is an end like any other: `events.once` would reject on it.
      return new Promise<void>((resolve) => socket.once("close", () => resolve()));
    }),
  );
}

function timeout(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs).unref();
  });
}
