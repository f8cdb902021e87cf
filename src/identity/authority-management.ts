import { X509Certificate } from "node:crypto";
import { AppError } from "../kernel/index.ts";
import { type Actor, PLATFORM_CHAIN } from "../tenancy/index.ts";
import { endAuthority, MAX_AUTHORITIES, type ManagementDeps, record } from "./authority-ending.ts";
import type { GivenRoot } from "./authority-issuance.ts";
import { fingerprintOf } from "./authority-keys.ts";
import * as store from "./authority-store.ts";
import { type AuthorityRow, authorityOf, type KeyPlace } from "./authority-types.ts";
import {
  type AuthorityView,
  type Hierarchy,
  type PendingAuthorityView,
  pendingOf,
  viewsOf,
} from "./authority-views.ts";
import {
  checkSigned,
  MAX_REQUESTS,
  parseSignedBundle,
  REQUESTS,
  type RequestBundle,
} from "./ceremony.ts";
import { keepRootList, type RootListView, rootListRequest, rootListView } from "./root-list.ts";

/** What people do with the hierarchy: look, rotate, carry requests to the offline root, end. */
export interface Pki {
  /** The whole installation's. */
  hierarchy(): Promise<Hierarchy>;
  /** A tenant's own authorities and the roots; with how many certificates of each are live. */
  ofTenant(tenantId: string): Promise<{
    authorities: (AuthorityView & { liveCertificates: number })[];
    pending: PendingAuthorityView[];
  }>;
  /** The offline root's revocation list; null where the root signs by itself. */
  rootList(): Promise<RootListView | null>;
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

const MAX_OF_TENANT = 100;

export function createPki(deps: ManagementDeps): Pki {
  const { db, clock, authorities } = deps;
  return {
    hierarchy: () =>
      db.platform(async (tx) => {
        const rows = await store.allAuthorities(tx, MAX_AUTHORITIES);
        const pending = await store.allRequests(tx, MAX_REQUESTS);
        const rootList = await rootListView(tx, clock.now());
        return { authorities: await viewsOf(rows), pending: pending.map(pendingOf), rootList };
      }),
    rootList: () => db.platform((tx) => rootListView(tx, clock.now())),
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
      const [rows, revocationList] = await db.platform(async (tx) => [
        await store.allRequests(tx, MAX_REQUESTS),
        await rootListRequest(tx),
      ]);
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
        ...(revocationList ? { revocationList } : {}),
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
    if (parsed.revocationList !== undefined) {
      const list = await keepRootList(tx, parsed.revocationList, clock.now());
      const details = { number: list.number, entries: list.entries, until: list.nextUpdate };
      await record(deps, tx, actor, "authority.publish-list", PLATFORM_CHAIN, root.id, details);
    }
    return inserted;
  });
  if (parsed.revocationList !== undefined) authorities.announce(PLATFORM_CHAIN, "root");
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
