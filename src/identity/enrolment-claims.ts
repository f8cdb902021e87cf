import type { Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { hashSecret } from "../kernel/sealing.ts";
import type { CertificateRequest } from "./certificate-request.ts";
import type { CertificateRow } from "./certificate-store.ts";
import * as store from "./claim-store.ts";
import { claimProblem } from "./claims.ts";

/** How somebody shows that they hold a claim: its token, or another proof that was checked before. */
export type ClaimAuthority = { kind: "claim"; token: string } | { kind: "claim"; claimId: string };

export function proofOf(authority: ClaimAuthority): store.ClaimProof {
  return "token" in authority ? { hash: hashSecret(authority.token) } : { id: authority.claimId };
}

/** What is asked of a claim. */
export interface ClaimQuestion {
  tenantId: string;
  deviceId: string;
  csr: CertificateRequest;
  /** Certificates that the device has already. */
  earlier: readonly CertificateRow[];
  now: Date;
}

/**
 * Whether a claim permits an enrolment; `claim-refused` or `invalid-credentials` otherwise. Whoever
 * finds a token must not become a device that is enrolled already, used or still in its box. Only
 * the holder of the same key may ask again: the reply to the first request was lost.
 */
export async function judgeClaim(
  tx: Tx,
  claim: store.ClaimRow | undefined,
  { tenantId, deviceId, csr, earlier, now }: ClaimQuestion,
): Promise<{ claim: store.ClaimRow; isRepeat: boolean }> {
  if (!claim) {
    const details = { reason: "unknown", deviceId };
    throw new AppError("invalid-credentials", "there is no such claim", details);
  }
  const earlierKey = await store.keyOfUse(tx, tenantId, claim.id, deviceId);
  const isRepeat =
    earlier.length > 0 &&
    earlierKey === csr.publicKeySha256 &&
    earlier.every((one) => one.first_used_at === null);
  const problem = claimProblem(claim, deviceId, now);
  if (problem && !(isRepeat && problem === "used-up")) {
    throw claimRefused(problem, deviceId, claim.name);
  }
  if (earlier.length > 0 && !isRepeat) throw claimRefused("enrolled", deviceId, claim.name);
  return { claim, isRepeat };
}

/** Counts one use of a claim, whose row the caller has locked; a repeated one is not counted twice. */
export async function spendClaim(
  tx: Tx,
  locked: store.ClaimRow | undefined,
  question: ClaimQuestion,
): Promise<void> {
  const { tenantId, deviceId, csr, now } = question;
  const { claim, isRepeat } = await judgeClaim(tx, locked, question);
  if (!isRepeat) {
    await store.countClaimUse(tx, tenantId, claim.id);
    const use = { claim_id: claim.id, device_id: deviceId, used_at: now };
    await store.noteClaimUse(tx, tenantId, { ...use, request_key_sha256: csr.publicKeySha256 });
  }
}

export function claimRefused(
  reason: string,
  deviceId: string,
  claimToken: string | undefined,
): AppError {
  return new AppError("claim-refused", CLAIM_SENTENCES[reason] ?? reason, {
    reason,
    deviceId,
    ...(claimToken ? { claimToken } : {}),
  });
}

const CLAIM_SENTENCES: Record<string, string> = {
  revoked: "the claim was revoked",
  expired: "the claim has expired",
  "used-up": "the claim was used as often as it may",
  pattern: "the claim is not for this device id",
  "device-revoked": "the device was revoked",
  enrolled: "the device is enrolled already: it renews with its certificate",
};
