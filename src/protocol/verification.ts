import semver from "semver";
import { type Envelope, meetsThreshold } from "./signing.ts";
import type { ArtifactOffer, Assignment, ReleaseManifest, RootMetadata } from "./update.ts";

/** What a device knows about itself when it judges an assignment. */
export interface DeviceFacts {
  tenant: string;
  device: string;
  product: string;
  hardwareRevision: string;
  runningVersion: string | null;
  runningSha256: string | null;
  /** Lowest security counter that this device still accepts. */
  securityFloor: number;
  /** Highest sequence among the assignments that were accepted before. */
  lastSequence: number;
  /** Largest image that fits a slot, in bytes. */
  slotSizeBytes: number;
  /** Milliseconds since the epoch; never earlier than the latest time seen before. */
  trustedTimeMs: number;
}

/** The checks, in the order in which they are made. */
export const VERIFICATION_CHECKS = [
  "format",
  "director-signature",
  "release-signature",
  "expiry",
  "sequence",
  "tenant",
  "device",
  "product",
  "hardware",
  "security-counter",
  "minimum-version",
  "downgrade",
  "size",
] as const;
export type VerificationCheck = (typeof VERIFICATION_CHECKS)[number];

export type Verdict =
  | { accepted: true }
  | { accepted: false; check: VerificationCheck; message: string };

/**
 * Whether a device may act on an assignment. Every check is made on every path: no setting leaves
 * one out. `cancel` carries no release, so only the director's part is checked for it.
 */
export function verifyAssignment(
  envelope: Envelope<Assignment>,
  root: RootMetadata,
  facts: DeviceFacts,
): Verdict {
  if (!isAssignmentEnvelope(envelope)) return refuse("format", "the assignment is malformed");
  const assignment = envelope.signed;
  if (!meetsThreshold(envelope, root.roles.director, root.keys)) {
    return refuse("director-signature", "the assignment lacks the director's signature");
  }
  const release = assignment.release;
  if (assignment.action !== "cancel") {
    if (!release || !isReleaseEnvelope(release))
      return refuse("format", "the release is malformed");
    if (!meetsThreshold(release, root.roles.release, root.keys)) {
      return refuse(
        "release-signature",
        `the release lacks ${root.roles.release.threshold} signature(s) of release keys`,
      );
    }
  }
  const expiries: [string, string][] = [
    ["the trust root", root.expires],
    ["the assignment", assignment.expires],
  ];
  if (release) expiries.push(["the release", release.signed.expires]);
  for (const [what, expires] of expiries) {
    // A date that cannot be read is NaN, and no comparison with it holds: refused.
    if (!(Date.parse(expires) > facts.trustedTimeMs)) {
      return refuse("expiry", `${what} expired at ${expires}`);
    }
  }
  if (assignment.sequence <= facts.lastSequence) {
    return refuse("sequence", `sequence ${assignment.sequence} is not above ${facts.lastSequence}`);
  }
  if (assignment.tenant !== facts.tenant || root.tenant !== facts.tenant) {
    return refuse("tenant", `the assignment is for tenant ${assignment.tenant}`);
  }
  if (assignment.device !== facts.device) {
    return refuse("device", `the assignment is for device ${assignment.device}`);
  }
  return release && assignment.action !== "cancel"
    ? verifyRelease(release.signed, assignment.allowDowngrade, facts)
    : { accepted: true };
}

