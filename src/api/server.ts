import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { type Duplex, Readable } from "node:stream";
import type { Server } from "node:tls";
import cookie from "@fastify/cookie";
import helmet from "@fastify/helmet";
import rateLimit from "@fastify/rate-limit";
import fastify, {
  type FastifyReply,
  type FastifyRequest,
  type FastifySerializerCompiler,
} from "fastify";
import type { Database } from "../db/index.ts";
import { confined } from "../kernel/confinement.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { asAppError, problemOf } from "../kernel/problem.ts";
import { reloadSecureContext, TLS_POLICY } from "../kernel/tls-policy.ts";
import type { Tenancy } from "../tenancy/index.ts";
import { admit, assertAccessDeclared } from "./access.ts";
import { auditRequests } from "./audit-requests.ts";
import { serveConsole } from "./console.ts";
import { assertSameSite, readCredential, setSessionCookie } from "./credentials.ts";
import { EventStreams } from "./event-stream.ts";
import { takeTurns } from "./fair-turns.ts";
import { rememberAnswers } from "./idempotency.ts";
import { describeApi } from "./openapi.ts";
import { boundReading, DEFAULT_READING_LIMITS, type ReadingLimits } from "./read-deadline.ts";
import { traceRequests } from "./request-tracing.ts";
import { type ResourceDeps, registerResources } from "./resources/index.ts";
import { overrideMethod } from "./tus.ts";
import type { Api } from "./types.ts";
import { assertReadable, validatorCompiler } from "./validation.ts";

const BODY_LIMIT_BYTES = 1024 * 1024;
const MAX_CONNECTIONS = 2_000;
/** An upload of the largest image over a slow line. */
const REQUEST_TIMEOUT_MS = 3_600_000;
/** How often Node looks for requests that take too long. */
const MAX_CHECKING_INTERVAL_MS = 5_000;

export interface ApiDeps extends ResourceDeps {
  identity: ResourceDeps["identity"] & {
    onAuthorityChanged?: (listener: () => void) => () => void;
  };
  tenancy: ResourceDeps["tenancy"] &
    Pick<Tenancy, "authenticate" | "authorize" | "audit" | "usage">;
  db: Pick<Database, "tenant">;
  clock: Clock;
  logger: Logger;
  /** Folder of the built console; undefined or absent where it was not built. */
  webDirectory?: string | undefined;
  /** Origins other than the server's own that the console is reached by (behind a proxy). */
  publicOrigins?: readonly string[];
  /** Whether a proxy in front may say whom a request comes from. */
  trustProxy?: boolean;
  /** Requests a minute from one address. */
  requestsPerMinute?: number;
  limits?: Partial<ReadingLimits>;
  /** How busy the process is, 0 to 1, since it was last asked; without it no tenant waits for others. */
  busy?: () => number;
  /** Takes requests to change the protocol: MQTT over WebSocket. */
  upgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** The certificate to serve with; plain HTTP where absent. Asked for again every few seconds. */
  tls?: { load(): Promise<{ key: string; cert: string }> } | undefined;
  /** How an answer becomes text; the tests hold it against its schema on the way. */
  serializerCompiler?: FastifySerializerCompiler<unknown>;
}

/** Answers are what the modules give: a schema describes them and takes nothing away. */
const asJson: FastifySerializerCompiler<unknown> = () => (body) => JSON.stringify(body);

/** The server with every route, not yet listening. */
export async function buildApi(
  deps: ApiDeps,
  credentials?: { key: string; cert: string },
): Promise<Api> {
  const streams = new EventStreams();
  const limits = { ...DEFAULT_READING_LIMITS, ...deps.limits };
  const reading = {
    headersTimeout: limits.headersTimeoutMs,
    connectionsCheckingInterval: Math.min(limits.headersTimeoutMs, MAX_CHECKING_INTERVAL_MS),
  };
  const listener = credentials
    ? { https: { ...TLS_POLICY, ...credentials, ...reading } }
    : { http: reading };
  const api: Api = fastify({
    ...(listener as { http: typeof reading }),
    loggerInstance: undefined,
    logger: false,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: 65_000,
    forceCloseConnections: true,
    trustProxy: deps.trustProxy ?? false,
    routerOptions: { maxParamLength: 256, ignoreTrailingSlash: false },
    return503OnClosing: true,
    // Called before a route is looked for: the one place where the method can still be another.
    rewriteUrl(request) {
      overrideMethod(request as IncomingMessage);
      return request.url ?? "/";
    },
  });
  api.server.maxConnections = MAX_CONNECTIONS;
  api.setValidatorCompiler(validatorCompiler);
  api.setSerializerCompiler(deps.serializerCompiler ?? asJson);
  const unset = ["principal", "credential", "tenantId", "confinement", "auditTargetId", "refusal"];
  for (const name of unset) api.decorateRequest(name, null);
  for (const name of ["traceId", "traceparent"]) api.decorateRequest(name, "");

  api.addHook("onRoute", assertAccessDeclared);
  traceRequests(api);
  handleErrors(api, deps.logger);
  await api.register(cookie);
  await api.register(helmet, securityHeaders);
  await api.register(rateLimit, {
    global: false,
    max: deps.requestsPerMinute ?? 6_000,
    timeWindow: 60_000,
    errorResponseBuilder: () => new AppError("rate-limited", "slow down, then try again"),
  });
  // Before anything is asked of the database.
  api.addHook("onRequest", api.rateLimit());
  boundReading(api, limits);
  letIn(api, deps);
  takeTurns(api, deps);
  auditRequests(api, deps);
  rememberAnswers(api, deps);
  // An image is handed on as it arrives: it never stands in memory as a whole.
  api.addContentTypeParser("application/octet-stream", (_request, payload, done) => {
    done(null, payload);
  });
  await describeApi(api);
  await registerResources(api, { ...deps, streams });
  await serveConsole(api, deps.webDirectory);
  api.addHook("preClose", async () => streams.closeAll());
  await api.ready();
  return api;
}

