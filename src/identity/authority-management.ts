import { X509Certificate } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import { type Actor, PLATFORM_CHAIN, type Tenancy } from "../tenancy/index.ts";
import type { Authorities } from "./authorities.ts";
import type { GivenRoot } from "./authority-issuance.ts";
import { fingerprintOf } from "./authority-keys.ts";
import * as store from "./authority-store.ts";
import {
  type AuthorityKind,
  type AuthorityRow,
  authorityOf,
  type KeyKind,
  type KeyPlace,
} from "./authority-types.ts";
import {
  checkSigned,
  MAX_REQUESTS,
  parseSignedBundle,
  REQUESTS,
  type RequestBundle,
} from "./ceremony.ts";
import type { Revocations } from "./revocation.ts";

export interface AuthorityView {
  id: string;
  /** Null for root and server authorities. */
  tenantId: string | null;
  kind: AuthorityKind;
  status: AuthorityRow["status"];
  subject: string;
  /** SHA-256 over the DER, hex. */
  fingerprint: string;
  algorithm: string;
  keyKind: KeyKind;
  /** Of a key in a token. */
  keyUri: string | null;
  /** The root that signed it; its own id for a root. */
  issuerId: string | null;
  createdAt: Date;
  notAfter: Date;
}

export interface PendingAuthorityView {
  id: string;
  tenantId: string | null;
  kind: "tenant" | "server";
  subject: string;
  createdAt: Date;
}

export interface Hierarchy {
  authorities: AuthorityView[];
  /** What waits for the offline root. */
  pending: PendingAuthorityView[];
}

/** What people do with the hierarchy: look, rotate, carry requests to the offline root, end. */
export interface Pki {
  /** The whole installation's. */
  hierarchy(): Promise<Hierarchy>;
  /** A tenant's own authorities and the roots; with how many certificates of each are live. */
  ofTenant(tenantId: string): Promise<{
    authorities: (AuthorityView & { liveCertificates: number })[];
    pending: PendingAuthorityView[];
  }>;
  /** What the offline root is to sign. */
  requests(): Promise<RequestBundle>;
  /** Takes over what it has signed; all of it or nothing. */
  importSigned(bundle: unknown, actor: Actor): Promise<AuthorityView[]>;
  /** A successor for a tenant's authority or the servers'; the old one stays trusted. */
  rotate(
    what: { kind: "tenant"; tenantId: string } | { kind: "server" },
    place: KeyPlace,
    actor: Actor,
  ): Promise<"issued" | "requested">;
  /** A successor for the root; both are trusted until the old one is ended. */
  rotateRoot(given: GivenRoot | KeyPlace, actor: Actor): Promise<AuthorityView>;
  /**
   * Nothing that a retiring authority issued is accepted any more. `authority-in-use` with
   * `details.liveCertificates` where some is and `force` is not set.
   */
  end(
    tenantId: string | null,
    authorityId: string,
    options: { force: boolean },
    actor: Actor,
  ): Promise<{ cutOff: number }>;
}

const MAX_AUTHORITIES = 50_000;
const MAX_OF_TENANT = 100;
const PAGE = 1_000;
const ROWS_AT_ONCE = 100;

export interface ManagementDeps {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "audit" | "tenants">;
  authorities: Authorities;
  revocations: Revocations;
  trustDomain: string;
}

export function createPki(deps: ManagementDeps): Pki {
  const { db, clock, authorities } = deps;
  return {
    hierarchy: () =>
      db.platform(async (tx) => {
        const rows = await store.allAuthorities(tx, MAX_AUTHORITIES);
        const pending = await store.allRequests(tx, MAX_REQUESTS);
        return { authorities: await viewsOf(rows), pending: pending.map(pendingOf) };
      }),
    async ofTenant(tenantId) {
      const roots = await db.platform((tx) => store.usableAuthorities(tx, PLATFORM_CHAIN, "root"));
      return db.tenant(tenantId, async (tx) => {
        const rows = await store.authoritiesOf(tx, tenantId, MAX_OF_TENANT);
        const request = await store.requestFor(tx, tenantId, "tenant");
        const now = new Date(clock.now());
        const views = [];
        for (const view of await viewsOf([...rows, ...roots])) {
          const live = view.tenantId ? await store.countLive(tx, tenantId, view.id, now) : 0;
          views.push({ ...view, liveCertificates: live });
        }
        return { authorities: views, pending: request ? [pendingOf(request)] : [] };
      });
    },
    async requests() {
      const root = await authorities.root();
      const rows = await db.platform((tx) => store.allRequests(tx, MAX_REQUESTS));
      return {
        format: REQUESTS,
        trustDomain: deps.trustDomain,
        rootFingerprint: fingerprintOf(root.certificate.raw),
        createdAt: new Date(clock.now()).toISOString(),
        requests: rows.map(({ id, kind, tenant_id: tenantId, request_pem: csr }) => ({
          id,
          kind,
          tenantId,
          csr,
        })),
      };
    },
    importSigned: (bundle, actor) => importSigned(deps, bundle, actor),
    async rotate(what, place, actor) {
      const tenantId = what.kind === "tenant" ? what.tenantId : PLATFORM_CHAIN;
      const outcome = await db.platform(async (tx) => {
        const done = await authorities.rotate(tx, what.kind, tenantId, place);
        const details = { kind: what.kind, outcome: done, key: describe(place) };
        await record(deps, tx, actor, "authority.rotate", tenantId, tenantId, details);
        return done;
      });
      authorities.announce(tenantId, what.kind);
      return outcome;
    },
    rotateRoot: (given, actor) => rotateRoot(deps, given, actor),
    end: (tenantId, authorityId, options, actor) =>
      endAuthority(deps, tenantId ?? PLATFORM_CHAIN, authorityId, options, actor),
  };
}

