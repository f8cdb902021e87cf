import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { SpanKind } from "@opentelemetry/api";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { AppError } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { asAppError, problemOf } from "../kernel/problem.ts";
import { type FreshCredentials, reloadSecureContext, TLS_POLICY } from "../kernel/tls-policy.ts";
import { currentTraceparent, parseTraceparent, withSpan } from "../kernel/tracing.ts";
import { artifactRoutes } from "./artifacts.ts";
import { cmpRoutes } from "./cmp.ts";
import {
  DEFAULT_DEVICE_HTTP_LIMITS,
  type DeviceHttpDeps,
  type DeviceHttpLimits,
  type DeviceHttpOptions,
} from "./deps.ts";
import { DownloadShares } from "./download-shares.ts";
import { enrolmentRoutes } from "./enrolment.ts";
import { EST_PREFIX, estRoutes } from "./est.ts";
import { FailureLimit } from "./failure-limit.ts";
import { LiveSockets } from "./live-sockets.ts";
import { revocationRoutes } from "./revocation.ts";

export type DeviceServer = FastifyInstance<Server>;

export interface DeviceHttp {
  port: number;
  close(): Promise<void>;
}

const MAX_HEADER_BYTES = 16 * 1024;
const MAX_BODY_BYTES = 16 * 1024;
const SESSION_ID_CONTEXT = "vautn-device-http";
/** How often Node looks for requests that take too long. */
const MAX_CHECKING_INTERVAL_MS = 5_000;

const handshakeFailures = counter(
  "vautn_device_http_handshake_failures_total",
  "TLS handshakes that devices did not finish",
);

/**
 * The devices' HTTPS. A client certificate is asked for and not demanded, because enrolment shares
 * the port with what needs one; the routes decide.
 */
export async function startDeviceHttp(
  given: DeviceHttpDeps & DeviceHttpOptions,
): Promise<DeviceHttp> {
  const live = new LiveSockets();
  const options = { ...given, identity: remembering(given.identity, live) };
  const { identity, clock, logger } = options;
  const limits = { ...DEFAULT_DEVICE_HTTP_LIMITS, ...options.limits };
  const credentials = await secureContext(identity);
  const server = createServer(options, limits, credentials);
  const failures = new FailureLimit({
    clock,
    maxFailures: limits.enrolmentFailures,
    windowMs: limits.failureWindowMs,
  });
  const shares =
    options.downloadShares && new DownloadShares({ clock, logger, ...options.downloadShares });
  artifactRoutes(server, options, limits, shares);
  estRoutes(server, options, failures);
  cmpRoutes(server, options, failures);
  enrolmentRoutes(server, options, options);
  revocationRoutes(server, options);
  server.get("/healthz", async () => ({ status: "ok" }));

  const unsubscribe = identity.onStandingChanged((change) => live.apply(change));
  await server.listen({ port: options.port, host: options.bindAddress });
  const reload = reloadSecureContext(server.server, {
    load: () => secureContext(identity),
    initial: credentials,
    sessionIdContext: SESSION_ID_CONTEXT,
    clock,
    onError: (error) =>
      logger.warn({ err: error }, "the server's certificate could not be renewed"),
  });
  const stopHearing = identity.onAuthorityChanged?.(() => void reload.now());
  const { port } = server.server.address() as AddressInfo;
  return {
    port,
    async close() {
      stopHearing?.();
      unsubscribe();
      reload.stop();
      const closed = server.close();
      // Downloads under way are resumed elsewhere; a slow one must not hold up the stop.
      server.server.closeAllConnections();
      await closed;
      await shares?.stop();
    },
  };
}

/** Whoever is authenticated is remembered, to be ended when that is taken back. */
function remembering(
  identity: DeviceHttpDeps["identity"],
  live: LiveSockets,
): DeviceHttpDeps["identity"] {
  return {
    ...identity,
    async authenticatePeer(socket, options) {
      const peer = await identity.authenticatePeer(socket, options);
      live.add(peer, socket);
      return peer;
    },
  };
}

