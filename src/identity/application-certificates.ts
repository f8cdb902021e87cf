import { createHash, generateKeyPairSync } from "node:crypto";
import type { Database } from "../db/index.ts";
import { AppError, type Clock, LIMITS } from "../kernel/index.ts";
import { distinguishedName, toPem } from "../protocol/index.ts";
import { type Actor, isTenantRole, type Tenancy, type TenantRole } from "../tenancy/index.ts";
import { applicationUri, isApplicationName } from "./application-peers.ts";
import * as store from "./application-store.ts";
import type { Authorities } from "./authorities.ts";
import {
  basicConstraints,
  buildCertificate,
  CLIENT_AUTH,
  extendedKeyUsage,
  generalName,
  keyUsage,
  subjectAlternativeNames,
} from "./certificate-builder.ts";
import { readCertificateRequest } from "./certificate-request.ts";
import { isCompromised } from "./compromised-keys.ts";
import type { Peers } from "./peers.ts";
import { BACKDATE_MS } from "./profiles.ts";
import { revocationExtensions } from "./revocation-places.ts";
import { REVOCATION_CODES, type RevocationReasonName } from "./revocation-reasons.ts";

const HOUR_MS = 3_600_000;
const MAX_LIFETIME_HOURS = 2 * 366 * 24;
const DEFAULT_LIFETIME_HOURS = 90 * 24;
/** Certificates of applications that a tenant may have in use. */
const MAX_USABLE = 1_000;

export interface NewApplication {
  /** Lower-case letters, digits and hyphens, 63 at most: it stands in the certificate's URI. */
  name: string;
  role: TenantRole;
  /** PKCS#10; its subject is not looked at. Without it a key is made and shown once. */
  csr?: string | undefined;
  lifetimeHours?: number | undefined;
}

export interface ApplicationView {
  serial: string;
  name: string;
  role: TenantRole;
  status: "active" | "expired" | "revoked";
  notBefore: string;
  notAfter: string;
  issuedAt: string;
  issuedBy: string;
  lastUsedAt: string | null;
  revokedAt: string | null;
  revocationReason: string | null;
}

export interface IssuedApplication extends ApplicationView {
  /** The certificate and the tenant's authority: what a TLS client presents. */
  chainPem: string;
  /** What the client trusts. */
  rootsPem: string;
  /** Where no request was given; it is shown this once and kept nowhere. */
  keyPem?: string;
}

/** By which a tenant's applications connect; each acts with a role. */
export interface ApplicationCertificates {
  /** `invalid-request`, `csr-invalid`, `quota-exceeded`. */
  issue(tenantId: string, application: NewApplication, actor: Actor): Promise<IssuedApplication>;
  /** Newest first. */
  list(
    tenantId: string,
    page?: { cursor?: string | undefined; limit?: number | undefined },
  ): Promise<{ items: ApplicationView[]; nextCursor: string | null }>;
  /** Ends its connections within five seconds; `not-found` where it is not in use. */
  revoke(
    tenantId: string,
    serial: string,
    reason: RevocationReasonName,
    actor: Actor,
  ): Promise<ApplicationView>;
}

interface Deps {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "audit">;
  authorities: Pick<Authorities, "issuing" | "roots">;
  peers: Pick<Peers, "publish">;
  trustDomain: string;
  publicUrl?: string | undefined;
}

export function createApplicationCertificates(deps: Deps): ApplicationCertificates {
  const { db, clock, tenancy, peers } = deps;
  return {
    async issue(tenantId, application, actor) {
      check(application);
      const made = await make(deps, tenantId, application, actor.name);
      const { row } = made;
      await db.tenant(tenantId, async (tx) => {
        const now = new Date(clock.now());
        if ((await store.countUsable(tx, now)) >= MAX_USABLE) {
          throw new AppError("quota-exceeded", "too many applications have a certificate");
        }
        // One key belongs to one client, and ends with the certificate that was revoked.
        const isTaken = await store.isKeyTaken(tx, row.public_key_sha256, row.name);
        if (isTaken || (await isCompromised(tx, row.public_key_sha256))) {
          throw new AppError("csr-invalid", "the key is in use elsewhere, or was revoked", {
            reason: "key-in-use",
          });
        }
        await store.insertApplication(tx, row);
        await tenancy.audit.record(tx, tenantId, {
          actor,
          action: "application-certificate.issue",
          targetKind: "application",
          targetId: row.name,
          outcome: "done",
          details: { serial: row.serial, role: row.role, notAfter: row.not_after },
        });
      });
      const roots = await deps.authorities.roots();
      const rootsPem = roots.map((root) => root.certificatePem).join("");
      const { chainPem, keyPem } = made;
      return { ...viewOf(row, clock.now()), chainPem, rootsPem, ...(keyPem ? { keyPem } : {}) };
    },

    async list(tenantId, { cursor, limit = 100 } = {}) {
      const size = Math.min(Math.max(1, limit), LIMITS.pageSize);
      const before = cursor === undefined ? undefined : readCursor(cursor);
      const rows = await db.tenant(tenantId, (tx) =>
        store.listApplications(tx, { before, limit: size + 1 }),
      );
      const last = rows.length > size ? rows[size - 1] : undefined;
      return {
        items: rows.slice(0, size).map((row) => viewOf(row, clock.now())),
        nextCursor: last ? `${last.issued_at.getTime()}.${last.serial}` : null,
      };
    },

    async revoke(tenantId, serial, reason, actor) {
      const row = await db.tenant(tenantId, async (tx) => {
        const change = { code: REVOCATION_CODES[reason], reason, now: new Date(clock.now()) };
        const revoked = await store.revokeApplication(tx, serial, change);
        if (!revoked) {
          throw new AppError("not-found", "there is no such certificate in use", { serial });
        }
        await tenancy.audit.record(tx, tenantId, {
          actor,
          action: "application-certificate.revoke",
          targetKind: "application",
          targetId: revoked.name,
          outcome: "done",
          details: { serial, reason },
        });
        return revoked;
      });
      peers.publish(tenantId, [{ kind: "application", serial }]);
      return viewOf(row, clock.now());
    },
  };
}

