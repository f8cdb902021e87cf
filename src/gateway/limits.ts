import type { Rates } from "./pacing.ts";

/** Bounds of one gateway process; sizes in bytes, times in milliseconds. */
export interface GatewayLimits {
  connections: number;
  /** From the first byte to the end of the TLS handshake, and from there to CONNECT. */
  handshakeTimeoutMs: number;
  connectTimeoutMs: number;
  /** MQTT keep-alive that we impose on who asks for none or for more, in seconds. */
  maxKeepAliveSeconds: number;
  /** QoS 1 and 2 messages of a device that wait for the stores (Receive Maximum). */
  inboundInflight: number;
  /** Bytes of a device that wait for the stores; above it its socket is not read. */
  inboundBytes: number;
  /** The same for all devices together. */
  totalInboundBytes: number;
  /** Messages to a device that it has not acknowledged. */
  outboundInflight: number;
  /** Bytes that a slow reader may leave in our buffers. */
  outboundBytes: number;
  subscriptions: number;
  /** Topics of a device, and of all devices of a tenant, that hold a retained message. */
  retainedPerDevice: number;
  retainedPerTenant: number;
  /** The largest payload that is retained, or waits as a will. */
  retainedBytes: number;
  /** Longest Session Expiry Interval, and what a session of MQTT 3.1.1 has; in seconds. */
  sessionExpirySeconds: number;
  /** Connections a second, and at once, from one address; of one tenant; of one device. */
  addressRate: number;
  addressBurst: number;
  tenantRate: number;
  tenantBurst: number;
  deviceRate: number;
  deviceBurst: number;
  /** TLS handshakes at a time, and connections that wait for theirs; for how long. */
  handshakes: number;
  handshakeQueue: number;
  admissionPatienceMs: number;
  /**
   * Messages and bytes a second, and at once, of a device and of a tenant. Beyond it messages of
   * QoS 0 are dropped and the others wait: the device is not read for a while.
   */
  deviceMessageRate: number;
  deviceMessageBurst: number;
  deviceByteRate: number;
  deviceByteBurst: number;
  tenantMessageRate: number;
  tenantMessageBurst: number;
  tenantByteRate: number;
  tenantByteBurst: number;
  /** Messages a second that a tenant may send however busy the process is with it and others. */
  sharedMessageRate: number;
  /** The same of all devices behind one address: whole sites may stand there. */
  addressMessageRate: number;
  addressMessageBurst: number;
  addressByteRate: number;
  addressByteBurst: number;
  /** Share of totalInboundBytes that may wait for the stores before QoS 0 is dropped. */
  shedShare: number;
  /** Levels of a topic filter. */
  topicLevels: number;
  /** Stores that have done nothing for a device for so long lag: its QoS 0 is dropped beyond half. */
  lagMs: number;
  /** How long a message waits for a store that is away before its device is sent away. */
  storePatienceMs: number;
}

export const DEFAULT_GATEWAY_LIMITS: GatewayLimits = {
  connections: 50_000,
  handshakeTimeoutMs: 10_000,
  connectTimeoutMs: 10_000,
  maxKeepAliveSeconds: 1_200,
  inboundInflight: 100,
  inboundBytes: 1024 * 1024,
  totalInboundBytes: 256 * 1024 * 1024,
  outboundInflight: 16,
  outboundBytes: 512 * 1024,
  subscriptions: 20,
  retainedPerDevice: 20,
  retainedPerTenant: 100_000,
  retainedBytes: 32 * 1024,
  sessionExpirySeconds: 30 * 86_400,
  addressRate: 500,
  addressBurst: 5_000,
  tenantRate: 500,
  tenantBurst: 5_000,
  deviceRate: 5,
  deviceBurst: 300,
  handshakes: 64,
  handshakeQueue: 20_000,
  admissionPatienceMs: 30_000,
  deviceMessageRate: 200,
  deviceMessageBurst: 5_000,
  deviceByteRate: 1024 * 1024,
  deviceByteBurst: 16 * 1024 * 1024,
  tenantMessageRate: 50_000,
  tenantMessageBurst: 200_000,
  tenantByteRate: 64 * 1024 * 1024,
  tenantByteBurst: 256 * 1024 * 1024,
  sharedMessageRate: 200,
  addressMessageRate: 50_000,
  addressMessageBurst: 200_000,
  addressByteRate: 64 * 1024 * 1024,
  addressByteBurst: 256 * 1024 * 1024,
  shedShare: 0.5,
  topicLevels: 16,
  lagMs: 2_000,
  storePatienceMs: 10_000,
};

export function ratesOf(limits: GatewayLimits, whose: "device" | "tenant" | "address"): Rates {
  return {
    messageRate: limits[`${whose}MessageRate`],
    messageBurst: limits[`${whose}MessageBurst`],
    byteRate: limits[`${whose}ByteRate`],
    byteBurst: limits[`${whose}ByteBurst`],
  };
}

/** Limits as an operator has written them, `name=number` each; throws where one has no such name. */
export function readGatewayLimits(given: Readonly<Record<string, number>>): Partial<GatewayLimits> {
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(DEFAULT_GATEWAY_LIMITS, name)) {
      const names = Object.keys(DEFAULT_GATEWAY_LIMITS).join(", ");
      throw new Error(`VAUTN_GATEWAY_LIMITS: the gateway has no limit "${name}"; it has ${names}`);
    }
  }
  return given;
}
