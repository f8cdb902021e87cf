import { AppError } from "../kernel/index.ts";
import { type DeviceIdentity, topicMatches, topicPrefix } from "../protocol/index.ts";
import type { GatewayDeps } from "./deps.ts";
import { retainedTotal } from "./gateway-metrics.ts";
import type { GatewayLimits } from "./limits.ts";
import type { PassedMessage } from "./passed-properties.ts";
import * as store from "./retained-store.ts";

/** A filter for which retained messages are wanted. */
export interface RetainedFor {
  filter: string;
  qos: 0 | 1 | 2;
  identifier: number | undefined;
}

/** A retained message on its way to one subscription. */
export interface RetainedMessage extends PassedMessage {
  identifiers: number[];
}

/** The retained messages of devices, on their own topics. */
export class Retained {
  readonly #deps: Pick<GatewayDeps, "db" | "clock">;
  readonly #limits: GatewayLimits;

  constructor(deps: Pick<GatewayDeps, "db" | "clock">, limits: GatewayLimits) {
    this.#deps = deps;
    this.#limits = limits;
  }

  /** Keeps or, when it is empty, forgets. Throws `quota-exceeded` and `unavailable`. */
  async keep(device: DeviceIdentity, message: PassedMessage): Promise<void> {
    const { db } = this.#deps;
    const { tenantId, deviceId } = device;
    if (!db) throw new AppError("quota-exceeded", "nothing is retained without a database");
    if (message.payload.length > this.#limits.retainedBytes) {
      throw new AppError("quota-exceeded", "too large to be retained");
    }
    const suffix = message.topic.slice(topicPrefix(device).length);
    await db.tenant(tenantId, (tx) =>
      // MQTT 5.0 §3.3.1.3 [MQTT-3.3.1-6], [MQTT-3.3.1-7]: an empty one removes what was kept.
      message.payload.length === 0
        ? store.clearRetained(tx, deviceId, suffix)
        : store.keepRetained(tx, tenantId, { deviceId, suffix }, message, this.#limits),
    );
    retainedTotal.inc({ action: message.payload.length === 0 ? "forgotten" : "kept" });
  }

  /** What is retained for each of a device's filters. */
  async find(device: DeviceIdentity, wanted: readonly RetainedFor[]): Promise<RetainedMessage[]> {
    const { db, clock } = this.#deps;
    if (!db || wanted.length === 0) return [];
    const all = await db.tenant(device.tenantId, (tx) =>
      store.retainedOf(tx, device.deviceId, topicPrefix(device), new Date(clock.now())),
    );
    return wanted.flatMap(({ filter, qos, identifier }) =>
      all
        .filter(({ topic }) => topicMatches(filter, topic))
        .map((message) => ({
          ...message,
          qos: Math.min(message.qos, qos) as 0 | 1 | 2,
          identifiers: identifier === undefined ? [] : [identifier],
        })),
    );
  }
}
