import { createHash, generateKeyPairSync, X509Certificate } from "node:crypto";
import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import {
  type AuthoritiesAnnouncement,
  createCertificateRequest,
  type DeviceIdentity,
  type IssuedCertificate,
  type RotationReport,
  toPem,
} from "../protocol/index.ts";
import type { Tenancy } from "../tenancy/index.ts";
import type { Authorities } from "./authorities.ts";
import type { Enrolment } from "./enrolment.ts";
import type { EnrolmentAuthority, EnrolmentRequest } from "./enrolment-rights.ts";
import type { DevicePeer, Peers } from "./peers.ts";
import { commonNameOf } from "./profiles.ts";
import { lockDevices } from "./renewal-store.ts";
import * as store from "./rotation-store.ts";

/** Gateways ask for every connection. */
const ANNOUNCEMENT_TTL_MS = 5_000;
const MAX_ANNOUNCEMENTS = 10_000;

const confirmed = counter("vautn_certificates_confirmed_total", "Rotations that devices confirmed");
const failedSteps = counter(
  "vautn_rotation_failures_total",
  "Steps of rotations that failed, as devices and platform saw them",
  ["step"],
);

/** The last rotation of a device, as far as it is known. */
export interface RotationState {
  step: string;
  /** What is wrong with that step. */
  error: { element: string; message: string } | null;
  /** Steps that failed since it began. */
  failures: number;
  /** Of the new certificate. */
  serial: string | null;
  startedAt: Date;
  updatedAt: Date;
}

/** What devices need besides EST to renew their certificates. */
export interface Rotations {
  /**
   * Issues the next certificate for the device that has proved itself; its old one stays good. The
   * same request again, known by its key, gets the same certificate again. Throws `csr-invalid`,
   * `certificate-refused` or `rate-limited`.
   */
  renew(
    peer: DevicePeer,
    request: { csr: string } | { generateKey: true },
  ): Promise<IssuedCertificate>;
  /**
   * The device uses the certificate that it has connected with: those before it are revoked, reason
   * `superseded`. Harmless when repeated; throws `conflict` for another serial than the peer's.
   */
  confirm(peer: DevicePeer, serial: string): Promise<void>;
  /** How far a device says that its rotation is. */
  record(device: DeviceIdentity, report: RotationReport): Promise<void>;
  /** Undefined for a device that has never rotated. */
  state(tenantId: string, deviceId: string): Promise<RotationState | undefined>;
  /** Issuer and roots in force for a tenant, for devices to compare theirs with. */
  authorities(tenantId: string): Promise<AuthoritiesAnnouncement>;
}

interface Deps {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "audit">;
  peers: Peers;
  enroll(request: EnrolmentRequest): Promise<Enrolment>;
  /** Newest first, roots included. */
  authorityCertificates(tenantId: string): Promise<string[]>;
  authorities: Pick<Authorities, "onChanged">;
}

export function createRotations(deps: Deps): Rotations {
  const { db, clock, authorityCertificates } = deps;
  const announcements = new TtlCache<AuthoritiesAnnouncement>({
    clock,
    ttlMs: ANNOUNCEMENT_TTL_MS,
    maxEntries: MAX_ANNOUNCEMENTS,
  });
  deps.authorities.onChanged(() => announcements.clear());
  return {
    renew: (peer, request) => renew(deps, peer, request),
    confirm: (peer, serial) => confirm(deps, peer, serial),
    async record({ tenantId, deviceId }, report) {
      if (report.error) failedSteps.inc({ step: report.step });
      const now = new Date(clock.now());
      await db.tenant(tenantId, async (tx) => {
        // First, as renewals do, which write the same rows: who is second waits.
        await lockDevices(tx, tenantId, [deviceId]);
        await store.recordStep(tx, tenantId, deviceId, report, now);
      });
    },
    async state(tenantId, deviceId) {
      const row = await db.tenant(tenantId, (tx) => store.rotationOf(tx, tenantId, deviceId));
      if (!row) return undefined;
      const { step, error_element: element, error_message: message, failures, serial } = row;
      const error = element === null ? null : { element, message: message ?? "" };
      const { started_at: startedAt, updated_at: updatedAt } = row;
      return { step, error, failures, serial, startedAt, updatedAt };
    },
    async authorities(tenantId) {
      const cached = announcements.get(tenantId);
      if (cached) return cached;
      const { issuers, roots } = sorted(await authorityCertificates(tenantId));
      const [newest] = issuers;
      if (!newest) throw new AppError("not-found", "there is no such tenant");
      const found = { issuer: fingerprint(newest), roots: roots.map(fingerprint).sort() };
      announcements.set(tenantId, found);
      return found;
    },
  };
}

