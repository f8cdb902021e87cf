import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";

const PATH = /^\/\.well-known\/acme-challenge\/([A-Za-z0-9_-]{16,200})$/;
const MAX_CONNECTIONS = 64;
const TIMEOUT_MS = 10_000;

/** Answers an ACME authority's HTTP-01 questions (RFC 8555 §8.3), and nothing else of anybody. */
export async function startChallengeListener(options: {
  port: number;
  bindAddress: string;
  challenge(token: string): Promise<string | undefined>;
}): Promise<{ port: number; close(): Promise<void> }> {
  const server = http.createServer(
    { requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS, keepAlive: false },
    (request, response) => {
      response.setHeader("connection", "close");
      void answer(request, response, options.challenge);
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.listen(options.port, options.bindAddress);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.close();
      server.closeAllConnections();
      if (server.listening) await once(server, "close");
    },
  };
}

async function answer(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  challenge: (token: string) => Promise<string | undefined>,
): Promise<void> {
  const [, token] = PATH.exec(request.url ?? "") ?? [];
  const isRead = request.method === "GET" || request.method === "HEAD";
  try {
    const found = token && isRead ? await challenge(token) : undefined;
    response.writeHead(found ? 200 : 404, { "content-type": "application/octet-stream" });
    response.end(found ?? "");
  } catch {
    // The database does not answer; the authority asks again.
    response.writeHead(503).end();
  }
}
