import { once } from "node:events";
import { mkdir, readFile } from "node:fs/promises";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { TLSSocket } from "node:tls";
import {
  answerHeaders,
  DownloadPace,
  decideAnswer,
  type PaceLimits,
} from "../device-http/index.ts";
import { AppError, type Clock, type Random } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter, metricsRegistry } from "../kernel/metrics.ts";
import { asAppError, problemOf } from "../kernel/problem.ts";
import { TLS_POLICY } from "../kernel/tls-policy.ts";
import { ArtifactDisk } from "./artifact-disk.ts";
import { ArtifactFetch } from "./artifact-fetch.ts";
import { type CacheIdentity, ClientCheck, readIdentity } from "./client-check.ts";
import { arrivingContent, wholeContent } from "./content.ts";
import { serverCertificate } from "./own-certificate.ts";
import { createUpstream } from "./upstream.ts";

export interface CacheOptions {
  /** Where artifacts and the cache's own certificate lie. */
  directory: string;
  /** The platform's devices' HTTPS. */
  upstreamUrl: string;
  /** Folder that `vautn device enroll` wrote: whose cache this is. */
  identityDirectory: string;
  maxBytes: number;
  port: number;
  /** Of `/healthz`, `/readyz` and `/metrics`, in plain HTTP. */
  statusPort: number;
  bindAddress: string;
  publicHost: string;
  tlsFiles?: { certificateFile: string; keyFile: string } | undefined;
  downloads: PaceLimits;
  clock: Clock;
  random: Random;
  logger: Logger;
}

export interface Cache {
  port: number;
  statusPort: number;
  identity: CacheIdentity;
  /** What agents name as the cache's `root`. */
  certificateFile: string;
  stop(): Promise<void>;
}

/** Artifacts that are fetched at once; beyond it devices go to the platform. */
const MAX_FETCHES = 32;
/** Agents look elsewhere after 15 s without an answer. */
const BEGIN_WITHIN_MS = 12_000;
const MAX_CONNECTIONS = 5_000;
const IDLE_MS = 60_000;

const requests = counter("vautn_cache_requests_total", "Requests of devices to the cache", [
  "outcome",
]);
const sentBytes = counter("vautn_cache_sent_bytes_total", "Bytes that the cache sent to devices");

