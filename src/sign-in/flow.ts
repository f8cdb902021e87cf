import type { Clock } from "../kernel/index.ts";
import type { Sealer } from "../kernel/sealing.ts";

/** What a browser carries from the start of signing in at a provider to its end. */
export interface Flow {
  provider: string;
  state: string;
  nonce: string;
  verifier: string;
  redirectUri: string;
  /** Path to go to afterwards. */
  next: string;
  /** Milliseconds. */
  expiresAt: number;
}

/** Time to type a password and a code at the provider. */
export const FLOW_LIFETIME_MS = 10 * 60_000;
const CONTEXT = "sign-in flow";
const MAX_LENGTH = 3_500;
const MAX_PATH_LENGTH = 1_024;

/**
 * A flow lies sealed in the browser's own cookie: it binds the answer to the browser that asked, and
 * strangers who begin flows leave nothing behind here.
 */
export function sealFlow(sealer: Sealer, flow: Flow): string {
  return sealer.seal(JSON.stringify(flow), CONTEXT).toString("base64url");
}

/** Undefined where it is not ours, altered, or too old. */
export function openFlow(sealer: Sealer, clock: Clock, text: string): Flow | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  try {
    const opened = sealer.open(Buffer.from(text, "base64url"), CONTEXT).toString();
    const flow = JSON.parse(opened) as Flow;
    return flow.expiresAt > clock.now() ? flow : undefined;
  } catch {
    return undefined; // Altered on the way, or sealed by another installation.
  }
}

/** A path of our own, or `/`: nobody is sent to another site from here. */
export function ownPath(next: string | undefined): string {
  if (!next?.startsWith("/") || next.length > MAX_PATH_LENGTH) return "/";
  // Browsers read a backslash as a slash and drop tabs and line ends (WHATWG URL Standard §4.4).
  if (/[\\\p{Cc}]/u.test(next) || next.startsWith("//")) return "/";
  const base = "http://own.invalid";
  const url = URL.parse(next, base);
  return url?.origin === base ? `${url.pathname}${url.search}${url.hash}` : "/";
}
