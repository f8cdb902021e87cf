import semver from "semver";
import { canonicalJson } from "./canonical-json.ts";
import {
  isMetadataBundle,
  isRootEnvelope,
  type MetadataBundle,
  type MetaFile,
  type RootMetadata,
  releaseFileName,
} from "./metadata.ts";
import {
  hasBytesOf,
  hasExpired,
  hasNewOnlineKeys,
  isNamedBy,
  releaseRole,
  rolledBackFile,
  rootFault,
} from "./metadata-rules.ts";
import { type Envelope, meetsThreshold } from "./signing.ts";
import type { ArtifactOffer, Assignment, AssignmentMessage, ReleaseManifest } from "./update.ts";
import { isAssignmentEnvelope, isReleaseEnvelope } from "./update-shapes.ts";

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

/** What a device believes, from the root that it was provisioned with on. */
export interface DeviceTrust {
  root: Envelope<RootMetadata>;
  /** Versions of the newest metadata that were accepted; 0 before the first. */
  versions: MetadataVersions;
  /**
   * The roots that led here from the one that the device was provisioned with, oldest first: who
   * holds the disk could write a root of their own, but no way to it.
   */
  path?: Envelope<RootMetadata>[];
}

export interface MetadataVersions {
  timestamp: number;
  snapshot: number;
  targets: number;
}

export const NO_VERSIONS: MetadataVersions = { timestamp: 0, snapshot: 0, targets: 0 };

