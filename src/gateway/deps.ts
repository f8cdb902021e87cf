import type tls from "node:tls";
import type { Bus } from "../bus/index.ts";
import type { Commands, QueuedCommand } from "../commands/index.ts";
import type { Database } from "../db/index.ts";
import type { HeartbeatRecord, Incident, Twins } from "../devices/index.ts";
import type { ApplicationPeers } from "../identity/index.ts";
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
import type { ApplicationLimits } from "./applications/application-deps.ts";
import type { Taken } from "./error-reports.ts";
import type { GatewayLimits } from "./limits.ts";

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
  kind:
    | "revoked"
    | "restored"
    | "quarantined"
    | "released"
    | "suspended"
    | "resumed"
    /** Of an application's certificate; of no device. */
    | "application";
  tenantId: string;
  /** Absent: every device of the tenant. */
  deviceId?: string;
  /** Absent: every certificate of the device. */
  serial?: string;
}

/** What was made of a message, and the batch of the store that what is good of it is in. */
export interface OfferedMessage {
  taken: Taken;
  /** The same promise for all of a batch; rejects where it could not be made durable. */
  durable: Promise<void>;
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
    /** Tenants' applications that come with a certificate; absent where none may. */
    applicationPeers?: ApplicationPeers;
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
    /** Without it the topics `desired` and `reported` are not served. */
    twins?: Pick<Twins, "forDelivery" | "record">;
  };
  commands: {
    undelivered(tenantId: string, deviceId: string, limit: number): Promise<QueuedCommand[]>;
    markDelivered(tenantId: string, deviceId: string, ids: readonly string[]): Promise<void>;
    recordResult(peer: DeviceIdentity, commandId: string, result: CommandResult): Promise<void>;
    /** For applications that order. */
    send?: Commands["send"];
  };
  telemetry: {
    /** Refuses what is left of a message with nothing good in it; its details are a `Taken`. */
    ingestTelemetry(peer: DeviceIdentity, payload: unknown, receivedAt: number): Promise<Taken>;
    /** The same for a payload as it came; throws where nothing of it can be taken. */
    offerTelemetry(
      peer: DeviceIdentity,
      payload: Uint8Array,
      contentType: string | undefined,
      receivedAt: number,
    ): OfferedMessage | Promise<Taken>;
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
  tenancy?: Pick<Tenancy, "audit"> & Partial<Pick<Tenancy, "authenticate" | "usage">>;
}

export interface GatewayOptions {
  /** 0 picks a free one. */
  port: number;
  bindAddress: string;
  /** The same over restarts of one process: by it the connections of an earlier life are found. */
  gatewayId: string;
  /** Whether other processes of this machine listen on the same port: the kernel shares it out. */
  sharesPort?: boolean;
  limits?: Partial<GatewayLimits>;
  /** How busy the process is, 0 to 1, since it was last asked; without it no tenant is slowed for others. */
  busy?: () => number;
  /** For tenants' applications that come with a certificate. */
  applicationLimits?: Partial<ApplicationLimits>;
}
