import type tls from "node:tls";
import type { Bus } from "../bus/index.ts";
import type { QueuedCommand } from "../commands/index.ts";
import type { Database } from "../db/index.ts";
import type { HeartbeatRecord, Incident } from "../devices/index.ts";
import type { Clock } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import type {
  Access,
  AssignmentMessage,
  AuthoritiesAnnouncement,
  CommandResult,
  DeviceIdentity,
  Envelope,
  Heartbeat,
  IssuedCertificate,
  RootMetadata,
  RotationReport,
  UpdateState,
} from "../protocol/index.ts";
import type { Tenancy } from "../tenancy/index.ts";

/** Who is at the other end, as the certificate says. */
export interface GatewayPeer extends DeviceIdentity {
  serial: string;
  /** Until when it may do what `access` says. */
  notAfter: Date;
  /** Full where absent. */
  access?: Access;
  /** In quarantine: only what serves its certificate and its update is taken of it. */
  quarantined?: boolean;
  /** The tenant's own authority that issued the certificate, where we did not. */
  registeredAuthorityId?: string;
}

/** Something about the right of devices to be connected has changed. */
export interface StandingChange {
  kind: "revoked" | "restored" | "quarantined" | "released" | "suspended" | "resumed";
  tenantId: string;
  /** Absent: every device of the tenant. */
  deviceId?: string;
  /** Absent: every certificate of the device. */
  serial?: string;
}

/** What the gateway needs of the modules; each method is that module's own. */
export interface GatewayDeps {
  identity: {
    serverCredentials(listener: "gateway"): Promise<{ keyPem: string; certificatePem: string }>;
    rootCertificatePem(): Promise<string>;
    /** Keys of TLS session tickets that all gateways share; each makes its own where absent. */
    ticketKeys?(purpose: "mqtt"): Promise<Buffer>;
    /** Server certificate or roots may be other ones now. */
    onAuthorityChanged?(listener: () => void): () => void;
    authenticatePeer(socket: tls.TLSSocket, options?: { renewal?: boolean }): Promise<GatewayPeer>;
    onStandingChanged(listener: (change: StandingChange) => void): () => void;
    rotation: {
      renew(
        peer: GatewayPeer,
        request: { csr: string } | { generateKey: true },
      ): Promise<IssuedCertificate>;
      confirm(peer: GatewayPeer, serial: string): Promise<void>;
      record(device: DeviceIdentity, report: RotationReport): Promise<void>;
      authorities(tenantId: string): Promise<AuthoritiesAnnouncement>;
    };
  };
  devices: {
    gatewayStarted(gatewayId: string): Promise<void>;
    connected(
      peer: DeviceIdentity,
      connection: { gatewayId: string; connectionId: string },
    ): Promise<void>;
    disconnected(
      peer: DeviceIdentity,
      connection: { connectionId: string; reason: string },
    ): Promise<void>;
    recordHeartbeats(batch: readonly HeartbeatRecord[]): Promise<void>;
    recordIncidents(batch: readonly Incident[]): Promise<Incident[]>;
    flush(): Promise<void>;
  };
  commands: {
    undelivered(tenantId: string, deviceId: string, limit: number): Promise<QueuedCommand[]>;
    markDelivered(tenantId: string, deviceId: string, ids: readonly string[]): Promise<void>;
    recordResult(peer: DeviceIdentity, commandId: string, result: CommandResult): Promise<void>;
  };
  telemetry: {
    ingestTelemetry(peer: DeviceIdentity, payload: unknown, receivedAt: number): Promise<unknown>;
    ingestHeartbeat(
      peer: DeviceIdentity,
      heartbeat: Heartbeat,
      receivedAt: number,
      counted?: Record<string, number>,
    ): Promise<unknown>;
    ingestEvents(peer: DeviceIdentity, events: unknown, receivedAt: number): Promise<unknown>;
  };
  logs: {
    ingestDeviceLogs(peer: DeviceIdentity, payload: unknown, receivedAt: number): Promise<unknown>;
  };
  /** Without it devices hear of new trust roots by their assignments alone. */
  firmware?: { newestTrustRoots(tenantId: string): Promise<Envelope<RootMetadata>[]> };
  rollouts: {
    currentAssignment(tenantId: string, deviceId: string): Promise<AssignmentMessage | null>;
    recordUpdateState(
      peer: DeviceIdentity,
      state: UpdateState,
      receivedAt: number,
    ): Promise<unknown>;
    recordHeartbeat(
      peer: DeviceIdentity,
      heartbeat: Heartbeat,
      receivedAt: number,
    ): Promise<unknown>;
  };
  bus: Bus;
  clock: Clock;
  logger: Logger;
  /** Where refusals are put on record; without both of them they are counted and logged only. */
  db?: Database;
  tenancy?: Pick<Tenancy, "audit">;
}

export interface GatewayOptions {
  /** 0 picks a free one. */
  port: number;
  bindAddress: string;
  /** The same over restarts of one process: by it the connections of an earlier life are found. */
  gatewayId: string;
  limits?: Partial<GatewayLimits>;
}

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
  /** Connections a second, and at once, from one address. */
  addressRate: number;
  addressBurst: number;
  /** The same for one tenant. */
  tenantRate: number;
  tenantBurst: number;
  /** TLS handshakes at a time, and connections that wait for theirs; for how long. */
  handshakes: number;
  handshakeQueue: number;
  admissionPatienceMs: number;
  /** Messages and bytes a second, and at once, of a device and of a tenant; beyond it we wait. */
  deviceMessageRate: number;
  deviceMessageBurst: number;
  deviceByteRate: number;
  deviceByteBurst: number;
  tenantMessageRate: number;
  tenantMessageBurst: number;
  tenantByteRate: number;
  tenantByteBurst: number;
  /** Levels of a topic filter. */
  topicLevels: number;
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
  handshakes: 64,
  handshakeQueue: 20_000,
  admissionPatienceMs: 30_000,
  deviceMessageRate: 5_000,
  deviceMessageBurst: 20_000,
  deviceByteRate: 8 * 1024 * 1024,
  deviceByteBurst: 32 * 1024 * 1024,
  tenantMessageRate: 50_000,
  tenantMessageBurst: 200_000,
  tenantByteRate: 64 * 1024 * 1024,
  tenantByteBurst: 256 * 1024 * 1024,
  topicLevels: 16,
  storePatienceMs: 10_000,
};