/** Starts the operators' API and the console. */
export async function startApi(
  deps: ApiDeps & { port: number; bindAddress: string },
): Promise<{ port: number; url: string; close(): Promise<void> }> {
  const credentials = await deps.tls?.load();
  const api = await buildApi(deps, credentials);
  if (deps.upgrade) api.server.on("upgrade", deps.upgrade);
  await api.listen({ port: deps.port, host: deps.bindAddress });
  const { port } = api.server.address() as AddressInfo;
  const host = deps.bindAddress.includes(":") ? `[${deps.bindAddress}]` : deps.bindAddress;
  const reload = credentials && keepFresh(api, deps, credentials);
  return {
    port,
    url: `${credentials ? "https" : "http"}://${host}:${port}`,
    async close() {
      reload?.stop();
      await api.close();
    },
  };
}

/** A new certificate is for new connections; those that live go on. */
function keepFresh(api: Api, { tls, clock, logger, identity }: ApiDeps, initial: object) {
  const reload = reloadSecureContext(api.server as unknown as Server, {
    load: async () => (await tls?.load()) ?? {},
    initial,
    sessionIdContext: "vautn-api",
    clock,
    onError: (err) => logger.error({ err }, "the console's certificate could not be renewed"),
  });
  const stopHearing = identity.onAuthorityChanged?.(() => void reload.now());
  return {
    stop() {
      stopHearing?.();
      reload.stop();
    },
  };
}

function letIn(api: Api, deps: ApiDeps): void {
  api.addHook("onRequest", async (request, reply) => {
    if (request.is404) return;
    if (request.url.startsWith("/api/")) reply.header("cache-control", "no-store");
    request.credential = readCredential(request);
    assertSameSite(request, deps.publicOrigins ?? []);
    await admit(request, deps);
    if (request.tenantId) deps.tenancy.usage.takeRequest(request.tenantId);
    await renewToken(request, reply, deps);
  });
  // From here to the answer, whatever is asked of the stores is asked within the confinement.
  api.addHook("preValidation", (request, _reply, done) => {
    confined(request.confinement ?? undefined, done);
  });
  api.addHook("preValidation", async (request) => {
    assertReadable(request.params);
    assertReadable(request.query);
    // An upload is a stream and has no members to look at.
    const isText = !(request.body instanceof Readable || Buffer.isBuffer(request.body));
    if (isText) assertReadable(request.body);
  });
}

/** Replaces the token of a session where it is time: a stolen one serves an hour, not a day. */
async function renewToken(request: FastifyRequest, reply: FastifyReply, { signIn }: ApiDeps) {
  const { principal, credential } = request;
  if (credential?.from !== "cookie" || !principal?.session) return;
  const next = await signIn.sessions.rotate(credential.token, principal.session);
  if (next) setSessionCookie(request, reply, next);
}

function handleErrors(api: Api, logger: Logger): void {
  api.setErrorHandler((thrown, request, reply) => {
    const error = asAppError(thrown);
    request.refusal = error;
    if (error.status >= 500) {
      const route = request.routeOptions.url;
      logger.error({ err: thrown, route, method: request.method }, "a request failed");
    }
    const { retryAfterSeconds } = error.details;
    // RFC 9110 §10.2.3.
    if (typeof retryAfterSeconds === "number") reply.header("retry-after", retryAfterSeconds);
    return reply
      .code(error.status)
      .type("application/problem+json")
      .send(problemOf(error, request.traceId));
  });
}

const securityHeaders = {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'self'"],
      // The component library sets its variables in style attributes and elements.
      styleSrc: ["'self'", "'unsafe-inline'"],
      imgSrc: ["'self'", "data:"],
      fontSrc: ["'self'", "data:"],
      objectSrc: ["'none'"],
      baseUri: ["'self'"],
      formAction: ["'self'"],
      frameAncestors: ["'none'"],
    },
  },
  // A proxy that ends TLS sets it; over plain HTTP it means nothing (RFC 6797 §8.1).
  strictTransportSecurity: false,
  xFrameOptions: { action: "deny" as const },
};
