export type { ServerCredentials } from "./authorities.ts";
export { certsOnlyPkcs7 } from "./certificate-builder.ts";
export type { ClaimTokens, ClaimTokenView, NewClaimToken } from "./claim-tokens.ts";
export type { Enrolment } from "./enrolment.ts";
export type { EnrolmentAuthority, EnrolmentRequest } from "./enrolment-rights.ts";
export type { DeviceAttributes } from "./enrolment-store.ts";
export { type CertificateView, createIdentity, type Identity } from "./identity.ts";
export type { CertificateRefusal } from "./peer-check.ts";
export type { DevicePeer, RevocationEvent } from "./peers.ts";
