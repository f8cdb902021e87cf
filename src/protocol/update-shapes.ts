import semver from "semver";
import { isEnvelope } from "./metadata.ts";
import type { Envelope } from "./signing.ts";
import { isTextLike } from "./text.ts";
import type {
  ArtifactOffer,
  Assignment,
  ComponentOffer,
  ReleaseFile,
  ReleaseManifest,
} from "./update.ts";

/** Further files of one release. */
export const MAX_COMPONENTS = 32;

function isSha256(value: unknown): value is string {
  return isTextLike(value, /^[0-9a-f]{64}$/);
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
    signed.artifacts.every(isArtifactOffer) &&
    (signed.components === undefined || isComponentOffers(signed.components))
  );
}

function isComponentOffers(value: unknown): value is ComponentOffer[] {
  return (
    Array.isArray(value) &&
    value.length <= MAX_COMPONENTS &&
    value.every(
      (offer) =>
        typeof offer === "object" &&
        offer !== null &&
        typeof offer.component === "string" &&
        typeof offer.url === "string" &&
        isSha256(offer.sha256) &&
        Number.isSafeInteger(offer.sizeBytes) &&
        offer.sizeBytes >= 0,
    )
  );
}

function isArtifactOffer(value: ArtifactOffer): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof value.format === "string" &&
    typeof value.url === "string" &&
    isSha256(value.sha256) &&
    Number.isSafeInteger(value.sizeBytes) &&
    value.sizeBytes >= 0 &&
    (value.sourceSha256 === null || isSha256(value.sourceSha256))
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
    isNamedFile(signed.image) &&
    signed.image.sizeBytes > 0 &&
    (signed.components === undefined || isComponentList(signed.components)) &&
    (signed.sbom === undefined || isNamedFile(signed.sbom)) &&
    (signed.provenance === undefined ||
      (isNamedFile(signed.provenance) && Array.isArray(signed.provenance.keys)))
  );
}

function isComponentList(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.every(
      (each) =>
        isNamedFile(each) && typeof (each as { component?: unknown }).component === "string",
    )
  );
}

function isNamedFile(value: unknown): value is ReleaseFile {
  const file = value as ReleaseFile | null;
  return (
    typeof file === "object" &&
    file !== null &&
    typeof file.name === "string" &&
    isSha256(file.sha256) &&
    Number.isSafeInteger(file.sizeBytes) &&
    file.sizeBytes >= 0 &&
    (file.facts === undefined || isFacts(file.facts))
  );
}

function isFacts(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    Object.values(value).every((fact) => typeof fact === "string")
  );
}