async function importSigned(
  deps: ManagementDeps,
  bundle: unknown,
  actor: Actor,
): Promise<AuthorityView[]> {
  const { db, clock, authorities, trustDomain } = deps;
  const parsed = parseSignedBundle(JSON.stringify(bundle ?? null));
  const rows = await db.platform(async (tx) => {
    await store.lockAuthorities(tx);
    const [root] = await store.usableAuthorities(tx, PLATFORM_CHAIN, "root");
    if (!root) throw new Error("there is no root authority: ensurePlatform has not run");
    if (parsed.rootFingerprint !== root.fingerprint) {
      throw new AppError("invalid-content", "the bundle was signed by another root", {
        signedBy: parsed.rootFingerprint,
        root: root.fingerprint,
      });
    }
    const inserted: AuthorityRow[] = [];
    for (const { id, certificatePem } of parsed.certificates) {
      const request = await store.requestById(tx, id);
      if (!request) {
        throw new AppError(
          "conflict",
          "the bundle answers a request that is not open: it was imported before, or asked anew",
          { id },
        );
      }
      const certificate = readCertificate(certificatePem);
      const { kind, tenant_id: tenantId, request_pem: csr } = request;
      const rootCertificate = authorityOf(root).certificate;
      await checkSigned({ kind, tenantId, csr }, certificate, rootCertificate, trustDomain);
      assertInTime(certificate, clock.now());
      const row = await authorities.issuance.insertSigned(tx, request, certificate);
      const details = { kind, fingerprint: row.fingerprint, authority: row.id };
      await record(deps, tx, actor, "authority.import", tenantId, row.id, details);
      inserted.push(row);
    }
    return inserted;
  });
  for (const row of rows) authorities.announce(row.tenant_id, row.kind);
  return viewsOf(rows);
}

async function rotateRoot(
  deps: ManagementDeps,
  given: GivenRoot | KeyPlace,
  actor: Actor,
): Promise<AuthorityView> {
  const { db, authorities } = deps;
  const row = await db.platform(async (tx) => {
    await store.lockAuthorities(tx);
    const roots = await store.usableAuthorities(tx, PLATFORM_CHAIN, "root");
    if (roots.length >= 2) {
      throw new AppError("conflict", "two roots are trusted already: end the retiring one first");
    }
    const created =
      "certificatePem" in given
        ? await authorities.issuance.adoptRoot(tx, given)
        : await authorities.issuance.createRoot(tx, given);
    if (roots.some(({ fingerprint }) => fingerprint === created.fingerprint)) {
      throw new AppError("conflict", "this is the root already");
    }
    await authorities.issuance.issueOrRequest(tx, "server", PLATFORM_CHAIN);
    const details = { fingerprint: created.fingerprint, key: created.key_kind };
    await record(deps, tx, actor, "authority.rotate-root", PLATFORM_CHAIN, created.id, details);
    return created;
  });
  authorities.announce(PLATFORM_CHAIN, "root");
  return (await viewsOf([row]))[0] as AuthorityView;
}

