import { type KeyObject, X509Certificate } from "node:crypto";
import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import type { Sealer } from "../kernel/sealing.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import { distinguishedName, toPem } from "../protocol/index.ts";
import { PLATFORM_CHAIN } from "../tenancy/index.ts";
import { localKey, newPrivateKey } from "./authority-key.ts";
import { issuerOf, mark, sealedAuthority } from "./authority-keys.ts";
import * as store from "./authority-store.ts";
import { type Issuer, keyIdentifierOf } from "./certificate-builder.ts";
import { DeviceCertificates } from "./device-certificates.ts";
import {
  BACKDATE_MS,
  rootCertificate,
  serverAuthorityCertificate,
  serverCertificate,
  tenantAuthorityCertificate,
} from "./profiles.ts";

const DAY_MS = 86_400_000;
const ROOT_LIFETIME_MS = 20 * 365 * DAY_MS;
const AUTHORITY_LIFETIME_MS = 5 * 365 * DAY_MS;
/** Longest lifetime of a device's certificate is two years: a successor takes over before that. */
const AUTHORITY_RENEWAL_MS = 2 * 365 * DAY_MS;
const SERVER_LIFETIME_MS = 30 * DAY_MS;
const SERVER_RENEWAL_MS = 10 * DAY_MS;
const CACHE_TTL_MS = 5_000;
const MAX_CACHED_TENANTS = 10_000;

/** An authority as verifiers need it. */
export interface Authority {
  id: string;
  certificate: X509Certificate;
  certificatePem: string;
  notAfter: Date;
}

/** An authority that can sign. */
export interface IssuingAuthority extends Authority {
  issuer: Issuer;
  devices: DeviceCertificates;
}

export interface ServerCredentials {
  keyPem: string;
  /** The server's certificate and the server authority's. */
  certificatePem: string;
  notAfter: Date;
}

interface Deps {
  db: Database;
  clock: Clock;
  sealer: Sealer;
  trustDomain: string;
  publicHost: string;
}

/**
 * The hierarchy: root -> one authority for servers and one for each tenant. Private keys lie sealed
 * in the database, each bound to its tenant and authority. Successors take over in time, and what
 * the predecessors issued stays good until it ends.
 */
