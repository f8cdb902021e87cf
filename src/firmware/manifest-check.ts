import semver from "semver";
import { AppError, LIMITS } from "../kernel/index.ts";
import { storableJson } from "../kernel/storable.ts";
import {
  canonicalJson,
  type Envelope,
  isReleaseEnvelope,
  type ReleaseManifest,
  type RootMetadata,
  validSigners,
} from "../protocol/index.ts";

const MAX_HARDWARE_REVISIONS = 100;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/;
const FILE_NAME = /^[^/\\\p{Cc}]{1,255}$/u;
const MAX_VERSION_LENGTH = 64;
const MAX_COUNTER = 0x7fffffff;

export interface ManifestFacts {
  tenantId: string;
  root: RootMetadata;
  nowMs: number;
}

/**
 * Whether a manifest may become a release: the checks of trust.md in their order, those that need
 * the image left to whoever reads it. Returns the envelope with its valid signatures only.
 */
export function checkManifest(value: unknown, facts: ManifestFacts): Envelope<ReleaseManifest> {
  const envelope = parseManifest(value);
  const { root, nowMs } = facts;
  const manifest = envelope.signed;
  const role = root.roles.release;
  const signers = validSigners(envelope, role, root.keys);
  if (signers.length < role.threshold) {
    throw new AppError(
      "signature-invalid",
      `${signers.length} of ${role.threshold} needed release keys have validly signed`,
      { validSigners: signers, threshold: role.threshold, releaseKeyIds: role.keyIds },
    );
  }
  if (!(Date.parse(root.expires) > nowMs)) {
    throw refuse("expiry", `the trust root expired at ${root.expires}`);
  }
  if (!(Date.parse(manifest.expires) > nowMs)) {
    throw refuse("expiry", `the release expired at ${manifest.expires}`);
  }
  if (manifest.tenant !== facts.tenantId) {
    throw refuse("tenant", `the release is for tenant ${manifest.tenant}`);
  }
  checkContent(manifest);
  const signatures = signers.map(
    (keyId) =>
      envelope.signatures.find((entry) => entry.keyId === keyId) as {
        keyId: string;
        signature: string;
      },
  );
  return { signed: manifest, signatures };
}

/** A manifest of the right shape; nothing is said about its signatures. */
export function parseManifest(value: unknown): Envelope<ReleaseManifest> {
  if (!isReleaseEnvelope(value)) throw refuse("format", "it is no release manifest of version 1");
  let text: string;
  try {
    text = canonicalJson(value);
  } catch (cause) {
    throw refuse("format", "it holds what cannot be signed", cause);
  }
  if (text.length > LIMITS.manifestBytes) throw refuse("format", "the manifest is too large");
  if (storableJson(value) !== JSON.stringify(value)) {
    throw refuse("format", "it holds text that is not valid Unicode");
  }
  return value;
}

function checkContent(manifest: ReleaseManifest): void {
  const { image, hardwareRevisions, minimumSourceVersion } = manifest;
  if (!NAME.test(manifest.product)) throw refuse("product", "the product's name is not valid");
  if (manifest.version.length > MAX_VERSION_LENGTH) throw refuse("version", "it is too long");
  if (
    hardwareRevisions.length < 1 ||
    hardwareRevisions.length > MAX_HARDWARE_REVISIONS ||
    !hardwareRevisions.every((revision) => NAME.test(revision))
  ) {
    throw refuse("hardware", `it needs 1 to ${MAX_HARDWARE_REVISIONS} hardware revisions`);
  }
  if (manifest.securityCounter < 0 || manifest.securityCounter > MAX_COUNTER) {
    throw refuse("security-counter", `it lies outside 0 to ${MAX_COUNTER}`);
  }
  if (minimumSourceVersion && semver.gt(minimumSourceVersion, manifest.version)) {
    throw refuse("minimum-version", `${minimumSourceVersion} is above the release's own version`);
  }
  if (image.sizeBytes > LIMITS.imageBytes) {
    throw refuse("size", `images have at most ${LIMITS.imageBytes} bytes`);
  }
  if (!FILE_NAME.test(image.name)) throw refuse("image-name", "the image's name is not valid");
}

function refuse(check: string, message: string, cause?: unknown): AppError {
  return new AppError("manifest-invalid", `${check}: ${message}`, { check }, { cause });
}
