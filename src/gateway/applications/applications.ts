import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { LIMITS } from "../../kernel/index.ts";
import { applicationConnects, applicationsGauge } from "../gateway-metrics.ts";
import { ConnectionFault, REASON } from "../reason-codes.ts";
import { TokenBuckets } from "../token-bucket.ts";
import { Application, type ApplicationContext } from "./application.ts";
import { type ApplicationDeps, DEFAULT_APPLICATION_LIMITS } from "./application-deps.ts";
import { Hub } from "./hub.ts";

/** Where applications speak MQTT on the port of the operators' API. */
const PATH = "/mqtt";
/** MQTT 5.0 §6 [MQTT-6.0.0-3]. */
const SUBPROTOCOL = "mqtt";
const CHECK_INTERVAL_MS = 1_000;

export interface Applications {
  /** An HTTP request to become a WebSocket; everything but `/mqtt` is refused. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  connections(): number;
  close(): Promise<void>;
}

/** Takes MQTT connections of tenants' applications over WebSocket. */
export function createApplications(deps: ApplicationDeps): Applications {
  const limits = { ...DEFAULT_APPLICATION_LIMITS, ...deps.limits };
  const hub = new Hub(deps);
  const commands = new TokenBuckets(limits.commandRate, limits.commandBurst);
  const byAddress = new TokenBuckets(limits.addressRate, limits.addressBurst);
  const context: ApplicationContext = {
    ...{ deps, limits, hub, byClient: new Map() },
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
  const stopChecks = startChecks(deps, all);

  return {
    upgrade(request, socket, head) {
      const refusal = refusalOf(request);
      if (refusal !== undefined) {
        refuse(socket, refusal);
        return;
      }
      server.handleUpgrade(request, socket, head, (webSocket) => {
        const application = new Application(webSocket, context);
        all.add(application);
        applicationsGauge.inc();
        webSocket.once("close", () => {
          all.delete(application);
          applicationsGauge.dec();
        });
      });
    },
    connections: () => all.size,
    async close() {
      stopChecks();
      stopHub();
      for (const application of all) {
        application.fail(new ConnectionFault(REASON.serverShuttingDown, "the platform stops"));
      }
      server.close();
    },
  };

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
