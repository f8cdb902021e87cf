import type { Bus } from "../../bus/index.ts";
import type { Commands } from "../../commands/index.ts";
import type { Database } from "../../db/index.ts";
import type { ApplicationPeers } from "../../identity/index.ts";
import type { Clock } from "../../kernel/index.ts";
import type { Logger } from "../../kernel/logger.ts";
import type { Tenancy } from "../../tenancy/index.ts";

export interface ApplicationDeps {
  bus: Bus;
  clock: Clock;
  logger: Logger;
  tenancy: Pick<Tenancy, "authenticate">;
  commands: Pick<Commands, "send">;
  /** Who comes with a certificate; where it is absent nobody does. */
  identity?: {
    applicationPeers?: ApplicationPeers;
    onStandingChanged(listener: (change: { kind: string }) => void): () => void;
  };
  /** Where sessions and what applications tell one another are kept; without it nothing is. */
  db?: Database;
  /** The process, the same over its restarts; needed with `db`. */
  holder?: string;
  limits?: Partial<ApplicationLimits>;
}

/** Bounds for tenants' applications; sizes in bytes, times in milliseconds. */
export interface ApplicationLimits {
  connections: number;
  connectTimeoutMs: number;
  maxKeepAliveSeconds: number;
  subscriptions: number;
  /** Orders that are being taken (Receive Maximum). */
  inboundInflight: number;
  outboundInflight: number;
  /** Messages that wait for an application's window; one more ends its connection. */
  waiting: number;
  /** Messages that may wait for a session that outlives its connection; one more is refused. */
  queued: number;
  /** Bytes that an application may leave unread. */
  outboundBytes: number;
  /** Connections a second, and at once, from one address. */
  addressRate: number;
  addressBurst: number;
  /** Orders a second, and at once, of one key. */
  commandRate: number;
  commandBurst: number;
  /** Messages to the other applications a second, and at once, of one key or certificate. */
  exchangeRate: number;
  exchangeBurst: number;
  /** Longest Session Expiry Interval, and what a session of MQTT 3.1.1 has. */
  sessionExpirySeconds: number;
  /** How often the key is looked at again. */
  recheckMs: number;
}

export const DEFAULT_APPLICATION_LIMITS: ApplicationLimits = {
  connections: 1_000,
  connectTimeoutMs: 10_000,
  maxKeepAliveSeconds: 1_200,
  subscriptions: 50,
  inboundInflight: 100,
  outboundInflight: 100,
  waiting: 1_000,
  queued: 1_000,
  outboundBytes: 1024 * 1024,
  addressRate: 20,
  addressBurst: 200,
  commandRate: 100,
  commandBurst: 1_000,
  exchangeRate: 1_000,
  exchangeBurst: 5_000,
  sessionExpirySeconds: 30 * 86_400,
  recheckMs: 2_000,
};
