import { guardedExchange, type SendOptions } from "./guarded-request.ts";

/** More than any discovery document, key set or token answer has. */
const MAX_ANSWER_BYTES = 512 * 1024;
const BODILESS: readonly number[] = [204, 205, 304];

export interface GuardedFetchOptions extends SendOptions {
  allowPrivateAddresses: boolean;
  /** Origins that may lie at private addresses and speak plain HTTP: what the installation names. */
  privateOrigins: readonly string[];
}

/** As much of `fetch` as the OpenID libraries use. */
export type GuardedFetch = (
  url: string,
  init?: {
    method?: string | undefined;
    headers?: Headers | Record<string, string> | undefined;
    body?: unknown;
  },
) => Promise<Response>;

/**
 * A `fetch` for addresses that others have named (issuers, their token endpoints, their keys): HTTPS
 * to public addresses only, but for the origins that the installation names. Redirects are answers,
 * what is too long is an error.
 */
export function createGuardedFetch(options: GuardedFetchOptions): GuardedFetch {
  return async (text, init = {}) => {
    const url = new URL(text);
    const isPrivate = options.allowPrivateAddresses || options.privateOrigins.includes(url.origin);
    if (url.protocol !== "https:" && !(isPrivate && url.protocol === "http:")) {
      throw new TypeError(`${url.origin} is not reached by https`);
    }
    if (url.username !== "" || url.password !== "") {
      throw new TypeError("an address here carries no credentials");
    }
    const request = {
      method: init.method ?? "GET",
      headers: Object.fromEntries(new Headers(init.headers)),
      body: bodyOf(init.body),
      maxBytes: MAX_ANSWER_BYTES,
    };
    const answer = await guardedExchange(url, request, {
      ...options,
      allowPrivateAddresses: isPrivate,
    });
    if (answer.isCut) throw new TypeError(`${url.origin} answers with too much`);
    const { "content-type": contentType, "www-authenticate": challenge } = answer.headers;
    const headers = {
      ...(contentType ? { "content-type": contentType } : {}),
      ...(challenge ? { "www-authenticate": challenge } : {}),
    };
    const body = BODILESS.includes(answer.status) ? null : new Uint8Array(answer.body);
    return new Response(body, { status: answer.status, headers });
  };
}

function bodyOf(body: unknown): Buffer | undefined {
  if (body === undefined || body === null) return undefined;
  if (body instanceof Uint8Array) return Buffer.from(body);
  if (typeof body === "string" || body instanceof URLSearchParams) return Buffer.from(String(body));
  throw new TypeError("this body cannot be sent");
}
