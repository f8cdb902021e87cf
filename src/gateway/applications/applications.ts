import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { WebSocketServer } from "ws";
import { LIMITS, messageOf } from "../../kernel/index.ts";
import { Exchange } from "../exchange/exchange.ts";
import { applicationConnects, applicationsGauge } from "../gateway-metrics.ts";
import { ConnectionFault, REASON } from "../reason-codes.ts";
import { TokenBuckets } from "../token-bucket.ts";
import { Application, type ApplicationContext } from "./application.ts";
import { type Authenticate, byApiKey, byCertificate } from "./application-authentication.ts";
import { type ApplicationDeps, DEFAULT_APPLICATION_LIMITS } from "./application-deps.ts";
import { Hub } from "./hub.ts";
import { TlsTransport, type Transport, WebSocketTransport } from "./transport.ts";

/** Where applications speak MQTT on the port of the operators' API. */
const PATH = "/mqtt";
/** MQTT 5.0 §6 [MQTT-6.0.0-3]. */
const SUBPROTOCOL = "mqtt";
const CHECK_INTERVAL_MS = 1_000;

export interface Applications {
  /** An HTTP request to become a WebSocket; everything but `/mqtt` is refused. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Takes a TLS connection whose certificate claims to be an application's; false for others. */
  take(socket: TLSSocket): boolean;
  connections(): number;
  close(): Promise<void>;
}

/** Takes MQTT connections of tenants' applications, over WebSocket and over mutual TLS. */
export function createApplications(deps: ApplicationDeps): Applications {
  const limits = { ...DEFAULT_APPLICATION_LIMITS, ...deps.limits };
  const hub = new Hub(deps);
  const commands = new TokenBuckets(limits.commandRate, limits.commandBurst);
  const byAddress = new TokenBuckets(limits.addressRate, limits.addressBurst);
  const told = new TokenBuckets(limits.exchangeRate, limits.exchangeBurst);
  const { db, holder } = deps;
  const exchange =
    db && holder ? new Exchange({ ...deps, db, holder, maxQueued: limits.queued }) : undefined;
  const context: ApplicationContext = {
    ...{ deps, limits, hub, exchange, byClient: new Map() },
    mayTell: (keyId) => told.take(keyId, deps.clock.now()),
    mayCommand: (keyId) => commands.take(keyId, deps.clock.now()),
  };
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    // Compression keeps a window for each connection: memory that a client would decide about.
    perMessageDeflate: false,
    maxPayload: LIMITS.mqttPacketBytes,
    // MQTT 5.0 §6 [MQTT-6.0.0-4]: the server answers with the subprotocol that it speaks.
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });
  const all = new Set<Application>();
  const stopHub = hub.start();
  exchange?.start().catch((error) => {
    deps.logger.error(
      { error: messageOf(error) },
      "what an earlier life has left was not taken up",
    );
  });
  const stopNews = deps.bus.subscribe("application.*", (news) => {
    const application = context.byClient.get(String(news.clientKey));
    const epoch = application?.isOpen ? (application.session.claimed?.epoch ?? 0) : 0;
    if (epoch > 0 && epoch < Number(news.epoch)) application?.takeOver();
  });
  const stopChecks = startChecks(deps, all);
  // Revocations are heard of at once; what the bus loses is found by looking again.
  const stopListening = deps.identity?.onStandingChanged(({ kind }) => {
    if (kind !== "application" && kind !== "suspended") return;
    for (const application of all) void application.recheck();
  });

  return {
    upgrade(request, socket, head) {
      const refusal = refusalOf(request);
      if (refusal !== undefined) {
        refuse(socket, refusal);
        return;
      }
      server.handleUpgrade(request, socket, head, (webSocket) =>
        add(new WebSocketTransport(webSocket), byApiKey(deps.tenancy)),
      );
    },
    take(socket) {
      const peers = deps.identity?.applicationPeers;
      if (!peers?.isClaimed(socket)) return false;
      if (all.size >= limits.connections) {
        applicationConnects.inc({ outcome: "rate-limited" });
        socket.destroy();
      } else {
        add(new TlsTransport(socket), byCertificate(peers, socket));
      }
      return true;
    },
    connections: () => all.size,
    async close() {
      stopChecks();
      stopHub();
      stopNews();
      stopListening?.();
      for (const application of all) {
        const fault = new ConnectionFault(REASON.serverShuttingDown, "the platform stops");
        application.fail(fault, true);
      }
      server.close();
      await exchange?.stop();
    },
  };

  function add(transport: Transport, authenticate: Authenticate): void {
    const application = new Application(transport, authenticate, context);
    all.add(application);
    applicationsGauge.inc();
    transport.onceClosed(() => {
      all.delete(application);
      applicationsGauge.dec();
    });
  }

  function refusalOf(request: IncomingMessage): string | undefined {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    if (pathname !== PATH) return "404 Not Found";
    const offered = (request.headers["sec-websocket-protocol"] ?? "").split(/\s*,\s*/);
    if (!offered.includes(SUBPROTOCOL)) return "400 Bad Request";
    const address = request.socket.remoteAddress ?? "";
    if (all.size < limits.connections && byAddress.take(address, deps.clock.now()))
      return undefined;
    applicationConnects.inc({ outcome: "rate-limited" });
    return "503 Service Unavailable";
  }
}

function refuse(socket: Duplex, status: string): void {
  socket.on("error", () => {});
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}

function startChecks({ clock }: ApplicationDeps, all: ReadonlySet<Application>): () => void {
  let timer = clock.after(CHECK_INTERVAL_MS, check);
  function check(): void {
    const now = clock.now();
    for (const application of all) application.check(now);
    timer = clock.after(CHECK_INTERVAL_MS, check);
  }
  return () => timer.cancel();
}
