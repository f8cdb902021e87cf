import { createHash } from "node:crypto";
import { canonicalJson } from "./canonical-json.ts";
import {
  type Envelope,
  MAX_SIGNATURES,
  publicKeyOf,
  type SigningKey,
  type SigningRole,
  signingKeyId,
} from "./signing.ts";

/**
 * The four roles of The Update Framework, with TUF's own field names (specification 1.0, §4), and
 * beside them what is ours: the tenant, the director, and a product for each snapshot and timestamp.
 */
export const TUF_VERSION = "1.0.31";

interface Common<Type extends string> {
  _type: Type;
  spec_version: string;
  version: number;
  /** ISO 8601 in UTC. */
  expires: string;
}

/** Whose keys may sign what; offline. Its next version is signed by this one's keys and its own. */
export interface RootMetadata extends Common<"root"> {
  consistent_snapshot: boolean;
  keys: Record<string, SigningKey>;
  roles: {
    root: SigningRole;
    /** Offline: releases that are not delegated, and delegations. */
    targets: SigningRole;
    /** Online. */
    snapshot: SigningRole;
    /** Online. */
    timestamp: SigningRole;
  };
  tenant: string;
  /** Online: which device gets which release (Uptane's director). */
  director: SigningRole;
}

/** Offline: which products' releases other keys sign. */
export interface TargetsMetadata extends Common<"targets"> {
  targets: Record<string, unknown>;
  delegations?: { keys: Record<string, SigningKey>; roles: DelegatedRole[] };
  tenant: string;
}

export interface DelegatedRole extends SigningRole {
  name: string;
  /** Of `<product>/<version>`; `*` and `?` do not reach over a slash. */
  paths: string[];
  terminating: boolean;
}

/** Which version of another document is meant, and its bytes. */
export interface MetaFile {
  version: number;
  length?: number;
  hashes?: Record<string, string>;
}

/** Online: all documents of one product that are good together. */
export interface SnapshotMetadata extends Common<"snapshot"> {
  /** `targets.json`, and `<product>/<version>.json` for each release that is on offer. */
  meta: Record<string, MetaFile>;
  tenant: string;
  product: string;
}

/** Online, short-lived: which snapshot is the newest. */
export interface TimestampMetadata extends Common<"timestamp"> {
  meta: { "snapshot.json": MetaFile };
  tenant: string;
  product: string;
}

/** All that a device needs besides what it holds. */
export interface MetadataBundle {
  /** The newest roots in the order of their versions. */
  roots: Envelope<RootMetadata>[];
  timestamp: Envelope<TimestampMetadata>;
  snapshot: Envelope<SnapshotMetadata>;
  /** Null where nothing is delegated. */
  targets: Envelope<TargetsMetadata> | null;
}

/** Roots that a bundle carries at most; a device that is further behind fetches the chain. */
export const MAX_ROOTS_IN_BUNDLE = 32;

/** The name under which a snapshot lists a release. */
export function releaseFileName(release: { product: string; version: string }): string {
  return `${release.product}/${release.version}.json`;
}

/** The bytes of a document are the canonical ones: however it travelled, its hash is the same. */
export function metaFileOf(envelope: Envelope<unknown>, version: number): Required<MetaFile> {
  const bytes = Buffer.from(canonicalJson(envelope));
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { version, length: bytes.length, hashes: { sha256 } };
}

export function isEnvelope(value: unknown): value is Envelope<Record<string, unknown>> {
  const envelope = value as Envelope<unknown> | null;
  if (typeof envelope !== "object" || envelope === null) return false;
  if (typeof envelope.signed !== "object" || envelope.signed === null) return false;
  const { signatures } = envelope;
  if (!Array.isArray(signatures) || signatures.length > MAX_SIGNATURES) return false;
  if (!signatures.every((each) => typeof each?.keyid === "string" && typeof each.sig === "string"))
    return false;
  // TUF §4.2: the keyid must be unique in the signatures.
  return new Set(signatures.map(({ keyid }) => keyid)).size === signatures.length;
}

function isCommon(signed: Record<string, unknown>, type: string): boolean {
  return (
    signed._type === type &&
    typeof signed.spec_version === "string" &&
    /^1\.\d+(\.\d+)?$/.test(signed.spec_version) &&
    Number.isSafeInteger(signed.version) &&
    (signed.version as number) >= 1 &&
    typeof signed.expires === "string" &&
    !Number.isNaN(Date.parse(signed.expires))
  );
}

const ROOT_ROLES = ["root", "targets", "snapshot", "timestamp"] as const;

/** A root as TUF has it; `isRootEnvelope` asks for our own members besides. */
export function isTufRoot(value: unknown): value is Envelope<RootMetadata> {
  if (!isEnvelope(value) || !isCommon(value.signed, "root")) return false;
  const root = value.signed as unknown as RootMetadata;
  if (!isKeyTable(root.keys) || !isObject(root.roles)) return false;
  return ROOT_ROLES.every((name) => isRole(root.roles[name]));
}

