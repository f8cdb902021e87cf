import type { IncomingMessage } from "node:http";
import https from "node:https";
import tls from "node:tls";
import type { ArtifactServer, ArtifactSource, TlsCredentials } from "../ports.ts";

const MAX_ANSWER_BYTES = 256 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;

/** Artifacts over mutual TLS; the server must hold a certificate for its name under our root. */
export function createHttpsArtifacts(credentials: () => Promise<TlsCredentials>): ArtifactSource {
  return {
    async fetch(url, offset, signal, given) {
      const { key, certificate, root } = given ?? (await credentials());
      const headers = offset > 0 ? { range: `bytes=${offset}-` } : {};
      const request = { ca: root, headers, signal };
      let servedBy: ArtifactServer = "platform";
      let response = await open(url, { ...request, key, cert: certificate }, undefined);
      const { location } = response.headers;
      if (response.statusCode === 307 && location) {
        response.destroy();
        // The store is no part of our PKI: it is shown no certificate, and what it sends is hashed.
        const ca = [root, ...tls.rootCertificates];
        response = await open(new URL(location, url).href, { ...request, ca }, undefined);
        servedBy = "store";
      }
      const status = response.statusCode ?? 0;
      return { status, body: response, servedBy, ...retryAfterOf(response) };
    },
  };
}

export interface TextAnswer {
  status: number;
  body: string;
  /** When the server wants to be asked again, where it says so in seconds (RFC 9110 §10.2.3). */
  retryAfterSeconds?: number;
}

export interface TextRequest {
  method: string;
  root: string;
  headers?: Record<string, string>;
  body?: string;
  /** What to prove oneself by, once there is a certificate. */
  identity?: Pick<TlsCredentials, "key" | "certificate">;
  signal?: AbortSignal;
}

/** One request whose answer is a small text; used for enrolment and renewal. */
export async function requestText(url: string, options: TextRequest): Promise<TextAnswer> {
  const { method, root, headers = {}, body, identity, signal } = options;
  const limit = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const response = await open(
    url,
    {
      method,
      ca: root,
      headers,
      signal: signal ? AbortSignal.any([limit, signal]) : limit,
      ...(identity ? { key: identity.key, cert: identity.certificate } : {}),
    },
    body,
  );
  let text = "";
  response.setEncoding("utf8");
  for await (const chunk of response) {
    text += chunk;
    if (text.length > MAX_ANSWER_BYTES) throw new Error("the server's answer is too large");
  }
  return { status: response.statusCode ?? 0, body: text, ...retryAfterOf(response) };
}

/** Retry-After in seconds (RFC 9110 §10.2.3); our platform sends no dates. */
function retryAfterOf(response: IncomingMessage): { retryAfterSeconds?: number } {
  const text = response.headers["retry-after"] ?? "";
  return /^\d{1,9}$/.test(text) ? { retryAfterSeconds: Number(text) } : {};
}

function open(
  url: string,
  options: https.RequestOptions,
  body: string | undefined,
): Promise<IncomingMessage> {
  if (new URL(url).protocol !== "https:") throw new Error(`${url} is not fetched: HTTPS only`);
  return new Promise((resolve, reject) => {
    const request = https.request(
      url,
      { ...options, rejectUnauthorized: true, agent: false },
      resolve,
    );
    request.on("error", reject);
    request.end(body);
  });
}
