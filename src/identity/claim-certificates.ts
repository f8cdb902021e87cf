import { createHash, generateKeyPairSync, randomBytes, type X509Certificate } from "node:crypto";
import { AppError, type Clock, isUuid, timeOrderedId } from "../kernel/index.ts";
import { distinguishedName, isTenantId, toPem } from "../protocol/index.ts";
import type { Actor } from "../tenancy/index.ts";
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
import type { ClaimDeps, CreatedClaim } from "./claim-tokens.ts";
import { checkClaim, insertClaim, type NewClaim } from "./claims.ts";
import { isIssuedBy } from "./peer-check.ts";
import { policyColumns } from "./policy.ts";
import { BACKDATE_MS } from "./profiles.ts";
import { findRegistered } from "./registered-store.ts";

export interface CreatedClaimCertificate extends CreatedClaim {
  certificatePem: string;
  /** The certificate and the tenant's authority: what a TLS client presents. */
  chainPem: string;
  /** The key in PEM, where no request was given; it is shown this once and kept nowhere. */
  keyPem?: string;
}

export interface ClaimCertificates {
  /**
   * Issues a certificate with which devices enrol (and nothing else): one for a whole production
   * line, say. `csr` keeps its key where it is; its subject is not looked at.
   */
  create(
    tenantId: string,
    claim: NewClaim & { csr?: string | undefined },
    actor: Actor,
  ): Promise<CreatedClaimCertificate>;
  /** Lets every certificate of a registered authority (of purpose `claims`) prove the claim. */
  createForAuthority(
    tenantId: string,
    claim: NewClaim & { authorityId: string },
    actor: Actor,
  ): Promise<CreatedClaim>;
}

interface Deps extends ClaimDeps {
  authorities: Pick<Authorities, "issuing" | "trusted">;
  trustDomain: string;
}

export function createClaimCertificates(deps: Deps): ClaimCertificates {
  const { db, clock, tenancy, authorities, trustDomain } = deps;
  return {
    async create(tenantId, claim, actor) {
      const now = new Date(clock.now());
      checkClaim(claim, now);
      const id = timeOrderedId(now.getTime());
      const { columns, webhookSecret } = policyColumns(deps, tenantId, id, claim);
      const { publicKey, keyPem } = claim.csr
        ? { ...(await readCertificateRequest(claim.csr)), keyPem: undefined }
        : newKey();
      const issuer = await authorities.issuing(tenantId);
      const uri = generalName.uri(claimUri(tenantId, id, trustDomain));
      const notAfter = claim.expiresAt < issuer.notAfter ? claim.expiresAt : issuer.notAfter;
      const { der } = await buildCertificate({
        issuer: issuer.issuer,
        subject: distinguishedName(tenantId, `claim ${id}`),
        publicKey,
        notBefore: new Date(now.getTime() - BACKDATE_MS),
        notAfter,
        extensions: [
          basicConstraints(null),
          keyUsage("digital-signature"),
          extendedKeyUsage(CLIENT_AUTH),
          subjectAlternativeNames([uri]),
        ],
      });
      const certificatePem = toPem("CERTIFICATE", der);
      const hash = createHash("sha256").update(der).digest();
      const particulars = { id, kind: "certificate" as const, hash, columns, certificatePem };
      await db.tenant(tenantId, (tx) =>
        insertClaim(tx, tenancy, tenantId, claim, particulars, { actor, now }),
      );
      return {
        id,
        certificatePem,
        chainPem: certificatePem + issuer.certificatePem,
        ...(keyPem ? { keyPem } : {}),
        ...(webhookSecret ? { webhookSecret } : {}),
      };
    },

    async createForAuthority(tenantId, claim, actor) {
      const now = new Date(clock.now());
      checkClaim(claim, now);
      const id = timeOrderedId(now.getTime());
      const { authorityId } = claim;
      const { columns, webhookSecret } = policyColumns(deps, tenantId, id, claim);
      await db.tenant(tenantId, async (tx) => {
        const authority = isUuid(authorityId)
          ? await findRegistered(tx, tenantId, authorityId)
          : undefined;
        if (authority?.purpose !== "claims" || authority.status === "disabled") {
          throw new AppError("not-found", "there is no such authority for claims", { authorityId });
        }
        // The authority's certificates prove it; this hash is nobody's.
        const particulars = { id, kind: "certificate" as const, hash: randomBytes(32), columns };
        await insertClaim(
          tx,
          tenancy,
          tenantId,
          claim,
          { ...particulars, authorityId },
          { actor, now },
        );
      });
      return { id, ...(webhookSecret ? { webhookSecret } : {}) };
    },
  };
}

function newKey(): { publicKey: Buffer; keyPem: string } {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    publicKey: publicKey.export({ type: "spki", format: "der" }),
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };
}

/** Of the tenant's own host, as its name constraints demand, and never a device's name. */
export function claimUri(tenantId: string, claimId: string, trustDomain: string): string {
  return `spiffe://${tenantId}.${trustDomain}/claim/${claimId}`;
}

/** The tenant that a claim certificate of ours names, or undefined where it is none. */
export function claimTenantOf(
  certificate: X509Certificate,
  trustDomain: string,
): string | undefined {
  const names = certificate.subjectAltName ?? "";
  const match = /^URI:spiffe:\/\/([^/,]+)\/claim\/[0-9a-f-]{36}$/.exec(names);
  const host = match?.[1];
  if (certificate.ca || !host?.endsWith(`.${trustDomain}`)) return undefined;
  const tenantId = host.slice(0, -trustDomain.length - 1);
  return isTenantId(tenantId) ? tenantId : undefined;
}

/** Whether one of the tenant's authorities issued it, and it is within its time. */
export async function isGenuineClaim(
  { authorities, clock }: { authorities: Pick<Authorities, "trusted">; clock: Clock },
  tenantId: string,
  certificate: X509Certificate,
): Promise<boolean> {
  const now = clock.now();
  return (
    certificate.validFromDate.getTime() <= now &&
    certificate.validToDate.getTime() > now &&
    isIssuedBy(certificate, await authorities.trusted(tenantId), now)
  );
}
