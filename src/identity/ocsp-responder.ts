import type { Database } from "../db/index.ts";
import { DerError } from "../kernel/der.ts";
import { type Clock, isAppError, messageOf } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter } from "../kernel/metrics.ts";
import { PLATFORM_CHAIN } from "../tenancy/index.ts";
import type { AuthorityRow } from "./authority-types.ts";
import type { Issuer } from "./certificate-builder.ts";
import { findAuthority, standingsBySerial } from "./crl-store.ts";
import {
  type CertificateAnswer,
  type CertificateId,
  OCSP_ERROR,
  type OcspError,
  type OcspRequest,
  ocspError,
  ocspResponse,
  readOcspRequest,
} from "./ocsp.ts";
import { type OcspSigner, OcspSigners } from "./ocsp-signers.ts";
import type { PublishedAuthorities, PublishedAuthority } from "./published-authorities.ts";

/** How long an answer may be used. */
const VALIDITY_MS = 5 * 60_000;
/** Answers that are worked on at a time: anybody may ask. */
const MAX_IN_FLIGHT = 64;

const answered = counter("vautn_ocsp_requests_total", "OCSP requests by outcome", ["outcome"]);

interface Deps {
  db: Database;
  clock: Clock;
  logger: Logger;
  directory: PublishedAuthorities;
  /** What signs for an authority; undefined where its key is not at hand. */
  issuerOf(row: AuthorityRow): Issuer | undefined;
}

/** Says of single certificates whether they are good (RFC 6960), in the name of their authority,
 * by a signer that the authority has named for that. */
export class OcspResponder {
  readonly #deps: Deps;
  readonly #signers: OcspSigners;
  #inFlight = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#signers = new OcspSigners(deps);
  }

  /** The answer in DER, whatever the request; it never throws. */
  async answer(der: Uint8Array): Promise<{ der: Buffer; cacheable: boolean }> {
    if (this.#inFlight >= MAX_IN_FLIGHT) return refusal(OCSP_ERROR.tryLater, "busy");
    this.#inFlight += 1;
    try {
      return await this.#answer(readOcspRequest(der));
    } catch (error) {
      if (error instanceof DerError) return refusal(OCSP_ERROR.malformedRequest, "malformed");
      if (isAppError(error, "unavailable")) return refusal(OCSP_ERROR.tryLater, "unavailable");
      this.#deps.logger.error({ error: messageOf(error) }, "an OCSP request could not be answered");
      return refusal(OCSP_ERROR.internalError, "error");
    } finally {
      this.#inFlight -= 1;
    }
  }

  async #answer(request: OcspRequest): Promise<{ der: Buffer; cacheable: boolean }> {
    const { directory, clock } = this.#deps;
    const [first] = request.certificates as [CertificateId];
    const authority = first.issuer === undefined ? undefined : await directory.byName(first.issuer);
    const signer = authority && (await this.#signerOf(authority));
    // RFC 6960 §2.3: not an authority that we answer for.
    if (!authority || !signer) return refusal(OCSP_ERROR.unauthorized, "unauthorized");
    const names = Object.values(authority.names);
    // One signature for one authority: of another's certificates it says that it does not know.
    const own = request.certificates.filter((one) => names.includes(one.issuer ?? ""));
    const answers = await this.#standings(authority, own);
    const all = request.certificates.map(
      (id): CertificateAnswer => answers.get(id) ?? { id, status: "unknown" },
    );
    const now = clock.now();
    const times = { producedAt: new Date(now), nextUpdate: new Date(now + VALIDITY_MS) };
    const der = await ocspResponse(signer, all, times, request.nonce);
    for (const { status } of all) answered.inc({ outcome: status });
    return { der, cacheable: request.nonce === undefined };
  }

  async #standings(
    { tenantId, id, kind }: PublishedAuthority,
    asked: readonly CertificateId[],
  ): Promise<Map<CertificateId, CertificateAnswer>> {
    const serials = asked.map((one) => one.serial);
    // Of servers' and authorities' certificates the registry of devices knows nothing.
    if (kind !== "tenant") return new Map();
    const found = await this.#deps.db.tenant(tenantId, (tx) =>
      standingsBySerial(tx, tenantId, id, serials),
    );
    return new Map(
      asked.map((one): [CertificateId, CertificateAnswer] => {
        const standing = found.get(one.serial);
        if (!standing) return [one, { id: one, status: "unknown" }];
        if (!standing.revoked) return [one, { id: one, status: "good" }];
        const { revokedAt, code } = standing;
        const at = revokedAt ?? new Date(this.#deps.clock.now());
        return [one, { id: one, status: "revoked", revokedAt: at, code: code ?? 0 }];
      }),
    );
  }

  async #signerOf({ tenantId, id }: PublishedAuthority): Promise<OcspSigner | undefined> {
    const { db, issuerOf, clock } = this.#deps;
    const row = await (tenantId === PLATFORM_CHAIN
      ? db.platform((tx) => findAuthority(tx, tenantId, id))
      : db.tenant(tenantId, (tx) => findAuthority(tx, tenantId, id)));
    const issuer = row && issuerOf(row);
    // An authority that has ended by time has nothing left that anybody would ask about.
    if (!issuer || row.not_after.getTime() <= clock.now()) return undefined;
    return this.#signers.get(row, issuer);
  }
}

function refusal(error: OcspError, outcome: string): { der: Buffer; cacheable: boolean } {
  answered.inc({ outcome });
  return { der: ocspError(error), cacheable: false };
}
