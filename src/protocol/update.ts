import type { MetadataBundle } from "./metadata.ts";
import type { Envelope, SigningKey } from "./signing.ts";

/** Patch and image formats that an agent can say it applies. */
export const ARTIFACT_FORMATS = [
  "full",
  "full-zstd",
  "zstd-patch",
  "vdelta-fast",
  "vdelta-small",
  "unpacked-fast",
  "unpacked-small",
] as const;
export type ArtifactFormat = (typeof ARTIFACT_FORMATS)[number];

/** What a release is; signed offline. */
export interface ReleaseManifest {
  _type: "release";
  specVersion: 1;
  tenant: string;
  product: string;
  /** Semantic version. */
  version: string;
  hardwareRevisions: string[];
  /** Devices refuse a release whose counter is below their floor. */
  securityCounter: number;
  /** Oldest version from which the update may start, or null for any. */
  minimumSourceVersion: string | null;
  /** What fills a slot. */
  image: ReleaseFile;
  /** Further files of the same release, by name: a bootloader, a co-processor's image. */
  components?: ReleaseComponent[];
  createdAt: string;
  expires: string;
  /** What is new, for people; Markdown. */
  notes?: string;
  /** The bill of materials and where the files come from, as documents beside the image. */
  sbom?: ReleaseDocument & { format: "cyclonedx" | "spdx" };
  provenance?: ReleaseDocument & {
    predicateType: string;
    /** Public keys of those who may vouch; one of them has signed it. Empty: nobody was asked. */
    keys: SigningKey[];
  };
}

export interface ReleaseFile {
  name: string;
  sha256: string;
  sizeBytes: number;
  /** What the content was recognised as, e.g. `swu`, `rauc-bundle`, `elf`; absent: not looked at. */
  kind?: string;
  /** What the content says of itself: its version, what it is compatible with. */
  facts?: Record<string, string>;
}

export interface ReleaseComponent extends ReleaseFile {
  /** What it is for; the same word again in the next release. */
  component: string;
}

/** A document that is named by its hash and never goes to devices. */
export interface ReleaseDocument {
  name: string;
  sha256: string;
  sizeBytes: number;
}

/** One way to obtain the image. */
export interface ArtifactOffer {
  format: ArtifactFormat;
  /** Absolute URL on the devices' HTTPS port. */
  url: string;
  sha256: string;
  sizeBytes: number;
  /** SHA-256 of the image that a patch needs, or null for full images. */
  sourceSha256: string | null;
}

/** Where a further file of the release is to be had; as it is, never as a patch. */
export interface ComponentOffer {
  component: string;
  url: string;
  sha256: string;
  sizeBytes: number;
}

/** How long each phase may take, in milliseconds; silence past it is a failure. */
export interface PhaseDeadlines {
  offered: number;
  downloading: number;
  installing: number;
  rebooting: number;
  confirming: number;
}

/**
 * The order to one device; signed online by the director.
 * `install` fetches and installs, `switch-slot` boots the other slot if it holds the image (and
 * installs where it does not), `cancel` ends `updateId` if it has not rebooted yet.
 */
export interface Assignment {
  _type: "assignment";
  specVersion: 1;
  tenant: string;
  device: string;
  updateId: string;
  /** Rises with each assignment to this device: an older one is a replay. */
  sequence: number;
  action: "install" | "switch-slot" | "cancel";
  issuedAt: string;
  expires: string;
  /** Whether a version lower than the running one is meant (rollback). */
  allowDowngrade: boolean;
  release: Envelope<ReleaseManifest> | null;
  artifacts: ArtifactOffer[];
  /** One for each component of the release; absent where it has none. */
  components?: ComponentOffer[];
  deadlines: PhaseDeadlines;
  traceparent: string | null;
}

/** What a device is sent: the assignment, and the metadata by which it is to be judged. */
export type AssignmentMessage = Envelope<Assignment> & { metadata: MetadataBundle };

/** In the order that an update passes through them. */
export const UPDATE_PHASES = [
  "offered",
  "downloading",
  "installing",
  "rebooting",
  "confirming",
  "succeeded",
  "failed",
  "fell-back",
  "rejected",
] as const;
export type UpdatePhase = (typeof UPDATE_PHASES)[number];

export const FINAL_PHASES: readonly UpdatePhase[] = [
  "succeeded",
  "failed",
  "fell-back",
  "rejected",
];

export function isFinalPhase(phase: UpdatePhase): boolean {
  return FINAL_PHASES.includes(phase);
}
