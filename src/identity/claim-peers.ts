import { createHash, type X509Certificate } from "node:crypto";
import type { Database } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import type { Authorities } from "./authorities.ts";
import { claimTenantOf, isGenuineClaim } from "./claim-certificates.ts";
import { findClaim, findClaimOfAuthority } from "./claim-store.ts";
import { timeRefusal } from "./peer-check.ts";
import { leafProblem } from "./registered-fields.ts";
import type { RegisteredLookup } from "./registered-lookup.ts";

/** Somebody who holds a claim's certificate; what the claim permits is judged when it is used. */
export interface ClaimPeer {
  tenantId: string;
  claimId: string;
}

export interface ClaimPeerDeps {
  db: Database;
  clock: Clock;
  authorities: Pick<Authorities, "trusted">;
  trustDomain: string;
  lookup: RegisteredLookup;
}

/**
 * The claim that a certificate proves, undefined where it is not that of a claim at all;
 * `certificate-refused` where it is one and is not good. The caller has seen that the other end
 * holds the certificate's key.
 */
export async function identifyClaim(
  deps: ClaimPeerDeps,
  certificate: X509Certificate,
): Promise<ClaimPeer | undefined> {
  const tenantId = claimTenantOf(certificate, deps.trustDomain);
  if (tenantId === undefined) return claimOfAuthority(deps, certificate);
  if (!(await isGenuineClaim(deps, tenantId, certificate))) {
    throw refuse("foreign-ca", tenantId);
  }
  const hash = createHash("sha256").update(certificate.raw).digest();
  const claim = await deps.db.tenant(tenantId, (tx) => findClaim(tx, tenantId, { hash }));
  if (!claim) throw refuse("unknown", tenantId);
  return { tenantId, claimId: claim.id };
}

/** The claim that every certificate of a tenant's own claim authority proves. */
async function claimOfAuthority(
  { db, clock, lookup }: ClaimPeerDeps,
  certificate: X509Certificate,
): Promise<ClaimPeer | undefined> {
  const found = await lookup.find(certificate);
  if (found?.row.purpose !== "claims") return undefined;
  const { tenantId, row, foreign } = found;
  const problem = leafProblem(certificate, foreign) ?? timeRefusal(certificate, clock.now());
  if (problem) throw refuse(problem, tenantId);
  const claim = await db.tenant(tenantId, (tx) => findClaimOfAuthority(tx, tenantId, row.id));
  if (!claim) throw refuse("unknown", tenantId);
  return { tenantId, claimId: claim.id };
}

function refuse(reason: string, tenantId: string): AppError {
  const message = "the claim certificate is not one that this tenant has in use";
  return new AppError("certificate-refused", message, { reason, tenantId });
}
