import type { FastifyReply, FastifyRequest } from "fastify";
import { AppError } from "../kernel/index.ts";

export const SESSION_COOKIE = "vautn_session";
const MAX_TOKEN_LENGTH = 512;

/** What the caller signed in with: `Authorization: Bearer`, else the session cookie. */
export function readCredential(request: FastifyRequest): FastifyRequest["credential"] {
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const token = /^Bearer ([\x21-\x7e]+)$/i.exec(authorization)?.[1] ?? basicKey(authorization);
    return token && token.length <= MAX_TOKEN_LENGTH ? { token, from: "bearer" } : null;
  }
  const token = request.cookies[SESSION_COOKIE];
  return token && token.length <= MAX_TOKEN_LENGTH ? { token, from: "cookie" } : null;
}

/** An API key as the password of RFC 7617, whatever the name: all that some programs can send. */
function basicKey(authorization: string): string | undefined {
  const encoded = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(authorization)?.[1];
  if (encoded === undefined || encoded.length > MAX_TOKEN_LENGTH * 2) return undefined;
  return /^[^:]*:(vk_[\x21-\x7e]+)$/.exec(Buffer.from(encoded, "base64").toString())?.[1];
}

const SAFE_METHODS: readonly string[] = ["GET", "HEAD", "OPTIONS"];

/**
 * Refuses a write that another site made a browser send. Browsers name the origin of every write
 * (Fetch Standard §3.2); a caller without one must set a header that a form cannot.
 */
export function assertSameSite(request: FastifyRequest, publicOrigins: readonly string[]): void {
  if (SAFE_METHODS.includes(request.method)) return;
  const signsIn = request.routeOptions.config.access === "public";
  if (request.credential?.from !== "cookie" && !signsIn) return;
  const { origin } = request.headers;
  const own = [`http://${request.headers.host}`, `https://${request.headers.host}`];
  if (origin !== undefined && !own.includes(origin) && !publicOrigins.includes(origin)) {
    throw new AppError("forbidden", "the request comes from another site", { origin });
  }
  if (origin === undefined && !signsIn && request.headers["x-requested-with"] === undefined) {
    throw new AppError("forbidden", "a write with a cookie needs Origin or X-Requested-With");
  }
}

export function setSessionCookie(
  request: FastifyRequest,
  reply: FastifyReply,
  session: { token: string; expiresAt: Date },
): void {
  const { token, expiresAt: expires } = session;
  reply.setCookie(SESSION_COOKIE, token, { ...cookieScope(request), expires });
}

export function clearSessionCookie(request: FastifyRequest, reply: FastifyReply): void {
  reply.clearCookie(SESSION_COOKIE, cookieScope(request));
}

export const FLOW_COOKIE = "vautn_flow";
const FLOW_PATH = "/api/v1/auth/providers";

/** Lax: the provider sends the browser back from another site (RFC 6265bis §5.6.7). */
function flowScope(request: FastifyRequest) {
  return { ...cookieScope(request), path: FLOW_PATH, sameSite: "lax" as const };
}

export function setFlowCookie(
  request: FastifyRequest,
  reply: FastifyReply,
  flow: { flow: string; lifetimeMs: number },
): void {
  const maxAge = Math.floor(flow.lifetimeMs / 1000);
  reply.setCookie(FLOW_COOKIE, flow.flow, { ...flowScope(request), maxAge });
}

export function clearFlowCookie(request: FastifyRequest, reply: FastifyReply): void {
  reply.clearCookie(FLOW_COOKIE, flowScope(request));
}

export const BROWSER_COOKIE = "vautn_browser";

/** By which a browser is known when its person signs in again; it opens nothing. */
export function setBrowserCookie(
  request: FastifyRequest,
  reply: FastifyReply,
  { note, expiresAt: expires }: { note: string; expiresAt: Date },
): void {
  reply.setCookie(BROWSER_COOKIE, note, { ...cookieScope(request), path: "/api/v1/auth", expires });
}

/** The session that a browser brings along to signing in. */
export function sessionToReplace(request: FastifyRequest): string | undefined {
  const token = request.cookies[SESSION_COOKIE];
  return token && token.length <= MAX_TOKEN_LENGTH ? token : undefined;
}

function cookieScope(request: FastifyRequest) {
  return {
    path: "/",
    httpOnly: true,
    sameSite: "strict" as const,
    secure: request.protocol === "https",
  };
}
