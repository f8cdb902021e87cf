import type { Database } from "../db/index.ts";
import type { DeviceIdentity } from "../protocol/index.ts";
import type { CertificateRequest } from "./certificate-request.ts";
import * as certificates from "./certificate-store.ts";
import { type ClaimRow, findClaim } from "./claim-store.ts";
import { type ClaimAuthority, judgeClaim, proofOf } from "./enrolment-claims.ts";
import {
  assertTenantActive,
  type EnrolmentRequest,
  listedAttributes,
  MAX_READ,
} from "./enrolment-rights.ts";
import { atStep } from "./enrolment-steps.ts";
import type { DeviceAttributes } from "./enrolment-store.ts";
import type { PendingRequest } from "./pending.ts";
import { findPending, type PendingRow } from "./pending-store.ts";
import { consult, type PolicyDeps, policyRefusal } from "./policy.ts";

/** What the policy says about an enrolment, before anything is written. */
export type Admission =
  | { kind: "go"; attributes: DeviceAttributes | undefined }
  | { kind: "ask"; request: PendingRequest; claim: string };

/**
 * Asks the policy of the claim that is presented: the list of expected devices, the webhook, and
 * whether a person has decided. It runs outside the transaction that issues, since a webhook takes
 * its time; what limits a claim is judged again in there, under lock.
 */
export async function admit(
  deps: PolicyDeps & { db: Database },
  request: EnrolmentRequest,
  identity: DeviceIdentity,
  csr: CertificateRequest,
): Promise<Admission> {
  const { authority } = request;
  if (authority.kind !== "claim") return { kind: "go", attributes: undefined };
  const facts = await readFacts(deps, request, authority, identity, csr);
  const { claim, isRepeat, decided, listed } = facts;
  return atStep("policy", async () => {
    if (decided?.status === "rejected") {
      throw policyRefusal("rejected", decided.decision_reason ?? "a person has refused it");
    }
    if (decided?.status === "accepted") return { kind: "go", attributes: attributesIn(decided) };
    const { product, hardware_revision: hardwareRevision, region, tags } = claim;
    const attributes = listed ?? { product, hardwareRevision, region, tags };
    if (isRepeat) return { kind: "go", attributes };
    if (claim.approval === "preauthorised" && !listed) {
      throw policyRefusal("not-listed", "the device is not on the tenant's list");
    }
    const asked: PendingRequest = {
      ...attributes,
      ...identityFacts(request, identity, csr),
      authority: "claim",
      authorityName: claim.name,
      cause: decided?.cause ?? "policy",
    };
    // Who waits already is not asked about again each time the device calls.
    if (decided?.status === "pending") return { kind: "ask", request: asked, claim: claim.name };
    const answer = await consult(deps, claim, {
      ...attributes,
      tenantId: identity.tenantId,
      ...identityFacts(request, identity, csr),
      serialNumber: csr.name.serialNumber,
      authority: claim.name,
    });
    if (answer.kind === "accept") return { kind: "go", attributes: answer.attributes };
    const waiting = { ...asked, ...answer.attributes, cause: answer.cause };
    return { kind: "ask", request: waiting, claim: claim.name };
  });
}

function identityFacts(
  { via, address }: EnrolmentRequest,
  { deviceId }: DeviceIdentity,
  { publicKeySha256 }: CertificateRequest,
) {
  return { deviceId, publicKeySha256, via, address };
}

interface Facts {
  claim: ClaimRow;
  isRepeat: boolean;
  decided: PendingRow | undefined;
  /** What the list of expected devices says; it agrees with the request. */
  listed: DeviceAttributes | undefined;
}

async function readFacts(
  { db, clock }: PolicyDeps & { db: Database },
  { tenantId }: EnrolmentRequest,
  authority: ClaimAuthority,
  { deviceId }: DeviceIdentity,
  csr: CertificateRequest,
): Promise<Facts> {
  return db.tenant(tenantId, async (tx) => {
    const now = new Date(clock.now());
    await atStep("tenant", () => assertTenantActive(tx, tenantId));
    const found = await findClaim(tx, tenantId, proofOf(authority));
    const earlier = await certificates.certificatesOf(tx, tenantId, deviceId, MAX_READ);
    const question = { tenantId, deviceId, csr, earlier, now };
    const { claim, isRepeat } = await atStep("right", () => judgeClaim(tx, found, question));
    const decided = await findPending(tx, tenantId, deviceId, csr.publicKeySha256, now);
    const listed = await atStep("policy", () => listedAttributes(tx, tenantId, deviceId, csr));
    return { claim, isRepeat, decided, listed };
  });
}

function attributesIn(row: PendingRow): DeviceAttributes {
  const { product, hardware_revision: hardwareRevision, region, tags } = row;
  return { product, hardwareRevision, region, tags };
}
