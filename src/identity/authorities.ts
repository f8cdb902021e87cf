import { type Bus, subjects } from "../bus/index.ts";
import type { Database } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import { PLATFORM_CHAIN } from "../tenancy/index.ts";
import { AuthorityIssuance, type GivenRoot, readRoot } from "./authority-issuance.ts";
import { type AuthorityKeys, fingerprintOf } from "./authority-keys.ts";
import * as store from "./authority-store.ts";
import {
  type Authority,
  type AuthorityKind,
  type AuthorityRow,
  authorityOf,
  type IssuingAuthority,
  isSignedBy,
  type KeyPlace,
  type RootAuthority,
} from "./authority-types.ts";
import { DeviceCertificates } from "./device-certificates.ts";
import { revocationExtensions } from "./revocation-places.ts";

const DAY_MS = 86_400_000;
/** Longest lifetime of a device's certificate is two years: a successor takes over before that. */
const AUTHORITY_RENEWAL_MS = 2 * 365 * DAY_MS;
const CACHE_TTL_MS = 5_000;
const MAX_CACHED_TENANTS = 10_000;
const PENDING_RETRY_SECONDS = 300;

/** Some authority is new, signed, or at its end: caches and trust bundles are out of date. */
export interface AuthorityEvent {
  /** `_platform` for a root or server authority. */
  tenantId: string;
  kind: AuthorityKind;
}

export interface AuthoritiesDeps {
  db: Database;
  clock: Clock;
  bus: Bus;
  keys: AuthorityKeys;
  trustDomain: string;
  /** Where devices' certificates say that their standing is published; nowhere without it. */
  publicUrl?: string | undefined;
  /** Instead of one of our own making, at the first start. */
  givenRoot?: GivenRoot | undefined;
}

/**
 * The hierarchy: root -> one authority for servers and one for each tenant. Successors take over in
 * time, and what the predecessors issued stays good until it ends.
 */
export class Authorities {
  readonly #deps: AuthoritiesDeps;
  readonly issuance: AuthorityIssuance;
  readonly #roots: TtlCache<RootAuthority[]>;
  readonly #trusted: TtlCache<Authority[]>;
  readonly #issuing: TtlCache<IssuingAuthority>;
  readonly #listeners = new Set<(event: AuthorityEvent) => void>();
  #generation = 0;

  constructor(deps: AuthoritiesDeps) {
    this.#deps = deps;
    this.issuance = new AuthorityIssuance(deps);
    const { clock } = deps;
    const options = { clock, ttlMs: CACHE_TTL_MS, maxEntries: MAX_CACHED_TENANTS };
    this.#roots = new TtlCache({ ...options, maxEntries: 1 });
    this.#trusted = new TtlCache(options);
    this.#issuing = new TtlCache(options);
    deps.bus.subscribe("authority.*", ({ tenantId, kind }) => {
      this.#forgetAll();
      const event = { tenantId, kind } as unknown as AuthorityEvent;
      for (const listener of this.#listeners) listener(event);
    });
  }

  /** Called in every process, also in the one that made the change. */
  onChanged(listener: (event: AuthorityEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Another number after every change: what was made before it may be out of date. */
  get generation(): number {
    return this.#generation;
  }

  /** To be called once the change is committed. */
  announce(tenantId: string, kind: AuthorityKind): void {
    this.#forgetAll();
    this.#deps.bus.publish(subjects.authority(tenantId), { tenantId, kind });
  }

  /** Makes root and server authority where they lack. Safe when several processes start at once. */
  async ensurePlatform(): Promise<void> {
    const { db, clock, trustDomain } = this.#deps;
    await db.platform(async (tx) => {
      await store.lockAuthorities(tx);
      const settled = await store.trustDomainOrSet(tx, trustDomain, new Date(clock.now()));
      if (settled !== trustDomain) {
        throw new Error(
          `this installation's trust domain is ${settled} and stays so: set VAUTN_TRUST_DOMAIN`,
        );
      }
      const roots = await store.usableAuthorities(tx, PLATFORM_CHAIN, "root");
      const [root] = roots;
      if (root) this.#assertGivenRootIs(root, roots);
      const rootRow = root ?? (await this.#firstRoot(tx));
      const [server] = await store.usableAuthorities(tx, PLATFORM_CHAIN, "server");
      if (server && !this.#isDue(server, authorityOf(rootRow))) return;
      if (await store.requestFor(tx, PLATFORM_CHAIN, "server")) return;
      await this.issuance.issueOrRequest(tx, "server", PLATFORM_CHAIN);
    });
  }

  /** Makes the tenant's authority, or the request for it, where it lacks or its successor is due. */
  async ensureTenant(tenantId: string): Promise<void> {
    const root = await this.root();
    await this.#deps.db.platform(async (tx) => {
      await store.lockAuthorities(tx);
      if (!(await store.tenantExists(tx, tenantId))) throw noSuchTenant(tenantId);
      const [newest] = await store.usableAuthorities(tx, tenantId, "tenant");
      if (newest && !this.#isDue(newest, root)) return;
      if (await store.requestFor(tx, tenantId, "tenant")) return;
      await this.issuance.issueOrRequest(tx, "tenant", tenantId);
    });
    this.forget(tenantId);
  }

  /** The root that signs at present, or in whose name the offline one does. */
  async root(): Promise<RootAuthority> {
    const [root] = await this.roots();
    if (!root) throw new Error("there is no root authority: ensurePlatform has not run");
    return root;
  }

  /** Every root that is trusted, the newest first; cached for five seconds. */
  roots(): Promise<RootAuthority[]> {
    const read = async () => {
      const rows = await this.#deps.db.platform((tx) =>
        store.usableAuthorities(tx, PLATFORM_CHAIN, "root"),
      );
      return rows.map((row) => ({
        ...authorityOf(row),
        crossCertificatePem: row.cross_certificate_pem,
      }));
    };
    return this.#roots.load("", read, (roots) => roots.length > 0);
  }

  /** The authorities whose certificates this tenant's devices may carry; cached for five seconds. */
  trusted(tenantId: string): Promise<Authority[]> {
    return this.#trusted.load(tenantId, () => this.#readTrusted(tenantId));
  }

  async #readTrusted(tenantId: string): Promise<Authority[]> {
    const roots = await this.roots();
    const rows = await this.#deps.db.tenant(tenantId, (tx) =>
      store.usableAuthorities(tx, tenantId, "tenant"),
    );
    // The database is not believed on its own: what no root has signed is not trusted.
    return rows
      .map(authorityOf)
      .filter(({ certificate }) => roots.some((root) => isSignedBy(certificate, root)));
  }

  /** The authority that signs for a tenant at present; `authority-pending` where it waits itself. */
  issuing(tenantId: string): Promise<IssuingAuthority> {
    return this.#issuing.load(tenantId, () => this.#readIssuing(tenantId));
  }

  async #readIssuing(tenantId: string): Promise<IssuingAuthority> {
    const { db, clock, keys, trustDomain, publicUrl } = this.#deps;
    const find = async () => {
      const rows = await db.tenant(tenantId, (tx) =>
        store.usableAuthorities(tx, tenantId, "tenant"),
      );
      return rows.find((row) => row.not_after.getTime() > clock.now());
    };
    let row = await find();
    if (!row || this.#isDue(row, await this.root())) {
      await this.ensureTenant(tenantId);
      row = await find();
    }
    if (!row) throw await this.#pendingOrMissing(tenantId);
    const issuer = keys.issuerOf(row);
    const places = publicUrl ? revocationExtensions(publicUrl, row.id) : [];
    const devices = new DeviceCertificates(issuer, tenantId, trustDomain, places);
    return { ...authorityOf(row), issuer, devices };
  }