export function isRootEnvelope(value: unknown): value is Envelope<RootMetadata> {
  return (
    isTufRoot(value) && typeof value.signed.tenant === "string" && isRole(value.signed.director)
  );
}

export function isTufTargets(value: unknown): value is Envelope<TargetsMetadata> {
  if (!isEnvelope(value) || !isCommon(value.signed, "targets")) return false;
  const targets = value.signed as unknown as TargetsMetadata;
  if (!isObject(targets.targets)) return false;
  const { delegations } = targets;
  if (delegations === undefined) return true;
  return (
    isObject(delegations) &&
    isKeyTable(delegations.keys) &&
    Array.isArray(delegations.roles) &&
    delegations.roles.every(isDelegation) &&
    new Set(delegations.roles.map(({ name }) => name)).size === delegations.roles.length
  );
}

export function isTargetsEnvelope(value: unknown): value is Envelope<TargetsMetadata> {
  return isTufTargets(value) && typeof value.signed.tenant === "string";
}

export function isTufSnapshot(value: unknown): value is Envelope<SnapshotMetadata> {
  if (!isEnvelope(value) || !isCommon(value.signed, "snapshot")) return false;
  const { meta } = value.signed;
  return isObject(meta) && Object.values(meta).every(isMetaFile);
}

export function isSnapshotEnvelope(value: unknown): value is Envelope<SnapshotMetadata> {
  return isTufSnapshot(value) && isOwned(value.signed);
}

export function isTufTimestamp(value: unknown): value is Envelope<TimestampMetadata> {
  if (!isEnvelope(value) || !isCommon(value.signed, "timestamp")) return false;
  const { meta } = value.signed as unknown as TimestampMetadata;
  return isObject(meta) && isMetaFile(meta["snapshot.json"]);
}

export function isTimestampEnvelope(value: unknown): value is Envelope<TimestampMetadata> {
  return isTufTimestamp(value) && isOwned(value.signed);
}

export function isMetadataBundle(value: unknown): value is MetadataBundle {
  const bundle = value as Partial<MetadataBundle> | null;
  return (
    isObject(bundle) &&
    Array.isArray(bundle.roots) &&
    bundle.roots.length <= MAX_ROOTS_IN_BUNDLE &&
    bundle.roots.every(isRootEnvelope) &&
    isTimestampEnvelope(bundle.timestamp) &&
    isSnapshotEnvelope(bundle.snapshot) &&
    (bundle.targets === null || isTargetsEnvelope(bundle.targets))
  );
}

function isOwned(signed: { tenant?: unknown; product?: unknown }): boolean {
  return typeof signed.tenant === "string" && typeof signed.product === "string";
}

function isDelegation(value: DelegatedRole): boolean {
  return (
    isRole(value) &&
    typeof value.name === "string" &&
    typeof value.terminating === "boolean" &&
    Array.isArray(value.paths) &&
    value.paths.every((path) => typeof path === "string" && path.length <= MAX_PATTERN)
  );
}

/** Longer ones have no use, and could be slow to match. */
const MAX_PATTERN = 256;

function isMetaFile(value: unknown): value is MetaFile {
  if (!isObject(value)) return false;
  const { version, length, hashes } = value as Partial<MetaFile>;
  return (
    Number.isSafeInteger(version) &&
    (version as number) >= 1 &&
    (length === undefined || (Number.isSafeInteger(length) && length >= 1)) &&
    (hashes === undefined ||
      (isObject(hashes) && Object.values(hashes).every((hash) => typeof hash === "string")))
  );
}

/** TUF §4.3: a threshold from 1, and no key twice. */
export function isRole(value: unknown): value is SigningRole {
  if (!isObject(value)) return false;
  const { keyids, threshold } = value as Partial<SigningRole>;
  return (
    Array.isArray(keyids) &&
    keyids.every((keyid) => typeof keyid === "string") &&
    new Set(keyids).size === keyids.length &&
    Number.isSafeInteger(threshold) &&
    (threshold as number) >= 1
  );
}

function isKeyTable(value: unknown): value is Record<string, SigningKey> {
  if (!isObject(value)) return false;
  return Object.values(value).every((key) => {
    const { keytype, scheme, keyval } = (key ?? {}) as Partial<SigningKey>;
    return (
      typeof keytype === "string" &&
      typeof scheme === "string" &&
      isObject(keyval) &&
      typeof keyval.public === "string"
    );
  });
}

/** Whether every key can be used and is what its id says: asked before documents are taken in. */
export function unusableKey(keys: Readonly<Record<string, SigningKey>>): string | undefined {
  for (const [keyid, key] of Object.entries(keys)) {
    try {
      publicKeyOf(key);
      if (signingKeyId(key) !== keyid) return keyid;
    } catch {
      return keyid;
    }
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
