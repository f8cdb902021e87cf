import type { Envelope, SigningKey, SigningRole } from "./signing.ts";

/** Patch and image formats that an agent can say it applies. */
export const ARTIFACT_FORMATS = [
  "full",
  "full-zstd",
  "zstd-patch",
  "vdelta-fast",
  "vdelta-small",
] as const;
export type ArtifactFormat = (typeof ARTIFACT_FORMATS)[number];

/** The root of a tenant's trust: offline keys and what each of them may sign (TUF's root role). */
export interface RootMetadata {
  _type: "root";
  specVersion: 1;
  /** Rises by one with each rotation; the next root is signed by this one's and its own keys. */
  version: number;
  tenant: string;
  /** ISO 8601. */
  expires: string;
  keys: Record<string, SigningKey>;
  roles: {
    root: SigningRole;
    /** Offline: releases, by threshold. */
    release: SigningRole;
    /** Online: which device gets which release. */
    director: SigningRole;
  };
}

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
  image: { name: string; sha256: string; sizeBytes: number };
  createdAt: string;
  expires: string;
  notes?: string;
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
  deadlines: PhaseDeadlines;
  traceparent: string | null;
}

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
