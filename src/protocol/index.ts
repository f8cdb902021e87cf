export * from "./artifact-links.ts";
export * from "./audit-chain.ts";
export * from "./boot-chain.ts";
export * from "./canonical-json.ts";
export * from "./certificates.ts";
export * from "./configuration.ts";
export * from "./csr.ts";
export * from "./identity.ts";
export * from "./log-spans.ts";
export * from "./merge-patch.ts";
export * from "./messages.ts";
export * from "./metadata.ts";
export * from "./metadata-rules.ts";
export * from "./metrics.ts";
export * from "./retention.ts";
export * from "./script.ts";
export * from "./signing.ts";
export * from "./slot-image.ts";
export * from "./text.ts";
export * from "./topics.ts";
export * from "./twin.ts";
export * from "./update.ts";
export * from "./update-shapes.ts";
export {
  type DeviceFacts,
  type DeviceTrust,
  followRoots,
  type MetadataVersions,
  NO_VERSIONS,
  usableOffers,
  VERIFICATION_CHECKS,
  type Verdict,
  type VerificationCheck,
  verifyAssignment,
} from "./verification.ts";