async function endAuthority(
  deps: ManagementDeps,
  tenantId: string,
  authorityId: string,
  { force }: { force: boolean },
  actor: Actor,
): Promise<{ cutOff: number }> {
  const { db, clock, authorities } = deps;
  const rows = await db.platform((tx) => store.allAuthorities(tx, MAX_AUTHORITIES));
  const target = rows.find((row) => row.id === authorityId && row.tenant_id === tenantId);
  if (!target) throw new AppError("not-found", "there is no such authority", { authorityId });
  if (target.status !== "retiring") {
    const message = "only an authority whose successor has taken over can be ended";
    throw new AppError("conflict", message, { status: target.status });
  }
  const ended = [target, ...childrenOf(target, rows)];
  const stillActive = ended.filter((row) => row.kind === "server" && row.status === "active");
  if (stillActive.length > 0) {
    throw new AppError("conflict", "the server authority of the new root is not signed yet");
  }
  const now = new Date(clock.now());
  let live = 0;
  for (const row of ended.filter(({ kind }) => kind === "tenant")) {
    live += await db.tenant(row.tenant_id, (tx) => store.countLive(tx, row.tenant_id, row.id, now));
  }
  if (live > 0 && !force) {
    throw new AppError(
      "authority-in-use",
      `${live} certificates that it issued are in use: wait until they are renewed, or force it`,
      { liveCertificates: live },
    );
  }
  await db.platform(async (tx) => {
    await store.lockAuthorities(tx);
    for (const row of ended) await store.endAuthority(tx, row.tenant_id, row.id, now);
    const details = { kind: target.kind, fingerprint: target.fingerprint, cutOff: live };
    await record(deps, tx, actor, "authority.end", tenantId, target.id, details);
  });
  for (const row of ended) authorities.announce(row.tenant_id, row.kind);
  for (const row of ended.filter(({ kind }) => kind === "tenant")) {
    await cutOff(deps, row, actor);
  }
  return { cutOff: live };
}

/** Usable authorities that nothing but this root has signed. */
function childrenOf(root: AuthorityRow, rows: readonly AuthorityRow[]): AuthorityRow[] {
  if (root.kind !== "root") return [];
  const { certificate } = authorityOf(root);
  return rows.filter(
    (row) =>
      row.kind !== "root" &&
      (row.status === "active" || row.status === "retiring") &&
      authorityOf(row).certificate.checkIssued(certificate),
  );
}

/** What an ended authority issued is revoked: live connections end, and its lists say why. */
async function cutOff(
  { db, revocations }: ManagementDeps,
  row: AuthorityRow,
  actor: Actor,
): Promise<void> {
  const reason = { reason: "cessationOfOperation", comment: "its authority was ended" } as const;
  let after = "";
  for (;;) {
    const serials = await db.tenant(row.tenant_id, (tx) =>
      store.serialsUnder(tx, row.tenant_id, row.id, after, PAGE),
    );
    if (serials.length > 0) await revocations.revoke(row.tenant_id, { serials }, reason, actor);
    if (serials.length < PAGE) return;
    after = serials.at(-1) as string;
  }
}

async function record(
  { tenancy }: ManagementDeps,
  tx: Tx,
  actor: Actor,
  action: string,
  tenantId: string,
  targetId: string,
  details: Record<string, unknown>,
): Promise<void> {
  const entry = {
    actor,
    action,
    targetKind: "authority",
    targetId,
    outcome: "done" as const,
    details,
  };
  await tenancy.audit.record(tx, tenantId, entry);
}

function readCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new AppError("invalid-content", "a certificate cannot be read", {}, { cause });
  }
}

function assertInTime(certificate: X509Certificate, now: number): void {
  if (certificate.validFromDate.getTime() > now) {
    throw new AppError(
      "invalid-content",
      "a certificate is not valid yet: the clock of the offline machine is ahead",
    );
  }
  if (certificate.validToDate.getTime() <= now) {
    throw new AppError("invalid-content", "a certificate has expired");
  }
}

function describe(place: KeyPlace): string {
  return place.kind === "pkcs11" ? place.uri : "sealed";
}

async function viewsOf(rows: readonly AuthorityRow[]): Promise<AuthorityView[]> {
  const roots = rows.filter(({ kind }) => kind === "root").map((row) => authorityOf(row));
  const views: AuthorityView[] = [];
  for (const [index, row] of rows.entries()) {
    // Thousands of tenants take seconds to read: others get their turn between.
    if (index % ROWS_AT_ONCE === ROWS_AT_ONCE - 1) await setImmediate();
    const { certificate } = authorityOf(row);
    views.push({
      id: row.id,
      tenantId: row.tenant_id === PLATFORM_CHAIN ? null : row.tenant_id,
      kind: row.kind,
      status: row.status,
      subject: row.subject,
      fingerprint: row.fingerprint,
      algorithm: certificate.publicKey.asymmetricKeyType === "ed25519" ? "ed25519" : "ecdsa-p256",
      keyKind: row.key_kind,
      keyUri: row.key_uri,
      issuerId: roots.find((root) => certificate.checkIssued(root.certificate))?.id ?? null,
      createdAt: row.created_at,
      notAfter: row.not_after,
    });
  }
  return views;
}

function pendingOf(row: store.AuthorityRequestRow): PendingAuthorityView {
  return {
    id: row.id,
    tenantId: row.tenant_id === PLATFORM_CHAIN ? null : row.tenant_id,
    kind: row.kind,
    subject: row.subject,
    createdAt: row.created_at,
  };
}
