import type tls from "node:tls";
import type { Artifact, DownloadShareStore } from "../firmware/index.ts";
import type { Clock, Random } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import type { ArtifactLink, DeviceIdentity, Envelope, RootMetadata } from "../protocol/index.ts";
import type { Usage } from "../tenancy/index.ts";
import type { PaceLimits } from "./share-out.ts";

/** Who is at the other end, as the certificate says. */
export interface DevicePeer extends DeviceIdentity {
  serial: string;
  notAfter: Date;
  registeredAuthorityId?: string;
}

/** By what right a device asks for a certificate. */
export type EnrolmentAuthority =
  | { kind: "claim"; token: string }
  | { kind: "claim"; claimId: string }
  | { kind: "listed-key" }
  | { kind: "certificate"; peer: DevicePeer };

/** Something about the right of devices to be connected has changed. */
export interface StandingChange {
  kind:
    | "revoked"
    | "restored"
    | "quarantined"
    | "released"
    | "suspended"
    | "resumed"
    | "application";
  tenantId: string;
  deviceId?: string;
  serial?: string;
}

/** What the listener needs of the modules; each method is that module's own. */
export interface DeviceHttpDeps {
  identity: {
    serverCredentials(listener: "device-http"): Promise<{ keyPem: string; certificatePem: string }>;
    rootCertificatePem(): Promise<string>;
    /** Keys of TLS session tickets that all processes share; each makes its own where absent. */
    ticketKeys?(purpose: "https"): Promise<Buffer>;
    /** Server certificate or roots may be other ones now. */
    onAuthorityChanged?(listener: () => void): () => void;
    /** The tenant's CA and those above it. */
    authorityCertificates(tenantId: string): Promise<string[]>;
    authenticatePeer(socket: tls.TLSSocket, options?: { renewal?: boolean }): Promise<DevicePeer>;
    onStandingChanged(listener: (change: StandingChange) => void): () => void;
    revocationList(
      authorityId: string,
      kind: "full" | "delta",
    ): Promise<{ der: Buffer; sha256: string; thisUpdate: Date } | undefined>;
    ocsp(request: Uint8Array): Promise<{ der: Buffer; cacheable: boolean }>;
    enroll(request: {
      tenantId: string;
      csr: Uint8Array | string;
      via: string;
      authority: EnrolmentAuthority;
      serverKey?: boolean;
      /** DER of the public key by which the connection was proved. */
      clientKey?: Buffer | undefined;
      address?: string;
    }): Promise<{
      deviceId: string;
      certificatePem: string;
      privateKey?: { der: Buffer; isEncrypted: boolean };
    }>;
    /** Writes down what was refused before it came to `enroll`. */
    refusals: {
      note(
        request: { tenantId: string; via: string; authority: EnrolmentAuthority; address: string },
        error: unknown,
      ): Promise<void>;
      noteCertificate(error: unknown, from: { via: string; address: string }): Promise<void>;
    };
    cmp: {
      /** Answers every message of CMP, whatever it is. */
      handle(
        message: Buffer,
        from: { tenantId?: string | undefined; address?: string | undefined },
      ): Promise<{ message: Buffer; outcome: string }>;
    };
    /** The claim whose certificate the other end presents, if it is one. */
    authenticateClaim(
      socket: tls.TLSSocket,
    ): Promise<{ tenantId: string; claimId: string } | undefined>;
  };
  firmware: {
    openArtifact(tenantId: string, sha256: string): Promise<Artifact>;
    links: {
      check(sha256: string, query: Readonly<Record<string, unknown>>): ArtifactLink;
      publicKeys(): Record<string, string>;
    };
    trustRoot(tenantId: string): Promise<Envelope<RootMetadata>>;
    trustRootsAfter(tenantId: string, version: number): Promise<Envelope<RootMetadata>[]>;
  };
  tenancy: {
    settings(tenantId: string): Promise<{ maxDownloads: number; downloadBytesPerSecond: number }>;
    usage?: Pick<Usage, "count">;
  };
  /** The pace of the rollout for which a device downloads; absent where there are no rollouts. */
  rollouts?: {
    downloadPace(
      tenantId: string,
      deviceId: string,
    ): Promise<({ rolloutId: string } & PaceLimits) | null>;
  };
  /** Where several processes keep tenants' and rollouts' pace together; absent for one that is alone. */
  downloadShares?: { store: DownloadShareStore; process: string };
  clock: Clock;
  random?: Random;
  logger: Logger;
}

export interface DeviceHttpOptions {
  /** 0 picks a free one. */
  port: number;
  bindAddress: string;
  /** Where devices connect, told to those that enrol. */
  mqttUrl: string;
  httpsUrl: string;
  limits?: Partial<DeviceHttpLimits>;
}

/** Bounds of one process; times in milliseconds. */
export interface DeviceHttpLimits {
  connections: number;
  handshakeTimeoutMs: number;
  /** From the first byte of a request's header to its last, and of the whole request. */
  headersTimeoutMs: number;
  requestTimeoutMs: number;
  /** A connection on which nothing moves, downloads included. */
  idleTimeoutMs: number;
  /** Downloads of one device at once. */
  downloadsPerDevice: number;
  /** Of all devices, in this process. */
  downloads: PaceLimits;
  /** Refused enrolments from one network address within `failureWindowMs`. */
  enrolmentFailures: number;
  failureWindowMs: number;
}

export const DEFAULT_DEVICE_HTTP_LIMITS: DeviceHttpLimits = {
  connections: 20_000,
  handshakeTimeoutMs: 10_000,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  idleTimeoutMs: 60_000,
  downloadsPerDevice: 4,
  downloads: { concurrent: 2_000, bytesPerSecond: 0 },
  enrolmentFailures: 20,
  failureWindowMs: 60_000,
};