function verifyRelease(
  manifest: ReleaseManifest,
  allowDowngrade: boolean,
  facts: DeviceFacts,
): Verdict {
  if (manifest.tenant !== facts.tenant) {
    return refuse("tenant", `the release is for tenant ${manifest.tenant}`);
  }
  if (manifest.product !== facts.product) {
    return refuse("product", `the release is for product ${manifest.product}`);
  }
  if (!manifest.hardwareRevisions.includes(facts.hardwareRevision)) {
    return refuse("hardware", `the release does not fit hardware ${facts.hardwareRevision}`);
  }
  if (manifest.securityCounter < facts.securityFloor) {
    return refuse(
      "security-counter",
      `security counter ${manifest.securityCounter} is below the floor ${facts.securityFloor}`,
    );
  }
  const running = facts.runningVersion;
  if (
    running &&
    manifest.minimumSourceVersion &&
    semver.lt(running, manifest.minimumSourceVersion)
  ) {
    return refuse(
      "minimum-version",
      `needs ${manifest.minimumSourceVersion} or newer, runs ${running}`,
    );
  }
  if (running && !allowDowngrade && semver.lt(manifest.version, running)) {
    return refuse("downgrade", `${manifest.version} is older than ${running}`);
  }
  if (manifest.image.sizeBytes > facts.slotSizeBytes) {
    return refuse(
      "size",
      `${manifest.image.sizeBytes} bytes do not fit a slot of ${facts.slotSizeBytes}`,
    );
  }
  return { accepted: true };
}

/** The offers that this device can use, smallest first. */
export function usableOffers(
  offers: readonly ArtifactOffer[],
  facts: { runningSha256: string | null; formats: readonly string[] },
): ArtifactOffer[] {
  return offers
    .filter((offer) => facts.formats.includes(offer.format))
    .filter((offer) => offer.sourceSha256 === null || offer.sourceSha256 === facts.runningSha256)
    .sort((left, right) => left.sizeBytes - right.sizeBytes);
}

const SHA256 = /^[0-9a-f]{64}$/;

function isEnvelope(value: unknown): value is Envelope<Record<string, unknown>> {
  const envelope = value as Envelope<unknown> | null;
  return (
    typeof envelope === "object" &&
    envelope !== null &&
    typeof envelope.signed === "object" &&
    envelope.signed !== null &&
    Array.isArray(envelope.signatures) &&
    envelope.signatures.every(
      (entry) => typeof entry?.keyId === "string" && typeof entry?.signature === "string",
    )
  );
}

export function isAssignmentEnvelope(value: unknown): value is Envelope<Assignment> {
  if (!isEnvelope(value)) return false;
  const signed = value.signed as unknown as Assignment;
  return (
    signed._type === "assignment" &&
    signed.specVersion === 1 &&
    ["install", "switch-slot", "cancel"].includes(signed.action) &&
    typeof signed.tenant === "string" &&
    typeof signed.device === "string" &&
    typeof signed.updateId === "string" &&
    Number.isSafeInteger(signed.sequence) &&
    typeof signed.expires === "string" &&
    typeof signed.allowDowngrade === "boolean" &&
    Array.isArray(signed.artifacts) &&
    signed.artifacts.every(isArtifactOffer)
  );
}

function isArtifactOffer(value: ArtifactOffer): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof value.format === "string" &&
    typeof value.url === "string" &&
    SHA256.test(value.sha256) &&
    Number.isSafeInteger(value.sizeBytes) &&
    value.sizeBytes >= 0 &&
    (value.sourceSha256 === null || SHA256.test(value.sourceSha256))
  );
}

export function isReleaseEnvelope(value: unknown): value is Envelope<ReleaseManifest> {
  if (!isEnvelope(value)) return false;
  const signed = value.signed as unknown as ReleaseManifest;
  return (
    signed._type === "release" &&
    signed.specVersion === 1 &&
    typeof signed.tenant === "string" &&
    typeof signed.product === "string" &&
    semver.valid(signed.version) === signed.version &&
    Array.isArray(signed.hardwareRevisions) &&
    signed.hardwareRevisions.every((revision) => typeof revision === "string") &&
    Number.isSafeInteger(signed.securityCounter) &&
    (signed.minimumSourceVersion === null || semver.valid(signed.minimumSourceVersion) !== null) &&
    typeof signed.expires === "string" &&
    typeof signed.image === "object" &&
    signed.image !== null &&
    typeof signed.image.name === "string" &&
    SHA256.test(signed.image.sha256) &&
    Number.isSafeInteger(signed.image.sizeBytes) &&
    signed.image.sizeBytes > 0
  );
}

function refuse(check: VerificationCheck, message: string): Verdict {
  return { accepted: false, check, message };
}
