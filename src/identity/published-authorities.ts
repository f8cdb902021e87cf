import { createHash, X509Certificate } from "node:crypto";
import type { Database } from "../db/index.ts";
import { bitsOf, membersOf, readDer, TAG } from "../kernel/der.ts";
import type { Clock } from "../kernel/index.ts";
import { subjectOf } from "./certificate-builder.ts";
import { authoritiesMadeSince } from "./crl-store.ts";

/** RFC 6960 §4.1.1: hashes by which a request may name an issuer. */
export const ISSUER_HASHES = ["sha1", "sha256", "sha384", "sha512"] as const;
export type IssuerHash = (typeof ISSUER_HASHES)[number];

/** An authority that anybody may ask about. */
export interface PublishedAuthority {
  tenantId: string;
  id: string;
  kind: string;
  certificate: X509Certificate;
  /** Lower-case hex of the hash over its name and over the bits of its key, joined. */
  names: Record<IssuerHash, string>;
}

const PAGE = 1_000;
const MAX_AUTHORITIES = 100_000;
/** Who asks for what is not there makes us look no more often than this. */
const LOOK_INTERVAL_MS = 2_000;
/** Authorities are inserted in transactions of their own, which are short. */
const OVERLAP_MS = 120_000;

/** Finds authorities by id or by what an OCSP request says of them, whichever tenant they are of. */
export class PublishedAuthorities {
  readonly #deps: { db: Database; clock: Clock };
  readonly #byId = new Map<string, PublishedAuthority>();
  readonly #byName = new Map<string, PublishedAuthority>();
  #newest = new Date(0);
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(deps: { db: Database; clock: Clock }) {
    this.#deps = deps;
  }

  async byId(id: string): Promise<PublishedAuthority | undefined> {
    if (!this.#byId.has(id)) await this.#look();
    return this.#byId.get(id);
  }

  /** By the hashes of its name and key, joined, in lower-case hex. */
  async byName(name: string): Promise<PublishedAuthority | undefined> {
    if (!this.#byName.has(name)) await this.#look();
    return this.#byName.get(name);
  }

  async #look(): Promise<void> {
    if (this.#looking) return this.#looking;
    const now = this.#deps.clock.now();
    if (now - this.#lookedAt < LOOK_INTERVAL_MS) return;
    this.#lookedAt = now;
    this.#looking = this.#read().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #read(): Promise<void> {
    let since = new Date(Math.max(0, this.#newest.getTime() - OVERLAP_MS));
    while (this.#byId.size < MAX_AUTHORITIES) {
      const from = since;
      const rows = await this.#deps.db.platform((tx) => authoritiesMadeSince(tx, from, PAGE));
      for (const row of rows) {
        if (this.#byId.has(row.id)) continue;
        const certificate = new X509Certificate(row.certificate_pem);
        const { tenant_id: tenantId, id, kind } = row;
        const authority = { tenantId, id, kind, certificate, names: namesOf(certificate.raw) };
        this.#byId.set(id, authority);
        for (const name of Object.values(authority.names)) this.#byName.set(name, authority);
      }
      const last = rows.at(-1);
      if (last && last.created_at > this.#newest) this.#newest = last.created_at;
      if (!last || rows.length < PAGE || last.created_at <= since) return;
      since = last.created_at;
    }
  }
}

function namesOf(der: Uint8Array): Record<IssuerHash, string> {
  const [toBeSigned] = membersOf(readDer(der), TAG.sequence);
  const name = subjectOf(der);
  const [, key] = membersOf(membersOf(toBeSigned, TAG.sequence)[6], TAG.sequence);
  const bits = bitsOf(key);
  const hash = (algorithm: IssuerHash, bytes: Uint8Array) =>
    createHash(algorithm).update(bytes).digest("hex");
  const entries = ISSUER_HASHES.map((one) => [one, hash(one, name) + hash(one, bits)]);
  return Object.fromEntries(entries);
}
