import semver from "semver";
import { AppError, LIMITS } from "../kernel/index.ts";
import { storableJson } from "../kernel/storable.ts";
import {
  canonicalJson,
  type Envelope,
  isReleaseEnvelope,
  type ReleaseManifest,
  type RootMetadata,
  releaseFileName,
  releaseRole,
  type Signature,
  type SigningKey,
  signingKeyId,
  type TargetsMetadata,
  unusableKey,
  validSigners,
} from "../protocol/index.ts";

const MAX_HARDWARE_REVISIONS = 100;
const MAX_COMPONENTS = 32;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/;
const FILE_NAME = /^[^/\\\p{Cc}]{1,255}$/u;
const MAX_VERSION_LENGTH = 64;
const MAX_COUNTER = 0x7fffffff;

export interface ManifestFacts {
  tenantId: string;
  root: RootMetadata;
  /** Whose keys sign which products, where that was delegated. */
  targets: TargetsMetadata | null;
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
  const path = releaseFileName(manifest);
  const { role, keys, name } = releaseRole(root, facts.targets, path);
  const signers = validSigners(envelope, role, keys);
  if (signers.length < role.threshold) {
    throw new AppError(
      "signature-invalid",
      `${signers.length} of ${role.threshold} needed release keys have validly signed`,
      { validSigners: signers, threshold: role.threshold, releaseKeyIds: role.keyids, role: name },
    );
  }
  if (!(Date.parse(root.expires) > nowMs)) {
    throw refuse("expiry", `the trust root expired at ${root.expires}`);
  }
  if (facts.targets && !(Date.parse(facts.targets.expires) > nowMs)) {
    throw refuse("expiry", `the delegations expired at ${facts.targets.expires}`);
  }
  if (!(Date.parse(manifest.expires) > nowMs)) {
    throw refuse("expiry", `the release expired at ${manifest.expires}`);
  }
  if (manifest.tenant !== facts.tenantId) {
    throw refuse("tenant", `the release is for tenant ${manifest.tenant}`);
  }
  checkContent(manifest);
  const signatures = signers.map(
    (keyid) => envelope.signatures.find((entry) => entry.keyid === keyid) as Signature,
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
  checkFiles(manifest);
}

function checkFiles(manifest: ReleaseManifest): void {
  const { image, components = [], sbom, provenance } = manifest;
  if (!FILE_NAME.test(image.name)) throw refuse("image-name", "the image's name is not valid");
  if (components.length > MAX_COMPONENTS) {
    throw refuse("components", `a release has at most ${MAX_COMPONENTS}`);
  }
  const names = components.map(({ component }) => component);
  if (new Set(names).size !== names.length) throw refuse("components", "one is there twice");
  for (const { component, name, sizeBytes } of components) {
    if (!NAME.test(component) || !FILE_NAME.test(name)) {
      throw refuse("components", "the name of a component is not valid");
    }
    if (sizeBytes < 1 || sizeBytes > LIMITS.imageBytes) {
      throw refuse("components", `${component} is empty or too large`);
    }
  }
  if (provenance && unusableKey(Object.fromEntries(provenance.keys.map(keyed)))) {
    throw refuse("provenance", "it names a key that cannot be read");
  }
  for (const [what, document] of Object.entries({ sbom, provenance })) {
    if (!document) continue;
    if (!FILE_NAME.test(document.name)) throw refuse(what, "its name is not valid");
    if (document.sizeBytes < 1 || document.sizeBytes > LIMITS.releaseDocumentBytes) {
      throw refuse(what, `it has at most ${LIMITS.releaseDocumentBytes} bytes`);
    }
  }
}

function keyed(key: SigningKey): [string, SigningKey] {
  return [signingKeyId(key), key];
}

function refuse(check: string, message: string, cause?: unknown): AppError {
  return new AppError("manifest-invalid", `${check}: ${message}`, { check }, { cause });
}