/** The download cache of a site: needs no database, and the platform only for what it has not got. */
export async function startCache(options: CacheOptions): Promise<Cache> {
  const { directory, clock, random, logger } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const identity = await readIdentity(options.identityDirectory);
  const log = (message: string) => logger.warn({ tenantId: identity.tenantId }, message);
  const disk = await ArtifactDisk.open(path.join(directory, "artifacts"), options.maxBytes);
  const upstream = createUpstream({
    url: options.upstreamUrl,
    identity: options.identityDirectory,
  });
  const clients = new ClientCheck({ identity, upstream, directory, clock, log });
  await clients.start();
  const pace = new DownloadPace({ clock, random }, options.downloads);
  const fetches = new Map<string, ArtifactFetch>();
  const { tlsFiles } = options;
  const own = tlsFiles
    ? {
        keyPem: await readFile(tlsFiles.keyFile, "utf8"),
        certificatePem: await readFile(tlsFiles.certificateFile, "utf8"),
        file: tlsFiles.certificateFile,
      }
    : await serverCertificate(directory, options.publicHost);

  /** The one fetch of an artifact that is not here. */
  async function fetchOf(sha256: string): Promise<ArtifactFetch> {
    let fetch = fetches.get(sha256);
    requests.inc({ outcome: fetch ? "joined" : "missed" });
    if (!fetch) {
      if (fetches.size >= MAX_FETCHES) throw busy();
      fetch = new ArtifactFetch({ disk, upstream, clock, random, log }, sha256);
      fetches.set(sha256, fetch);
      void fetch.done.then(() => fetches.delete(sha256));
    }
    const late = new Promise<never>((_, reject) => {
      const timer = clock.after(BEGIN_WITHIN_MS, () => reject(busy()));
      void fetch.begun.catch(() => {}).then(() => timer.cancel());
    });
    await Promise.race([fetch.begun, late]);
    return fetch;
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "https://cache");
    const sha256 = /^\/artifacts\/([0-9a-f]{64})$/.exec(url.pathname)?.[1];
    if (!sha256) throw new AppError("not-found", "there is no such path");
    const method = request.method ?? "";
    if (method !== "GET" && method !== "HEAD") {
      throw new AppError("method-not-allowed", "artifacts are fetched by GET and HEAD");
    }
    const device = await clients.check(request.socket as TLSSocket, sha256, queryOf(url));
    const here = disk.sizeOf(sha256);
    if (here !== undefined) requests.inc({ outcome: "hit" });
    const fetch = here === undefined ? await fetchOf(sha256) : undefined;
    const sizeBytes = fetch?.sizeBytes ?? (here as number);
    // Content named by its hash has no age that would matter.
    const content = { sha256, sizeBytes, createdAt: new Date(0) };
    const decided = decideAnswer(
      { ...request.headers, "if-modified-since": undefined },
      method,
      content,
    );
    const { "last-modified": _, ...headers } = answerHeaders(content, decided);
    const { part } = decided;
    if (!part || method === "HEAD") {
      response.writeHead(decided.status, headers).end();
      return;
    }
    const ticket = pace.enter({ ...device, tenant: options.downloads });
    try {
      const bytes = fetch
        ? arrivingContent(fetch, disk, part, clock)
        : wholeContent(disk, sha256, part);
      response.writeHead(decided.status, headers);
      // The header says that the platform has answered, which may be long before the first bytes.
      response.flushHeaders();
      await pipeline(Readable.from(paced(bytes), { objectMode: false }), response);
    } finally {
      ticket.leave();
    }

    async function* paced(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const chunk of bytes) {
        await ticket.take(chunk.length);
        sentBytes.inc(chunk.length);
        yield chunk;
      }
    }
  }

  const server = https.createServer(
    {
      ...TLS_POLICY,
      key: own.keyPem,
      cert: own.certificatePem,
      ca: identity.authorities,
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: 10_000,
      headersTimeout: 10_000,
      requestTimeout: 30_000,
      maxHeaderSize: 16 * 1024,
      sessionIdContext: "vautn-cache",
    },
    (request, response) => {
      response.on("error", () => {});
      handle(request, response).catch((error) => refuse(error, response, logger));
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.setTimeout(IDLE_MS);
  const status = http.createServer((request, response) => void answerStatus(request, response));
  server.listen(options.port, options.bindAddress);
  await once(server, "listening");
  status.listen(options.statusPort, options.bindAddress);
  await once(status, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    statusPort: (status.address() as AddressInfo).port,
    identity,
    certificateFile: own.file,
    async stop() {
      for (const fetch of fetches.values()) fetch.stop();
      for (const one of [server, status]) {
        one.close();
        one.closeAllConnections();
      }
      await Promise.all([...fetches.values()].map((fetch) => fetch.done));
    },
  };
}

function queryOf(url: URL): Record<string, unknown> {
  const query: Record<string, unknown> = {};
  for (const [name, value] of url.searchParams) {
    query[name] = Object.hasOwn(query, name) ? [query[name], value] : value;
  }
  return query;
}

function refuse(thrown: unknown, response: ServerResponse, logger: Logger): void {
  if (response.headersSent) {
    // The line is cut: nobody takes a part for the whole.
    response.destroy();
    return;
  }
  const error = asAppError(thrown);
  requests.inc({ outcome: "refused" });
  if (error.status >= 500 && error.code === "internal") {
    logger.error({ err: thrown }, "a device's request failed");
  }
  const { retryAfterSeconds } = error.details;
  if (typeof retryAfterSeconds === "number") response.setHeader("retry-after", retryAfterSeconds);
  response.setHeader("content-type", "application/problem+json");
  response.setHeader("cache-control", "no-store");
  response.writeHead(error.status).end(JSON.stringify(problemOf(error, "")));
}

async function answerStatus(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === "/healthz" || request.url === "/readyz") {
    response.writeHead(200, { "content-type": "application/json" }).end('{"status":"ok"}');
  } else if (request.url === "/metrics") {
    const text = await metricsRegistry.metrics();
    response.writeHead(200, { "content-type": metricsRegistry.contentType }).end(text);
  } else {
    response.writeHead(404).end();
  }
}

function busy(): AppError {
  return new AppError("unavailable", "the platform has not answered yet", {
    retryAfterSeconds: 10,
  });
}
