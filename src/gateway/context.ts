import type tls from "node:tls";
import type { FairShare } from "../kernel/fair-share.ts";
import type { Connection } from "./connection.ts";
import type { GatewayDeps } from "./deps.ts";
import type { FanOut } from "./fan-out.ts";
import type { GatewayLimits } from "./limits.ts";
import type { MessageRouter } from "./message-router.ts";
import type { Allowances } from "./pacing.ts";
import type { Refusals } from "./refusals.ts";
import type { Registry } from "./registry.ts";
import type { Retained } from "./retained.ts";
import type { Sessions } from "./sessions.ts";
import type { StandingLog } from "./standing-log.ts";
import type { TokenBuckets } from "./token-bucket.ts";

/** What the connections of one gateway share. */
export interface GatewayContext {
  deps: GatewayDeps;
  limits: GatewayLimits;
  gatewayId: string;
  /** A name that no other connection of this gateway has had, in this life or an earlier one. */
  nextConnectionId(): string;
  router: MessageRouter;
  refusals: Refusals;
  registry: Registry<Connection>;
  sessions: Sessions;
  retained: Retained;
  fanOut: FanOut;
  tenantConnects: TokenBuckets;
  deviceConnects: TokenBuckets;
  /** What those of one tenant, and those behind one address, may send together. */
  tenantAllowances: Allowances;
  addressAllowances: Allowances;
  /** Slows whoever sends most while the process has no time for the others. */
  fairShare: FairShare;
  /** The CONNECT of this socket has been answered: the next one of those who wait may come. */
  answered(socket: tls.TLSSocket): void;
  load: {
    /** Bytes of all devices that wait for the stores. */
    inboundBytes: number;
  };
  /** Who authenticated before a change of standing may have to do so again. */
  standing: StandingLog;
}
