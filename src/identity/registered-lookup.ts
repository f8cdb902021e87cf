import { createHash, X509Certificate } from "node:crypto";
import type { Database } from "../db/index.ts";
import { DerError } from "../kernel/der.ts";
import type { Clock } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import { type ForeignCertificate, readForeign } from "./registered-fields.ts";
import * as store from "./registered-store.ts";

/** An authority that a tenant has registered and proved. */
export interface ProvedAuthority {
  tenantId: string;
  row: store.RegisteredRow;
}

/** A certificate that one of them has issued. */
export interface RegisteredCertificate extends ProvedAuthority {
  foreign: ForeignCertificate;
}

const TTL_MS = 5_000;
const MAX_NAMES = 10_000;

/** Finds whose a certificate is that is none of ours; remembers names for five seconds. */
export class RegisteredLookup {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #named: TtlCache<ProvedAuthority[]>;

  constructor({ db, clock }: { db: Database; clock: Clock }) {
    this.#db = db;
    this.#clock = clock;
    this.#named = new TtlCache({ clock, ttlMs: TTL_MS, maxEntries: MAX_NAMES });
  }

  /** Undefined where no registered authority's key has signed the certificate. */
  async find(certificate: X509Certificate): Promise<RegisteredCertificate | undefined> {
    let foreign: ForeignCertificate;
    try {
      foreign = readForeign(certificate.raw);
    } catch (error) {
      if (error instanceof DerError) return undefined;
      throw error;
    }
    const now = this.#clock.now();
    for (const { tenantId, row } of await this.#authoritiesNamed(foreign.issuer)) {
      const authority = new X509Certificate(row.certificate_pem);
      const isInTime =
        authority.validFromDate.getTime() <= now && authority.validToDate.getTime() > now;
      // One name may be several tenants' authority's: the signature tells which it is.
      if (isInTime && isSignedBy(certificate, authority)) return { tenantId, row, foreign };
    }
    return undefined;
  }

  forget(): void {
    this.#named.clear();
  }

  async #authoritiesNamed(name: Buffer): Promise<ProvedAuthority[]> {
    const key = createHash("sha256").update(name).digest("hex");
    const known = this.#named.get(key);
    if (known) return known;
    const found: ProvedAuthority[] = [];
    for (const { tenantId, id } of await store.activeNamed(this.#db, key)) {
      const row = await this.#db.tenant(tenantId, (tx) => store.findRegistered(tx, tenantId, id));
      if (row?.status === "active") found.push({ tenantId, row });
    }
    this.#named.set(key, found);
    return found;
  }
}

function isSignedBy(certificate: X509Certificate, authority: X509Certificate): boolean {
  try {
    return certificate.verify(authority.publicKey);
  } catch {
    return false;
  }
}