function createServer(
  { logger }: DeviceHttpDeps,
  limits: DeviceHttpLimits,
  credentials: FreshCredentials,
): DeviceServer {
  const server = fastify({
    https: {
      ...TLS_POLICY,
      ...credentials,
      requestCert: true,
      rejectUnauthorized: false,
      // Without it TLS resumes no session in which a client certificate was asked for.
      sessionIdContext: SESSION_ID_CONTEXT,
      handshakeTimeout: limits.handshakeTimeoutMs,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: Math.min(limits.headersTimeoutMs, MAX_CHECKING_INTERVAL_MS),
    },
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: limits.requestTimeoutMs,
    connectionTimeout: limits.idleTimeoutMs,
    keepAliveTimeout: limits.idleTimeoutMs,
    logger: false,
    exposeHeadRoutes: false,
    return503OnClosing: true,
    routerOptions: { maxParamLength: 200 },
  });
  server.server.maxConnections = limits.connections;
  server.server.on("tlsClientError", () => handshakeFailures.inc());
  traceRequests(server);
  server.setNotFoundHandler(() => {
    throw new AppError("not-found", "there is no such path");
  });
  server.setErrorHandler((thrown, request, reply) => refuse(thrown, request, reply, logger));
  return server;
}

async function secureContext(identity: DeviceHttpDeps["identity"]): Promise<FreshCredentials> {
  const [{ keyPem, certificatePem }, ca, ticketKeys] = await Promise.all([
    identity.serverCredentials("device-http"),
    identity.rootCertificatePem(),
    identity.ticketKeys?.("https"),
  ]);
  return { key: keyPem, cert: certificatePem, ca, ...(ticketKeys ? { ticketKeys } : {}) };
}

/** Each request runs in a span below the device's own `traceparent`, where it sent one. */
function traceRequests(server: DeviceServer): void {
  server.addHook("onRequest", (request, reply, done) => {
    const { traceparent } = request.headers;
    const route = request.routeOptions.url ?? "(none)";
    void withSpan(
      `${request.method} ${route}`,
      { "http.request.method": request.method, "http.route": route },
      () =>
        new Promise<void>((resolve) => {
          reply.raw.once("close", resolve);
          done();
        }),
      {
        parent: typeof traceparent === "string" ? traceparent : null,
        kind: SpanKind.SERVER,
      },
    );
  });
}

function refuse(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  logger: DeviceHttpDeps["logger"],
): FastifyReply {
  const error = asAppError(thrown);
  const traceId = parseTraceparent(currentTraceparent())?.traceId ?? "";
  // Without the query: the signature of a link is as good as the artifact.
  const path = request.url.split("?", 1)[0]?.slice(0, 200);
  const facts = { code: error.code, path, address: request.ip };
  if (error.status >= 500) logger.error({ ...facts, err: thrown }, "a device's request failed");
  else logger.info({ ...facts, detail: error.message }, "a device's request was refused");
  // RFC 9110 §11.6.1
  if (error.status === 401) reply.header("www-authenticate", 'Basic realm="est", charset="UTF-8"');
  const { retryAfterSeconds } = error.details;
  if (typeof retryAfterSeconds === "number") reply.header("retry-after", retryAfterSeconds);
  for (const name of ["content-length", "etag", "cache-control", "repr-digest", "last-modified"]) {
    reply.removeHeader(name);
  }
  reply.code(error.status).header("cache-control", "no-store");
  // A body that was not read would hold the connection.
  if (error.status === 413) reply.header("connection", "close");
  // RFC 7030 §4.2.3: clients show the text of the answer as it is.
  if (request.url.startsWith(EST_PREFIX)) {
    const { step } = error.details;
    const where = typeof step === "string" ? ` (refused at step: ${step})` : "";
    return reply.type("text/plain; charset=utf-8").send(`${error.message}${where}\n`);
  }
  return reply.type("application/problem+json").send(JSON.stringify(problemOf(error, traceId)));
}