function check({ name, role, lifetimeHours = DEFAULT_LIFETIME_HOURS }: NewApplication): void {
  const invalid = (field: string, why: string) =>
    new AppError("invalid-request", `${field} ${why}`, { field });
  if (!isApplicationName(name)) {
    throw invalid("name", "needs 1 to 63 lower-case letters, digits and hyphens");
  }
  if (!isTenantRole(role)) throw invalid("role", "is no role");
  const isWhole = Number.isInteger(lifetimeHours);
  if (!isWhole || lifetimeHours < 1 || lifetimeHours > MAX_LIFETIME_HOURS) {
    throw invalid("lifetimeHours", `must be a whole number from 1 to ${MAX_LIFETIME_HOURS}`);
  }
}

async function make(
  { authorities, clock, trustDomain, publicUrl }: Deps,
  tenantId: string,
  { name, role, csr, lifetimeHours = DEFAULT_LIFETIME_HOURS }: NewApplication,
  issuedBy: string,
): Promise<{ row: store.ApplicationRow; chainPem: string; keyPem?: string }> {
  const { publicKey, keyPem } = csr
    ? { ...(await readCertificateRequest(csr)), keyPem: undefined }
    : newKey();
  const issuer = await authorities.issuing(tenantId);
  const now = clock.now();
  const notBefore = new Date(now - BACKDATE_MS);
  const notAfter = new Date(Math.min(now + lifetimeHours * HOUR_MS, issuer.notAfter.getTime()));
  const { der, serial } = await buildCertificate({
    issuer: issuer.issuer,
    subject: distinguishedName(tenantId, `application ${name}`),
    publicKey,
    ...{ notBefore, notAfter },
    extensions: [
      basicConstraints(null),
      keyUsage("digital-signature"),
      extendedKeyUsage(CLIENT_AUTH),
      subjectAlternativeNames([generalName.uri(applicationUri(tenantId, name, trustDomain))]),
      ...(publicUrl ? revocationExtensions(publicUrl, issuer.id) : []),
    ],
  });
  const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
  const row: store.ApplicationRow = {
    tenant_id: tenantId,
    ...{ serial, name, role, ca_id: issuer.id, status: "active" },
    fingerprint: sha256(der),
    public_key_sha256: sha256(publicKey),
    ...{ not_before: notBefore, not_after: notAfter, issued_at: new Date(now) },
    issued_by: issuedBy,
    ...{ last_used_at: null, revoked_at: null, revocation_reason: null, revocation_code: null },
  };
  const chainPem = toPem("CERTIFICATE", der) + issuer.certificatePem;
  return { row, chainPem, ...(keyPem ? { keyPem } : {}) };
}

function newKey(): { publicKey: Buffer; keyPem: string } {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    publicKey: publicKey.export({ type: "spki", format: "der" }),
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };
}

function viewOf(row: store.ApplicationRow, nowMs: number): ApplicationView {
  const isOver = row.status === "active" && row.not_after.getTime() <= nowMs;
  return {
    serial: row.serial,
    name: row.name,
    role: row.role,
    status: isOver ? "expired" : row.status,
    notBefore: row.not_before.toISOString(),
    notAfter: row.not_after.toISOString(),
    issuedAt: row.issued_at.toISOString(),
    issuedBy: row.issued_by,
    lastUsedAt: row.last_used_at?.toISOString() ?? null,
    revokedAt: row.revoked_at?.toISOString() ?? null,
    revocationReason: row.revocation_reason,
  };
}

function readCursor(cursor: string): { issuedAt: Date; serial: string } {
  const [, millis, serial = ""] = /^(\d{1,15})\.([0-9a-f]{1,64})$/.exec(cursor) ?? [];
  if (millis === undefined) throw new AppError("invalid-cursor", "not a page of this list");
  return { issuedAt: new Date(Number(millis)), serial };
}