  /** The tenant is gone: its authorities are void and their keys destroyed. */
  async revokeTenant(tenantId: string): Promise<void> {
    await this.#deps.db.platform((tx) => store.revokeAuthorities(tx, tenantId));
    this.announce(tenantId, "tenant");
  }

  /** A successor at the root's request, or at one's own. */
  async rotate(
    tx: Parameters<Parameters<Database["platform"]>[0]>[0],
    kind: "tenant" | "server",
    tenantId: string,
    place: KeyPlace,
  ): Promise<"issued" | "requested"> {
    await store.lockAuthorities(tx);
    if (kind === "tenant" && !(await store.tenantExists(tx, tenantId))) {
      throw noSuchTenant(tenantId);
    }
    return this.issuance.issueOrRequest(tx, kind, tenantId, place);
  }

  forget(tenantId: string): void {
    this.#trusted.delete(tenantId);
    this.#issuing.delete(tenantId);
  }

  #forgetAll(): void {
    this.#generation += 1;
    this.#roots.clear();
    this.#trusted.clear();
    this.#issuing.clear();
  }

  #isDue(row: AuthorityRow, root: Authority): boolean {
    const isLate = row.not_after.getTime() - this.#deps.clock.now() < AUTHORITY_RENEWAL_MS;
    // Below a root that ends sooner a successor would live no longer.
    const canLiveLonger = row.not_after.getTime() < root.notAfter.getTime();
    return (isLate && canLiveLonger) || !isSignedBy(authorityOf(row).certificate, root);
  }

  async #firstRoot(tx: Parameters<Parameters<Database["platform"]>[0]>[0]): Promise<AuthorityRow> {
    const { givenRoot } = this.#deps;
    return givenRoot
      ? this.issuance.adoptRoot(tx, givenRoot)
      : this.issuance.createRoot(tx, { kind: "sealed" });
  }

  #assertGivenRootIs(root: AuthorityRow, trusted: readonly AuthorityRow[]): void {
    const { givenRoot, clock } = this.#deps;
    if (!givenRoot) return;
    const given = fingerprintOf(readRoot(givenRoot.certificatePem, clock.now()).raw);
    // After a rotation the setting may still name the one before.
    if (trusted.some(({ fingerprint }) => fingerprint === given)) return;
    throw new Error(
      `this installation's root is ${root.subject} (${root.fingerprint.slice(0, 16)}…), and ` +
        "VAUTN_ROOT names another one: to change it, run vautn pki rotate-ca --root",
    );
  }

  async #pendingOrMissing(tenantId: string): Promise<AppError> {
    const pending = await this.#deps.db.platform((tx) => store.requestFor(tx, tenantId, "tenant"));
    if (!pending) return noSuchTenant(tenantId);
    return new AppError(
      "authority-pending",
      "the tenant's authority waits for the offline root: vautn pki request > bundle.json, sign " +
        "it where the root lies (vautn pki sign-bundle), then vautn pki import signed.json",
      { tenant: tenantId, since: pending.created_at, retryAfterSeconds: PENDING_RETRY_SECONDS },
    );
  }
}

function noSuchTenant(tenantId: string): AppError {
  return new AppError("not-found", "there is no such tenant", { tenant: tenantId });
}
