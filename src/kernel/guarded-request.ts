import { lookup } from "node:dns/promises";
import http from "node:http";
import https from "node:https";
import { isIP } from "node:net";
import type { Clock } from "./clock.ts";
import { AppError, messageOf } from "./errors.ts";
import { mayReach, type PrivateAddresses } from "./public-address.ts";

const TIMEOUT_MS = 10_000;
/** What is read of an answer; the rest is cut off. */
const MAX_ANSWER_BYTES = 16 * 1024;
const MAX_URL_LENGTH = 2_048;
const REMEDY =
  "receivers in a network of your own are for who runs the platform to permit (VAUTN_PRIVATE_RECEIVERS)";

export interface ResolvedAddress {
  address: string;
  family: number;
}

export type Resolve = (host: string) => Promise<ResolvedAddress[]>;

export interface SendOptions {
  clock: Clock;
  allowPrivateAddresses: PrivateAddresses;
  resolve?: Resolve | undefined;
  /** How long the whole exchange may take; ten seconds where absent. */
  timeoutMs?: number | undefined;
}

export interface Answer {
  status: number;
  /** Its beginning, where it is longer than the bound. */
  body: string;
}

/** A URL that a webhook may have; `invalid-request` says what is wrong with it. */
export function parseWebhookUrl(text: string, allowPrivateAddresses: PrivateAddresses): URL {
  const url = text.length <= MAX_URL_LENGTH ? URL.parse(text) : null;
  const refuse = (why: string) => new AppError("invalid-request", why, { path: "/url" });
  if (!url || !["http:", "https:"].includes(url.protocol)) {
    throw refuse("a webhook needs an http or https URL");
  }
  if (url.username !== "" || url.password !== "") {
    throw refuse("a webhook's URL carries no credentials; the signature proves who sends");
  }
  const host = hostOf(url);
  // RFC 6761 §6.3: these names are this machine, whoever is asked.
  const literal = /(^|\.)localhost\.?$/i.test(host) ? "127.0.0.1" : host;
  if (isIP(literal) !== 0 && !mayReach(literal, allowPrivateAddresses)) {
    throw refuse(`a webhook may not point at a private, loopback or link-local address; ${REMEDY}`);
  }
  return url;
}

/**
 * Posts a body to a webhook whose receiver only has to take it: its status, as soon as it has said that and
 * all else, or has had its time. What it says besides decides nothing, so that an answer which never ends
 * makes nobody send again what was taken.
 */
export async function postWebhook(
  url: URL,
  body: string,
  headers: Record<string, string>,
  options: SendOptions,
): Promise<number> {
  const request = { method: "POST", headers, body: Buffer.from(body), statusSuffices: true };
  return (await guardedExchange(url, { ...request, maxBytes: MAX_ANSWER_BYTES }, options)).status;
}

/** Posts a body to a webhook whose answer matters; its body is read up to a bound. */
export async function sendWebhook(
  url: URL,
  body: string,
  headers: Record<string, string>,
  options: SendOptions,
): Promise<Answer> {
  const request = { method: "POST", headers, body: Buffer.from(body) };
  const answer = await guardedExchange(url, { ...request, maxBytes: MAX_ANSWER_BYTES }, options);
  return { status: answer.status, body: answer.body.toString("utf8") };
}

export interface GuardedRequest {
  method: string;
  headers: Record<string, string>;
  body?: Buffer | undefined;
  /** What is read of the answer. */
  maxBytes: number;
  /** An answer that breaks off or does not end in time is an answer all the same, and cut. */
  statusSuffices?: boolean;
}

export interface GuardedAnswer {
  status: number;
  headers: http.IncomingHttpHeaders;
  /** Its beginning, where it is longer than the bound. */
  body: Buffer;
  isCut: boolean;
}

/**
 * One request to an address that somebody else has named. The host is resolved once, every address
 * must be public, and the connection goes to the very address that was checked, so that a name
 * cannot change in between. Redirects are not followed.
 */
export async function guardedExchange(
  url: URL,
  request: GuardedRequest,
  options: SendOptions,
): Promise<GuardedAnswer> {
  const abort = new AbortController();
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const timer = options.clock.after(timeoutMs, () => abort.abort(new Error("timed out")));
  try {
    const address = await beforeAbort(resolveGuarded(hostOf(url), options), abort.signal);
    return await exchange(url, address, request, abort.signal);
  } catch (error) {
    if (abort.signal.aborted) throw new Error(`no answer within ${timeoutMs / 1000} s`);
    throw error;
  } finally {
    timer.cancel();
  }
}

function exchange(
  url: URL,
  address: ResolvedAddress,
  { method, headers, body, maxBytes, statusSuffices = false }: GuardedRequest,
  signal: AbortSignal,
): Promise<GuardedAnswer> {
  const { request: start } = url.protocol === "https:" ? https : http;
  return new Promise<GuardedAnswer>((resolve, reject) => {
    const request = start(url, {
      method,
      agent: false,
      signal,
      headers: { ...headers, ...(body ? { "content-length": body.length } : {}) },
      lookup: (_host, lookupOptions, done) => {
        if (lookupOptions.all) done(null, [address]);
        else done(null, address.address, address.family);
      },
    });
    let breakOff: (error: Error) => void = reject;
    request.on("error", (error) => breakOff(error));
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      let received = 0;
      const finish = (isCut: boolean) => {
        const read = Buffer.concat(chunks).subarray(0, maxBytes);
        const { statusCode: status = 0, headers } = response;
        resolve({ status, headers, body: read, isCut });
      };
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        received += chunk.length;
        if (received <= maxBytes) return;
        finish(true);
        request.destroy();
      });
      response.on("end", () => finish(false));
      if (statusSuffices) breakOff = () => finish(true);
      response.on("error", (error) => breakOff(error));
    });
    request.end(body);
  });
}

/** Looking a name up can't be ended, only left. */
export function beforeAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    work.then(resolve, reject);
  });
}

/**
 * The address to connect to, of a host that somebody else has named: every one that it resolves to
 * must be public. Connect to the answer, not to the name, which may mean another one by then.
 */
export async function resolveGuarded(
  host: string,
  options: Pick<SendOptions, "allowPrivateAddresses" | "resolve">,
): Promise<ResolvedAddress> {
  const resolve = options.resolve ?? ((name) => lookup(name, { all: true, verbatim: true }));
  let addresses: ResolvedAddress[];
  try {
    addresses = isIP(host) ? [{ address: host, family: isIP(host) }] : await resolve(host);
  } catch (error) {
    throw new Error(`the host name cannot be resolved (${messageOf(error)})`, { cause: error });
  }
  const [first] = addresses;
  if (!first) throw new Error("the host name has no address");
  if (addresses.some((each) => !mayReach(each.address, options.allowPrivateAddresses))) {
    throw new Error(`the host name leads to a private, loopback or link-local address; ${REMEDY}`);
  }
  return first;
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, "$1");
}
