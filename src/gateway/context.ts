import type { Connection } from "./connection.ts";
import type { GatewayDeps, GatewayLimits } from "./deps.ts";
import type { FanOut } from "./fan-out.ts";
import type { MessageRouter } from "./message-router.ts";
import type { Paces } from "./pacing.ts";
import type { Refusals } from "./refusals.ts";
import type { Registry } from "./registry.ts";
import type { Retained } from "./retained.ts";
import type { Sessions } from "./sessions.ts";
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
  tenantMessages: Paces;
  tenantBytes: Paces;
  load: {
    /** Bytes of all devices that wait for the stores. */
    inboundBytes: number;
    /** Rises with every revocation: who authenticated before it may have to do so again. */
    revocations: number;
  };
}
