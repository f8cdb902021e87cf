import { createHash, X509Certificate } from "node:crypto";
import { type Database, isUniqueViolation } from "../db/index.ts";
import { DerError } from "../kernel/der.ts";
import { AppError, isUuid, LIMITS, randomSecret, timeOrderedId } from "../kernel/index.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import { MAX_USES } from "./claims.ts";
import { DEVICE_PATTERN } from "./device-pattern.ts";
import { type DeviceAttributes, tenantStatus } from "./enrolment-store.ts";
import type { Peers } from "./peers.ts";
import { type EnrolmentPolicy, type PolicyDeps, policyColumns } from "./policy.ts";
import { authorityProblem, readForeign } from "./registered-fields.ts";
import { checkMapping, type MappingRule } from "./registered-mapping.ts";
import * as store from "./registered-store.ts";

/** A tenant's own authority, by whose certificates its devices may come. */
export interface NewRegisteredAuthority extends DeviceAttributes, EnrolmentPolicy {
  name: string;
  certificatePem: string;
  /** `devices`: each certificate names a device. `claims`: each proves a claim. */
  purpose?: "devices" | "claims" | undefined;
  mapping: MappingRule;
  /** Ids that it may bring: `*` stands for any characters, `?` for one. */
  devicePattern: string;
  /** How many devices it may bring. */
  maxDevices: number;
}

export interface RegisteredAuthorityView {
  id: string;
  name: string;
  status: "unproved" | "active" | "disabled";
  purpose: "devices" | "claims";
  subject: string;
  fingerprint: string;
  notAfter: Date;
  /** Common name of the certificate that proves possession, until `codeExpiresAt`. */
  code: string;
  codeExpiresAt: Date;
  provedAt: Date | null;
  mapping: MappingRule;
  devicePattern: string;
  product: string;
  hardwareRevision: string;
  region: string;
  tags: Record<string, string>;
  maxDevices: number;
  deviceCount: number;
  approval: "automatic" | "preauthorised" | "pending";
  webhookUrl: string | null;
  createdBy: string;
  createdAt: Date;
}

export interface RegisteredAuthorities {
  /** Nothing is accepted by it before `prove`. */
  register(
    tenantId: string,
    authority: NewRegisteredAuthority,
    actor: Actor,
  ): Promise<RegisteredAuthorityView & { webhookSecret?: string }>;
  /** With a certificate that the authority has issued for the common name `code`. */
  prove(
    tenantId: string,
    id: string,
    certificatePem: string,
    actor: Actor,
  ): Promise<RegisteredAuthorityView>;
  /** Newest first. */
  list(tenantId: string): Promise<RegisteredAuthorityView[]>;
  /** Its certificates are accepted no more, and its devices' connections end. */
  disable(tenantId: string, id: string, actor: Actor): Promise<void>;
}

/** Of a tenant, besides those that are disabled. */
const MAX_REGISTERED = 50;
const CODE_LIFETIME_MS = 7 * 86_400_000;
const DEVICE_PAGE = 1_000;

interface Deps extends PolicyDeps {
  db: Database;
  tenancy: Pick<Tenancy, "audit">;
  peers: Pick<Peers, "publish">;
  /** What is remembered of registered authorities is looked up anew. */
  forget(): void;
}