/** The checks, in the order in which they are made. */
export const VERIFICATION_CHECKS = [
  "format",
  "root-chain",
  "metadata-signature",
  "director-signature",
  "release-signature",
  "expiry",
  "metadata-version",
  "metadata-binding",
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

export type Verdict = (
  | { accepted: true }
  | { accepted: false; check: VerificationCheck; message: string }
) & {
  /** What the device believes from now on; also a refused assignment may have brought new roots. */
  trust: DeviceTrust;
};

/** What a check looks at. */
interface Judged {
  message: AssignmentMessage;
  assignment: Assignment;
  metadata: MetadataBundle;
  /** Null for a cancellation, which carries none. */
  release: Envelope<ReleaseManifest> | null;
  trust: DeviceTrust;
  /** The root by which everything else is judged: the newest of the chain. */
  root: RootMetadata;
  newRoots: Envelope<RootMetadata>[];
  /** Below these versions metadata is old. */
  floors: MetadataVersions;
  facts: DeviceFacts;
}

/** Why the check refuses, or undefined where it has nothing against it. */
type Check = (judged: Judged) => string | undefined;

const CHECKS: Record<Exclude<VerificationCheck, "format">, Check> = {
  "root-chain": ({ trust, newRoots }) => {
    let current = trust.root.signed;
    for (const next of newRoots) {
      const fault = rootFault(current, next);
      if (fault) return fault;
      current = next.signed;
    }
    return undefined;
  },
  "metadata-signature": ({ root, metadata }) => {
    const { timestamp, snapshot, targets } = metadata;
    for (const [name, envelope] of Object.entries({ timestamp, snapshot, targets })) {
      const role = root.roles[name as "timestamp"];
      if (envelope && !meetsThreshold(envelope, role, root.keys)) {
        return `the ${name} lacks ${role.threshold} signature(s)`;
      }
    }
    return undefined;
  },
  "director-signature": ({ root, message }) =>
    meetsThreshold(message, root.director, root.keys)
      ? undefined
      : "the assignment lacks the director's signature",
  "release-signature": ({ root, metadata, release }) => {
    if (!release) return undefined;
    const path = releaseFileName(release.signed);
    const { role, keys, name } = releaseRole(root, metadata.targets?.signed ?? null, path);
    return meetsThreshold(release, role, keys)
      ? undefined
      : `the release lacks ${role.threshold} signature(s) of the role ${name}`;
  },
  expiry: ({ root, metadata, assignment, release, facts }) => {
    const dated: [string, { expires: string } | undefined][] = [
      ["the trust root", root],
      ["the timestamp", metadata.timestamp.signed],
      ["the snapshot", metadata.snapshot.signed],
      ["the delegations", metadata.targets?.signed],
      ["the assignment", assignment],
      ["the release", release?.signed],
    ];
    const old = dated.find(([, signed]) => signed && hasExpired(signed, facts.trustedTimeMs));
    return old && `${old[0]} expired at ${old[1]?.expires}`;
  },
  "metadata-version": ({ metadata, floors }) => {
    const { timestamp, snapshot } = metadata;
    if (timestamp.signed.version < floors.timestamp) {
      return `timestamp ${timestamp.signed.version} is older than ${floors.timestamp}`;
    }
    if (snapshot.signed.version < floors.snapshot) {
      return `snapshot ${snapshot.signed.version} is older than ${floors.snapshot}`;
    }
    const before: Record<string, MetaFile> =
      floors.targets > 0 ? { "targets.json": { version: floors.targets } } : {};
    const lost = rolledBackFile(before, snapshot.signed.meta);
    return lost && `the snapshot holds no ${lost} of version ${floors.targets} or later`;
  },
  "metadata-binding": ({ metadata, release }) => {
    const { timestamp, snapshot, targets } = metadata;
    if (!isNamedBy(timestamp.signed.meta["snapshot.json"], snapshot)) {
      return "the snapshot is not the one that the timestamp names";
    }
    const { meta } = snapshot.signed;
    const listed = Object.hasOwn(meta, "targets.json") ? meta["targets.json"] : undefined;
    if (targets ? !isNamedBy(listed, targets) : listed) {
      return "the delegations are not those that the snapshot names";
    }
    if (!release) return undefined;
    const name = releaseFileName(release.signed);
    const entry = Object.hasOwn(meta, name) ? meta[name] : undefined;
    // A release is one document for good: its version is in its name.
    return entry?.version === 1 && hasBytesOf(entry, bytesOf(release))
      ? undefined
      : `${name} is not among the releases that the snapshot names`;
  },
  sequence: ({ assignment, facts }) =>
    assignment.sequence > facts.lastSequence
      ? undefined
      : `sequence ${assignment.sequence} is not above ${facts.lastSequence}`,
  tenant: ({ root, metadata, assignment, release, facts }) => {
    const { timestamp, snapshot, targets } = metadata;
    const owned = [root, timestamp.signed, snapshot.signed, targets?.signed, assignment];
    const foreign = [...owned, release?.signed].find(
      (signed) => signed && signed.tenant !== facts.tenant,
    );
    return foreign && `the ${foreign._type} is for tenant ${foreign.tenant}`;
  },
  device: ({ assignment, facts }) =>
    assignment.device === facts.device
      ? undefined
      : `the assignment is for device ${assignment.device}`,
  product: ({ metadata, release, facts }) => {
    const { timestamp, snapshot } = metadata;
    const foreign = [timestamp.signed, snapshot.signed, release?.signed].find(
      (signed) => signed && signed.product !== facts.product,
    );
    return foreign && `the ${foreign._type} is for product ${foreign.product}`;
  },
  hardware: ({ release, facts }) =>
    !release || release.signed.hardwareRevisions.includes(facts.hardwareRevision)
      ? undefined
      : `the release does not fit hardware ${facts.hardwareRevision}`,
  "security-counter": ({ release, facts }) =>
    !release || release.signed.securityCounter >= facts.securityFloor
      ? undefined
      : `security counter ${release.signed.securityCounter} is below the floor ${facts.securityFloor}`,
  "minimum-version": ({ release, facts }) => {
    const { runningVersion } = facts;
    const minimum = release?.signed.minimumSourceVersion;
    return runningVersion && minimum && semver.lt(runningVersion, minimum)
      ? `needs ${minimum} or newer, runs ${runningVersion}`
      : undefined;
  },
  downgrade: ({ release, assignment, facts }) => {
    const { runningVersion } = facts;
    if (!release || !runningVersion || assignment.allowDowngrade) return undefined;
    return semver.lt(release.signed.version, runningVersion)
      ? `${release.signed.version} is older than ${runningVersion}`
      : undefined;
  },
  size: ({ release, facts }) =>
    !release || release.signed.image.sizeBytes <= facts.slotSizeBytes
      ? undefined
      : `${release.signed.image.sizeBytes} bytes do not fit a slot of ${facts.slotSizeBytes}`,
};

/**
 * Whether a device may act on an assignment. Every check is made on every path, and no setting
 * leaves one out.
 */
export function verifyAssignment(
  message: unknown,
  trust: DeviceTrust,
  facts: DeviceFacts,
): Verdict {
  return verifyWith(VERIFICATION_CHECKS, message, trust, facts);
}

/** With these checks only: for the test that each of them is needed. */
export function verifyWith(
  checks: readonly VerificationCheck[],
  message: unknown,
  trust: DeviceTrust,
  facts: DeviceFacts,
): Verdict {
  const formatFault = checks.includes("format") ? faultOfFormat(message) : undefined;
  if (formatFault) return refuse("format", formatFault, trust);
  const judged = prepare(message as AssignmentMessage, trust, facts);
  let believed = trust;
  for (const check of checks) {
    if (check === "format") continue;
    const fault = CHECKS[check](judged);
    if (fault !== undefined) return refuse(check, fault, believed);
    // TUF §5.3.8: a new root counts from the moment that it was found good.
    if (check === "root-chain") believed = afterRoots(judged);
    if (check === "metadata-binding") believed = { ...believed, versions: versionsOf(judged) };
  }
  return { accepted: true, trust: believed };
}

/** The roots alone: what a device makes of a chain that came without an assignment. */
export function followRoots(
  roots: readonly unknown[],
  trust: DeviceTrust,
): { trust: DeviceTrust; fault: string | undefined } {
  let believed = trust;
  for (const next of roots) {
    if (!isRootEnvelope(next)) return { trust: believed, fault: "it is no trust root" };
    const current = believed.root.signed;
    if (next.signed.version <= current.version) continue;
    const fault =
      next.signed.tenant === current.tenant
        ? rootFault(current, next)
        : `the root is for tenant ${next.signed.tenant}`;
    if (fault) return { trust: believed, fault };
    const versions = hasNewOnlineKeys(current, next.signed) ? NO_VERSIONS : believed.versions;
    believed = { root: next, versions, path: [...(believed.path ?? []), next] };
  }
  return { trust: believed, fault: undefined };
}

function faultOfFormat(message: unknown): string | undefined {
  if (!isAssignmentEnvelope(message)) return "the assignment is malformed";
  const { release, action } = message.signed;
  if (action !== "cancel" && !isReleaseEnvelope(release)) return "the release is malformed";
  const { metadata } = message as Partial<AssignmentMessage>;
  if (!isMetadataBundle(metadata)) return "the metadata is missing or malformed";
  try {
    canonicalJson(message);
    return undefined;
  } catch {
    return "the assignment holds what cannot be signed";
  }
}

function prepare(message: AssignmentMessage, trust: DeviceTrust, facts: DeviceFacts): Judged {
  const { signed: assignment, metadata } = message;
  const held = trust.root.signed;
  const newRoots = metadata.roots
    .filter(({ signed }) => signed.version > held.version)
    .sort((left, right) => left.signed.version - right.signed.version);
  const root = newRoots.at(-1)?.signed ?? held;
  const chain = [held, ...newRoots.map(({ signed }) => signed)];
  const isReset = chain.some((each, index) => {
    const before = chain[index - 1];
    return before !== undefined && hasNewOnlineKeys(before, each);
  });
  return {
    message,
    assignment,
    metadata,
    release: assignment.action === "cancel" ? null : assignment.release,
    trust,
    root,
    newRoots,
    floors: isReset ? NO_VERSIONS : trust.versions,
    facts,
  };
}

function afterRoots({ trust, newRoots, floors }: Judged): DeviceTrust {
  const root = newRoots.at(-1);
  if (!root) return { ...trust, versions: floors };
  return { root, versions: floors, path: [...(trust.path ?? []), ...newRoots] };
}

function versionsOf({ metadata }: Judged): MetadataVersions {
  return {
    timestamp: metadata.timestamp.signed.version,
    snapshot: metadata.snapshot.signed.version,
    targets: metadata.targets?.signed.version ?? 0,
  };
}

function bytesOf(envelope: Envelope<unknown>): Buffer {
  return Buffer.from(canonicalJson(envelope));
}

function refuse(check: VerificationCheck, message: string, trust: DeviceTrust): Verdict {
  return { accepted: false, check, message, trust };
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
