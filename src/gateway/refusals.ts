import { isAppError, messageOf } from "../kernel/index.ts";
import { type DeviceIdentity, topicPrefix } from "../protocol/index.ts";
import type { GatewayDeps, GatewayPeer } from "./deps.ts";

/** One entry for a device and an action in this time: a flood of refusals is not a flood of rows. */
const AUDIT_INTERVAL_MS = 60_000;
const MAX_REMEMBERED = 10_000;
const MAX_TARGET_LENGTH = 256;

/** Puts on record what a device was refused. */
export class Refusals {
  readonly #deps: Pick<GatewayDeps, "db" | "tenancy" | "clock" | "logger">;
  readonly #recent = new Map<string, number>();

  constructor(deps: Pick<GatewayDeps, "db" | "tenancy" | "clock" | "logger">) {
    this.#deps = deps;
  }

  record(
    peer: DeviceIdentity,
    action: "mqtt.publish" | "mqtt.subscribe" | "mqtt.connect",
    target: { kind: string; id: string },
    reason: string,
  ): void {
    const { db, tenancy, clock, logger } = this.#deps;
    const { tenantId, deviceId } = peer;
    const targetId = target.id.slice(0, MAX_TARGET_LENGTH);
    if (!this.#isNew(`${tenantId}/${deviceId}/${action}`, clock.now())) return;
    logger.warn({ tenantId, deviceId, action, target: targetId, reason }, "refused a device");
    if (!db || !tenancy) return;
    const entry = {
      actor: { kind: "device", id: deviceId, name: deviceId } as const,
      action,
      targetKind: target.kind,
      targetId,
      outcome: "refused" as const,
      details: { reason },
    };
    db.tenant(tenantId, (tx) => tenancy.audit.record(tx, tenantId, entry)).catch((error) => {
      if (!isAppError(error, "unavailable")) {
        logger.error({ error: messageOf(error), tenantId }, "a refusal could not be recorded");
      }
    });
  }

  #isNew(key: string, nowMs: number): boolean {
    const last = this.#recent.get(key);
    if (last !== undefined && nowMs - last < AUDIT_INTERVAL_MS) return false;
    this.#recent.delete(key);
    this.#recent.set(key, nowMs);
    if (this.#recent.size > MAX_REMEMBERED) {
      this.#recent.delete(this.#recent.keys().next().value as string);
    }
    return true;
  }
}

/** Why not, for the audit log: an own topic is shut to a certificate that has ended. */
export function foreign(what: "filter" | "topic", peer: GatewayPeer, topic: string): string {
  return peer.access === "renewal" && topic.startsWith(topicPrefix(peer))
    ? "the certificate has ended and is good for its renewal alone"
    : `the ${what} is not this device's`;
}