export function createRegisteredAuthorities(deps: Deps): RegisteredAuthorities {
  const { db, clock, tenancy } = deps;
  return {
    async register(tenantId, authority, actor) {
      const now = new Date(clock.now());
      check(authority);
      const certificate = readAuthority(authority.certificatePem, now);
      const id = timeOrderedId(now.getTime());
      const { columns, webhookSecret } = policyColumns(deps, tenantId, id, authority);
      const row = rowOf(id, authority, certificate, actor, now);
      await db.tenant(tenantId, async (tx) => {
        if (!(await tenantStatus(tx, tenantId))) {
          throw new AppError("not-found", "there is no such tenant", { tenant: tenantId });
        }
        const others = await store.listRegistered(tx, tenantId, LIMITS.pageSize);
        const usable = others.filter((one) => one.status !== "disabled");
        if (usable.length >= MAX_REGISTERED || others.length >= LIMITS.pageSize) {
          const limit = MAX_REGISTERED;
          throw new AppError("quota-exceeded", "the tenant has too many authorities", { limit });
        }
        await store.insertRegistered(tx, tenantId, { ...row, ...columns });
        await tenancy.audit.record(tx, tenantId, {
          ...entry(actor, "registered-authority.create", id),
          details: { name: row.name, fingerprint: row.fingerprint, mapping: row.mapping },
        });
      });
      return { ...viewOf({ ...row, ...columns }), ...(webhookSecret ? { webhookSecret } : {}) };
    },

    async prove(tenantId, id, certificatePem, actor) {
      const view = await db.tenant(tenantId, async (tx) => {
        const now = new Date(clock.now());
        const row = isUuid(id) ? await store.findRegistered(tx, tenantId, id, true) : undefined;
        if (!row) throw new AppError("not-found", "there is no such authority", { id });
        if (row.status !== "unproved") {
          throw new AppError("conflict", `the authority is ${row.status} already`, { id });
        }
        assertProof(row, certificatePem, now);
        await activate(tx, tenantId, id, now);
        await tenancy.audit.record(tx, tenantId, {
          ...entry(actor, "registered-authority.prove", id),
          details: { name: row.name, fingerprint: row.fingerprint },
        });
        return viewOf({ ...row, status: "active", proved_at: now });
      });
      deps.forget();
      return view;
    },

    async list(tenantId) {
      const rows = await db.tenant(tenantId, (tx) =>
        store.listRegistered(tx, tenantId, LIMITS.pageSize),
      );
      return rows.map(viewOf);
    },

    async disable(tenantId, id, actor) {
      await db.tenant(tenantId, async (tx) => {
        const name = isUuid(id) ? await store.disableRegistered(tx, tenantId, id) : undefined;
        if (name === undefined) {
          throw new AppError("not-found", "there is no such authority in use", { id });
        }
        await tenancy.audit.record(tx, tenantId, {
          ...entry(actor, "registered-authority.disable", id),
          details: { name },
        });
      });
      deps.forget();
      await announce(deps, tenantId, id);
    },
  };
}

async function activate(
  tx: Parameters<typeof store.activateRegistered>[0],
  tenantId: string,
  id: string,
  now: Date,
): Promise<void> {
  try {
    await store.activateRegistered(tx, tenantId, id, now);
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new AppError("already-exists", "an authority with this key is registered already");
  }
}

/** Tells the gateways of each device that has come by the authority, so that they drop it. */
async function announce({ db, peers }: Deps, tenantId: string, id: string): Promise<void> {
  for (let after = ""; ; ) {
    const ids = await db.tenant(tenantId, (tx) =>
      store.devicesOf(tx, tenantId, id, after, DEVICE_PAGE),
    );
    peers.publish(
      tenantId,
      ids.map((deviceId) => ({ kind: "revoked", deviceId })),
    );
    if (ids.length < DEVICE_PAGE) return;
    after = ids.at(-1) as string;
  }
}

function check(authority: NewRegisteredAuthority): void {
  const errors: { field: string; message: string }[] = [];
  if (authority.name.trim() === "" || authority.name.length > 100) {
    errors.push({ field: "name", message: "needs 1 to 100 characters" });
  }
  if (!DEVICE_PATTERN.test(authority.devicePattern)) {
    errors.push({ field: "devicePattern", message: "needs letters, digits, . _ - * ?" });
  }
  const { maxDevices } = authority;
  if (!Number.isInteger(maxDevices) || maxDevices < 1 || maxDevices > MAX_USES) {
    errors.push({ field: "maxDevices", message: `needs a whole number from 1 to ${MAX_USES}` });
  }
  if (errors.length > 0) {
    throw new AppError("invalid-content", "the authority is not valid", { errors });
  }
  checkMapping(authority.mapping);
}

