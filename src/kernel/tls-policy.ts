import type { SecureContextOptions, Server, TlsOptions } from "node:tls";
import type { Clock, Timer } from "./clock.ts";

/** How long a session can be resumed: no longer than its ticket's key is in force. */
export const TLS_SESSION_SECONDS = 12 * 3_600;

/**
 * What every TLS listener of ours demands: version 1.3 where the peer has it, 1.2 at least, and
 * within that only suites with forward secrecy and authenticated encryption (RFC 9325 §4.2).
 */
export const TLS_POLICY = {
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.3",
  ciphers: [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    // For certificates from files, which may be RSA.
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
  ].join(":"),
  // The hybrid post-quantum exchange first, for peers that have it.
  ecdhCurve: "X25519MLKEM768:X25519:P-256:P-384",
  sessionTimeout: TLS_SESSION_SECONDS,
} as const satisfies TlsOptions;

/** How often the server's certificate, the trusted roots and the ticket keys are asked for again. */
const RELOAD_EVERY_MS = 10_000;

type Listener = Pick<Server, "setSecureContext" | "getTicketKeys" | "setTicketKeys">;

/** What a listener is told anew while it runs. */
export type FreshCredentials = SecureContextOptions & Pick<TlsOptions, "ticketKeys">;

/**
 * Keeps a listener's certificate, roots and ticket keys fresh. Connections that live go on, and
 * sessions can still be resumed as long as the keys of the tickets stay.
 */
export function reloadSecureContext(
  server: Listener,
  options: {
    load(): Promise<FreshCredentials>;
    initial: FreshCredentials;
    /** The listener's own: without it sessions from before could not be resumed. */
    sessionIdContext: string;
    clock: Clock;
    onError(error: unknown): void;
    onReload?(): void;
  },
): { now(): Promise<void>; stop(): void } {
  let stopped = false;
  let current = keyOf(options.initial);
  let timer: Timer = options.clock.after(RELOAD_EVERY_MS, again);
  async function now(): Promise<void> {
    try {
      const loaded = await options.load();
      if (stopped) return;
      if (loaded.ticketKeys && !loaded.ticketKeys.equals(server.getTicketKeys())) {
        server.setTicketKeys(loaded.ticketKeys);
      }
      if (keyOf(loaded) === current) return;
      const ticketKeys = server.getTicketKeys();
      const { sessionIdContext } = options;
      const context = { ...TLS_POLICY, ...loaded, ticketKeys, sessionIdContext };
      server.setSecureContext(context as SecureContextOptions);
      current = keyOf(loaded);
      options.onReload?.();
    } catch (error) {
      if (!stopped) options.onError(error);
    }
  }
  function again(): void {
    void now().finally(() => {
      if (!stopped) timer = options.clock.after(RELOAD_EVERY_MS, again);
    });
  }
  return {
    now,
    stop() {
      stopped = true;
      timer.cancel();
    },
  };
}

function keyOf({ cert, ca }: SecureContextOptions): string {
  return `${String(cert)}\n${String(ca)}`;
}