export class Authorities {
  readonly #deps: Deps;
  readonly #trusted: TtlCache<Authority[]>;
  readonly #issuing: TtlCache<IssuingAuthority>;
  #root: Authority | undefined;
  #server: ServerCredentials | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
    const options = { clock: deps.clock, ttlMs: CACHE_TTL_MS, maxEntries: MAX_CACHED_TENANTS };
    this.#trusted = new TtlCache(options);
    this.#issuing = new TtlCache(options);
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
      const [root] = await store.usableAuthorities(tx, PLATFORM_CHAIN, "root");
      const rootRow = root ?? (await this.#createRoot(tx));
      const [server] = await store.usableAuthorities(tx, PLATFORM_CHAIN, "server");
      if (!server || this.#isDue(server)) await this.#createServerAuthority(tx, rootRow);
    });
  }

  /** Makes the tenant's authority where it lacks or ends within two years. */
  async ensureTenant(tenantId: string): Promise<void> {
    await this.#deps.db.platform(async (tx) => {
      await store.lockAuthorities(tx);
      if (!(await store.tenantExists(tx, tenantId))) {
        throw new AppError("not-found", "there is no such tenant", { tenant: tenantId });
      }
      const [newest] = await store.usableAuthorities(tx, tenantId, "tenant");
      if (newest && !this.#isDue(newest)) return;
      await this.#createTenantAuthority(tx, tenantId);
    });
    this.forget(tenantId);
  }

  async root(): Promise<Authority> {
    if (this.#root) return this.#root;
    const [row] = await this.#deps.db.platform((tx) =>
      store.usableAuthorities(tx, PLATFORM_CHAIN, "root"),
    );
    if (!row) throw new Error("there is no root authority: ensurePlatform has not run");
    this.#root = authorityOf(row);
    return this.#root;
  }

  /** The authorities whose certificates this tenant's devices may carry; cached for five seconds. */
  async trusted(tenantId: string): Promise<Authority[]> {
    const cached = this.#trusted.get(tenantId);
    if (cached) return cached;
    const root = await this.root();
    const rows = await this.#deps.db.tenant(tenantId, (tx) =>
      store.usableAuthorities(tx, tenantId, "tenant"),
    );
    // The database is not believed on its own: what the root has not signed is not trusted.
    const authorities = rows
      .map(authorityOf)
      .filter(({ certificate }) => certificate.verify(root.certificate.publicKey));
    this.#trusted.set(tenantId, authorities);
    return authorities;
  }

  /** The authority that signs for a tenant at present. */
  async issuing(tenantId: string): Promise<IssuingAuthority> {
    const cached = this.#issuing.get(tenantId);
    if (cached) return cached;
    const find = () =>
      this.#deps.db.tenant(tenantId, (tx) => store.usableAuthorities(tx, tenantId, "tenant"));
    let [row] = await find();
    if (!row || this.#isDue(row)) {
      await this.ensureTenant(tenantId);
      [row] = await find();
    }
    if (!row) throw new AppError("not-found", "there is no such tenant", { tenant: tenantId });
    const issuer = this.#issuerOf(row);
    const devices = new DeviceCertificates(issuer, tenantId, this.#deps.trustDomain);
    const authority = { ...authorityOf(row), issuer, devices };
    this.#issuing.set(tenantId, authority);
    return authority;
  }

  /** This process's own key and certificate; a new pair ten days before the old one ends. */
  async serverCredentials(): Promise<ServerCredentials> {
    const { clock, db, publicHost } = this.#deps;
    const now = clock.now();
    if (this.#server && this.#server.notAfter.getTime() - now > SERVER_RENEWAL_MS) {
      return this.#server;
    }
    const [row] = await db.platform((tx) => store.usableAuthorities(tx, PLATFORM_CHAIN, "server"));
    if (!row) throw new Error("there is no server authority: ensurePlatform has not run");
    const privateKey = newPrivateKey();
    const { publicKey } = localKey(privateKey);
    const validity = validityFrom(now, SERVER_LIFETIME_MS);
    const request = { issuer: this.#issuerOf(row), publicKey, ...validity };
    const { der } = await serverCertificate(request, publicHost);
    this.#server = {
      keyPem: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
      certificatePem: toPem("CERTIFICATE", der) + row.certificate_pem,
      notAfter: validity.notAfter,
    };
    return this.#server;
  }

  /** The tenant is gone: its authorities are void and their keys destroyed. */
  async revokeTenant(tenantId: string): Promise<void> {
    await this.#deps.db.platform((tx) => store.revokeAuthorities(tx, tenantId));
    this.forget(tenantId);
  }

  forget(tenantId: string): void {
    this.#trusted.delete(tenantId);
    this.#issuing.delete(tenantId);
  }

  #isDue(row: store.AuthorityRow): boolean {
    return row.not_after.getTime() - this.#deps.clock.now() < AUTHORITY_RENEWAL_MS;
  }

  async #createRoot(tx: Tx): Promise<store.AuthorityRow> {
    const privateKey = newPrivateKey();
    const { publicKey } = localKey(privateKey);
    const name = distinguishedName("Vautn", `Vautn Root CA ${mark(publicKey)}`);
    const validity = validityFrom(this.#deps.clock.now(), ROOT_LIFETIME_MS);
    const issuer = { name, keyIdentifier: keyIdentifierOf(publicKey), key: localKey(privateKey) };
    const { der } = await rootCertificate({ issuer, publicKey, ...validity });
    return this.#keep(tx, PLATFORM_CHAIN, "root", der, privateKey);
  }

  async #createServerAuthority(tx: Tx, root: store.AuthorityRow): Promise<void> {
    const privateKey = newPrivateKey();
    const { publicKey } = localKey(privateKey);
    const name = distinguishedName("Vautn", `Vautn Server CA ${mark(publicKey)}`);
    const request = { issuer: this.#issuerOf(root), publicKey, ...this.#validityUnder(root) };
    const { der } = await serverAuthorityCertificate(request, name);
    await this.#keep(tx, PLATFORM_CHAIN, "server", der, privateKey);
  }

  async #createTenantAuthority(tx: Tx, tenantId: string): Promise<void> {
    const [root] = await store.usableAuthorities(tx, PLATFORM_CHAIN, "root");
    if (!root) throw new Error("there is no root authority: ensurePlatform has not run");
    const privateKey = newPrivateKey();
    const { publicKey } = localKey(privateKey);
    const name = distinguishedName(tenantId, `${tenantId} Issuing CA ${mark(publicKey)}`);
    const request = { issuer: this.#issuerOf(root), publicKey, ...this.#validityUnder(root) };
    const { trustDomain } = this.#deps;
    const { der } = await tenantAuthorityCertificate(request, name, { id: tenantId, trustDomain });
    await this.#keep(tx, tenantId, "tenant", der, privateKey);
  }

  async #keep(
    tx: Tx,
    tenantId: string,
    kind: store.AuthorityKind,
    der: Buffer,
    privateKey: KeyObject,
  ): Promise<store.AuthorityRow> {
    const { sealer, clock } = this.#deps;
    const createdAt = new Date(clock.now());
    const row = sealedAuthority(sealer, { tenantId, kind, der, privateKey, createdAt });
    await store.insertAuthority(tx, row);
    return row;
  }

  #validityUnder(parent: store.AuthorityRow) {
    const validity = validityFrom(this.#deps.clock.now(), AUTHORITY_LIFETIME_MS);
    return validity.notAfter < parent.not_after
      ? validity
      : { ...validity, notAfter: parent.not_after };
  }

  #issuerOf(row: store.AuthorityRow): Issuer {
    return issuerOf(this.#deps.sealer, row);
  }
}

function authorityOf(row: store.AuthorityRow): Authority {
  return {
    id: row.id,
    certificate: new X509Certificate(row.certificate_pem),
    certificatePem: row.certificate_pem,
    notAfter: row.not_after,
  };
}

function validityFrom(now: number, lifetimeMs: number) {
  return { notBefore: new Date(now - BACKDATE_MS), notAfter: new Date(now + lifetimeMs) };
}
