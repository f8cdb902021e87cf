export type { AcmeOptions, AcmeStatus } from "./acme/acme-status.ts";
export type {
  ApplicationCertificates,
  ApplicationView,
  IssuedApplication,
  NewApplication,
} from "./application-certificates.ts";
export type { ApplicationPeer, ApplicationPeers } from "./application-peers.ts";
export type { AuthorityEvent } from "./authorities.ts";
export type { GivenRoot } from "./authority-issuance.ts";
export type { Pki } from "./authority-management.ts";
export type { KeyPlace } from "./authority-types.ts";
export type { AuthorityView, Hierarchy, PendingAuthorityView } from "./authority-views.ts";
export type { CampaignDeviceState } from "./campaign-rules.ts";
export {
  type CampaignDeviceView,
  type CampaignView,
  createRotationCampaigns,
  MAX_CAMPAIGN_DEVICES,
  MAX_CONCURRENCY,
  type NewCampaign,
  type RotationCampaigns,
} from "./campaigns.ts";
export {
  createOfflineRoot,
  crossSign,
  type OfflineRoot,
  openOfflineRoot,
  parseRequestBundle,
  parseSignedBundle,
  type RequestBundle,
  type SignedBundle,
  type SigningRoot,
  selfSignedRoot,
  signBundle,
} from "./ceremony.ts";
export { DEFAULT_LIST_DAYS } from "./ceremony-list.ts";
export { certsOnlyPkcs7 } from "./certificate-builder.ts";
export type { CertificateFilter, CertificatePage } from "./certificate-list.ts";
export { readCertificateRequest } from "./certificate-request.ts";
export type { CertificateView } from "./certificate-view.ts";
export type { ClaimCertificates, CreatedClaimCertificate } from "./claim-certificates.ts";
export type { ClaimPeer } from "./claim-peers.ts";
export type { ClaimTokens, ClaimTokenView, NewClaimToken } from "./claim-tokens.ts";
export type { NewClaim } from "./claims.ts";
export type { CompromisedKey, CompromisedKeys } from "./compromised-keys.ts";
export { buildCrl, type CrlEntry, type CrlRecipe } from "./crl.ts";
export type { PublishedList } from "./crl-lists.ts";
export type { Enrolment } from "./enrolment.ts";
export type { BulkResult, BulkRow } from "./enrolment-bulk.ts";
export type { EnrolmentAuthority, EnrolmentRequest } from "./enrolment-rights.ts";
export type { DeviceAttributes } from "./enrolment-store.ts";
export { createIdentity, type Identity } from "./identity.ts";
export type { CertificateRefusal } from "./peer-check.ts";
export type { DevicePeer } from "./peers.ts";
export type { PendingEnrolment, PendingEnrolments } from "./pending.ts";
export type { Approval, EnrolmentPolicy } from "./policy.ts";
export type { Preauthorised, PreauthorisedDevice, PreauthorisedView } from "./preauthorised.ts";
export type { Quarantines, QuarantineView } from "./quarantine.ts";
export type {
  CertificateConcerns,
  KnockView,
  Radar,
  RadarPicture,
  RotationFailure,
  TroubledRotation,
} from "./radar.ts";
export type {
  NewRegisteredAuthority,
  RegisteredAuthorities,
  RegisteredAuthorityView,
} from "./registered-authorities.ts";
export { MAX_SELECTED, type RevocationOutcome, type Revocations } from "./revocation.ts";
export { crlUrl, deltaCrlUrl, ocspUrl } from "./revocation-places.ts";
export {
  REVOCATION_CODES,
  REVOCATION_REASON_NAMES,
  type RevocationReason,
  type RevocationReasonName,
} from "./revocation-reasons.ts";
export type { RevocationSelection } from "./revocation-store.ts";
export type { RotationState, Rotations } from "./rotation.ts";
export type { ServerCredentials, TlsFiles } from "./server-credentials.ts";
export type { StandingChange } from "./standing-store.ts";