async function renew(
  deps: Deps,
  peer: DevicePeer,
  request: { csr: string } | { generateKey: true },
): Promise<IssuedCertificate> {
  const generated = "csr" in request ? undefined : newKeyFor(peer);
  const enrolment = await deps.enroll({
    tenantId: peer.tenantId,
    csr: "csr" in request ? request.csr : (generated?.csr as Buffer),
    via: "mqtt",
    authority: { kind: "certificate", peer },
  });
  const { issuers, roots } = sorted(await deps.authorityCertificates(peer.tenantId));
  const leaf = new X509Certificate(enrolment.certificatePem);
  const chain = issuers.filter((issuer) => leaf.checkIssued(issuer));
  return {
    certificate: enrolment.certificatePem,
    chain: pemOf(chain),
    roots: pemOf(roots),
    ...(generated ? { privateKey: generated.privateKey } : {}),
  };
}

/** For a device that cannot make a key: it goes to the device and is kept nowhere. */
function newKeyFor(peer: DevicePeer): { csr: Buffer; privateKey: string } {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const csr = createCertificateRequest({
    privateKey,
    commonName: commonNameOf(peer),
    organization: peer.tenantId,
  });
  return { csr, privateKey: privateKey.export({ type: "pkcs8", format: "pem" }) as string };
}

async function confirm(
  { db, clock, tenancy, peers }: Deps,
  peer: DevicePeer,
  serial: string,
): Promise<void> {
  const { tenantId, deviceId } = peer;
  // What was not used to connect is not proved to be usable.
  if (peer.serial !== serial) {
    throw new AppError("conflict", "a certificate is confirmed over a connection that it opened", {
      serial: peer.serial,
    });
  }
  const predecessors = await db.tenant(tenantId, async (tx) => {
    await lockDevices(tx, tenantId, [deviceId]);
    const now = new Date(clock.now());
    const found = await store.markConfirmed(tx, tenantId, deviceId, serial, now);
    if (!found) throw new AppError("conflict", "the certificate is not in force", { serial });
    const successor = { serial, issuedAt: found.issuedAt };
    const revoked = await store.revokePredecessors(tx, tenantId, deviceId, successor, now);
    await store.recordStep(tx, tenantId, deviceId, { step: "done", serial }, now);
    if (revoked.length === 0) return revoked;
    await tenancy.audit.record(tx, tenantId, {
      actor: { kind: "device", id: deviceId, name: deviceId },
      action: "certificate.confirm",
      targetKind: "device",
      targetId: deviceId,
      outcome: "done",
      details: { serial, superseded: revoked },
    });
    return revoked;
  });
  if (predecessors.length === 0) return;
  confirmed.inc();
  peers.publish(
    tenantId,
    predecessors.map((old) => ({ kind: "revoked" as const, deviceId, serial: old })),
  );
}

/** A device's request was refused: what the platform knows of its rotation. */
export async function recordRefusedRequest(
  tx: Tx,
  authority: EnrolmentAuthority,
  { reason, message }: { reason: string; message: string },
  now: Date,
): Promise<void> {
  if (authority.kind !== "certificate") return;
  const { tenantId, deviceId } = authority.peer;
  failedSteps.inc({ step: "request" });
  const report = { step: "request", error: { element: reason, message } };
  await store.recordStep(tx, tenantId, deviceId, report, now);
}

function sorted(pems: readonly string[]) {
  const all = pems.map((pem) => new X509Certificate(pem));
  const isRoot = (one: X509Certificate) => one.checkIssued(one);
  return { issuers: all.filter((one) => !isRoot(one)), roots: all.filter(isRoot) };
}

function fingerprint(certificate: X509Certificate): string {
  return createHash("sha256").update(certificate.raw).digest("hex");
}

function pemOf(certificates: readonly X509Certificate[]): string {
  return certificates.map(({ raw }) => toPem("CERTIFICATE", raw)).join("");
}
