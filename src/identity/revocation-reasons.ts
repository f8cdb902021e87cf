/** RFC 5280 §5.3.1, CRLReason: those that a certificate of ours can be revoked for. */
export const REVOCATION_CODES = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const;
export type RevocationReasonName = keyof typeof REVOCATION_CODES;
export const REVOCATION_REASON_NAMES = Object.keys(REVOCATION_CODES) as RevocationReasonName[];

/** The one reason that can be taken back. */
export const HOLD = REVOCATION_CODES.certificateHold;
/** RFC 5280 §5.3.1: stands in delta lists only, for what is good again. */
export const REMOVE_FROM_CRL = 8;

/** Why, as the standard counts it and as people say it. */
export interface RevocationReason {
  reason: RevocationReasonName;
  comment?: string | undefined;
}

export function revocationReasonOf(code: number | null): RevocationReasonName | null {
  if (code === null) return null;
  return REVOCATION_REASON_NAMES.find((name) => REVOCATION_CODES[name] === code) ?? "unspecified";
}
