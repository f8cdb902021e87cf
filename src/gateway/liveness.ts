import type { GatewayLimits } from "./limits.ts";
import { ConnectionFault, REASON } from "./reason-codes.ts";

/** A packet must be whole this long after its first byte. */
const PACKET_TIMEOUT_MS = 300_000;
const KEEP_ALIVE_FACTOR = 1.5;

/** What is known of a connection when it is looked at. Times are milliseconds since the epoch. */
export interface ConnectionFacts {
  startedAt: number;
  /** Undefined until the connection has been accepted. */
  accepted: { keepAliveSeconds: number; notAfterMs: number } | undefined;
  lastHeardAt: number;
  /** Since when a packet has been waiting for its rest. */
  packetSince: number | undefined;
  /** Whether we have stopped reading: its silence is then our doing. */
  isHeld: boolean;
  unwrittenBytes: number;
}

export type Overdue =
  | { kind: "drop"; why: string }
  | { kind: "fail"; fault: ConnectionFault }
  | undefined;

/**
 * Before this time a connection with no unfinished packet need not be looked at. What is heard of it
 * meanwhile only makes it later.
 */
export function restsUntil({ accepted, lastHeardAt }: ConnectionFacts): number {
  if (!accepted) return 0;
  return Math.min(lastHeardAt + patienceMsOf(accepted), accepted.notAfterMs);
}

/** MQTT 5.0 §3.1.2.10 [MQTT-3.1.2-22]: one and a half times the keep-alive. */
function patienceMsOf({ keepAliveSeconds }: { keepAliveSeconds: number }): number {
  return keepAliveSeconds * 1_000 * KEEP_ALIVE_FACTOR;
}

/** Whether a connection has to end by the passing of time. */
export function overdue(facts: ConnectionFacts, limits: GatewayLimits, nowMs: number): Overdue {
  const { accepted } = facts;
  if (!accepted) {
    const late = nowMs - facts.startedAt > limits.connectTimeoutMs;
    return late ? { kind: "drop", why: "no CONNECT in time" } : undefined;
  }
  if (facts.unwrittenBytes > limits.outboundBytes) return { kind: "drop", why: "slow reader" };
  if (facts.packetSince !== undefined && nowMs - facts.packetSince > PACKET_TIMEOUT_MS) {
    return { kind: "drop", why: "unfinished packet" };
  }
  if (!facts.isHeld && nowMs - facts.lastHeardAt > patienceMsOf(accepted)) {
    const fault = new ConnectionFault(REASON.keepAliveTimeout, "nothing heard for too long");
    return { kind: "fail", fault };
  }
  if (nowMs < accepted.notAfterMs) return undefined;
  const fault = new ConnectionFault(REASON.notAuthorized, "the certificate has expired");
  return { kind: "fail", fault };
}