function refuseCertificate(why: string): AppError {
  const errors = [{ field: "certificatePem", message: why }];
  return new AppError("invalid-content", `the certificate cannot be taken: ${why}`, { errors });
}

function parse(pem: string): { certificate: X509Certificate; raw: Buffer } {
  if (pem.length > LIMITS.certificateRequestBytes) throw refuseCertificate("it is too large");
  try {
    const certificate = new X509Certificate(pem);
    return { certificate, raw: certificate.raw };
  } catch {
    throw refuseCertificate("it cannot be read");
  }
}

function readAuthority(pem: string, now: Date) {
  const { certificate, raw } = parse(pem);
  try {
    const foreign = readForeign(raw);
    const problem = authorityProblem(certificate, foreign);
    if (problem) throw refuseCertificate(problem);
    if (certificate.validToDate <= now) throw refuseCertificate("it has expired");
    return { certificate, subject: foreign.subject };
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw refuseCertificate(error.message);
  }
}

/** The verification certificate: issued by the authority's key, now, for the code and nobody else. */
function assertProof(row: store.RegisteredRow, pem: string, now: Date): void {
  const { certificate: proof, raw } = parse(pem);
  const authority = new X509Certificate(row.certificate_pem);
  if (row.code_expires_at <= now) throw refuseCertificate("the code has expired: register again");
  let names: readonly string[] = [];
  try {
    names = readForeign(raw).fields.cn;
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
  }
  if (names.length !== 1 || names[0] !== row.code) {
    throw refuseCertificate("its common name is not the code");
  }
  if (proof.issuer !== authority.subject || !proof.verify(authority.publicKey)) {
    throw refuseCertificate("the authority's key has not signed it");
  }
  if (proof.validToDate <= now) throw refuseCertificate("it has expired");
}

function rowOf(
  id: string,
  authority: NewRegisteredAuthority,
  { certificate, subject }: { certificate: X509Certificate; subject: Buffer },
  actor: Actor,
  now: Date,
): Omit<store.RegisteredRow, "approval" | `webhook_${string}`> {
  const publicKey = certificate.publicKey.export({ type: "spki", format: "der" });
  return {
    id,
    name: authority.name,
    status: "unproved",
    purpose: authority.purpose ?? "devices",
    certificate_pem: certificate.toString(),
    subject: certificate.subject.replaceAll("\n", ", "),
    subject_sha256: sha256(subject),
    public_key_sha256: sha256(publicKey),
    fingerprint: sha256(certificate.raw),
    not_after: certificate.validToDate,
    // X.520 allows common names of 64 characters.
    code: `vautn-proof-${randomSecret(24)}`,
    code_expires_at: new Date(now.getTime() + CODE_LIFETIME_MS),
    proved_at: null,
    mapping: authority.mapping,
    device_pattern: authority.devicePattern,
    product: authority.product,
    hardware_revision: authority.hardwareRevision,
    region: authority.region ?? "",
    tags: authority.tags ?? {},
    max_devices: authority.maxDevices,
    device_count: 0,
    created_by: actor.name,
    created_at: now,
  };
}

function sha256(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

function entry(actor: Actor, action: string, id: string) {
  const targetKind = "registered-authority";
  return { actor, action, targetKind, targetId: id, outcome: "done" as const };
}

function viewOf(row: store.RegisteredRow): RegisteredAuthorityView {
  return {
    id: row.id,
    name: row.name,
    status: row.status,
    purpose: row.purpose,
    subject: row.subject,
    fingerprint: row.fingerprint,
    notAfter: row.not_after,
    code: row.code,
    codeExpiresAt: row.code_expires_at,
    provedAt: row.proved_at,
    mapping: row.mapping,
    devicePattern: row.device_pattern,
    product: row.product,
    hardwareRevision: row.hardware_revision,
    region: row.region,
    tags: row.tags,
    maxDevices: row.max_devices,
    deviceCount: row.device_count,
    approval: row.approval,
    webhookUrl: row.webhook_url,
    createdBy: row.created_by,
    createdAt: row.created_at,
  };
}
