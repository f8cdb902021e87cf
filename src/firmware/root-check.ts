import { createPublicKey } from "node:crypto";
import { AppError, LIMITS } from "../kernel/index.ts";
import { storableJson } from "../kernel/storable.ts";
import {
  canonicalJson,
  type Envelope,
  meetsThreshold,
  type RootMetadata,
  type SigningKey,
  type SigningRole,
  signingKeyId,
  signingKeyOf,
} from "../protocol/index.ts";

const MAX_KEYS = 64;
const ROLES = ["root", "release", "director"] as const;

export interface RootFacts {
  tenantId: string;
  /** Version in force, or null before the first. */
  current: RootMetadata | null;
  /** The platform's online key, which must be the one that assigns. */
  directorKeyId: string;
  nowMs: number;
}

/**
 * Whether `value` may become the tenant's trust root. The first root has version 1 and signs
 * itself; each later one is the next version, signed by the thresholds of the root before it and
 * of itself (TUF §5.3).
 */
export function checkRoot(value: unknown, facts: RootFacts): Envelope<RootMetadata> {
  const envelope = parseRoot(value);
  const root = envelope.signed;
  if (root.tenant !== facts.tenantId) throw refuse(`the root is for tenant ${root.tenant}`);
  if (!(Date.parse(root.expires) > facts.nowMs)) throw refuse(`it expired at ${root.expires}`);
  const expected = (facts.current?.version ?? 0) + 1;
  if (root.version !== expected) {
    throw new AppError("conflict", `the next version of the root is ${expected}`, {
      expectedVersion: expected,
      actualVersion: root.version,
    });
  }
  if (facts.current && !meetsThreshold(envelope, facts.current.roles.root, facts.current.keys)) {
    throw unsigned(facts.current.roles.root, `root version ${facts.current.version}`);
  }
  if (!meetsThreshold(envelope, root.roles.root, root.keys)) {
    throw unsigned(root.roles.root, "its own root role");
  }
  checkDirector(root, facts.directorKeyId);
  return envelope;
}

/** A root of the right shape with readable keys and roles that can be met; unsigned as yet. */
export function parseRoot(value: unknown): Envelope<RootMetadata> {
  const envelope = value as Envelope<RootMetadata> | null;
  const root = envelope?.signed;
  if (typeof root !== "object" || root === null || !Array.isArray(envelope?.signatures)) {
    throw refuse("it is no envelope with `signed` and `signatures`");
  }
  if (root._type !== "root" || root.specVersion !== 1) throw refuse("it is no root of version 1");
  if (typeof root.tenant !== "string" || typeof root.expires !== "string") {
    throw refuse("it lacks a tenant or a time of expiry");
  }
  // PostgreSQL's integer bounds the version.
  if (!Number.isInteger(root.version) || root.version < 1 || root.version > 0x7fffffff) {
    throw refuse("its version is no whole number from 1");
  }
  checkKeys(root.keys);
  for (const name of ROLES) checkRole(name, root.roles?.[name], root.keys);
  checkSignable(envelope);
  return envelope as Envelope<RootMetadata>;
}

function checkKeys(keys: unknown): void {
  if (typeof keys !== "object" || keys === null) throw refuse("it names no keys");
  const entries = Object.entries(keys as Record<string, SigningKey>);
  if (entries.length > MAX_KEYS) throw refuse(`it names more than ${MAX_KEYS} keys`);
  for (const [keyId, key] of entries) {
    let readable: SigningKey;
    try {
      const der = Buffer.from(key.value, "base64");
      readable = signingKeyOf(createPublicKey({ key: der, format: "der", type: "spki" }));
    } catch (cause) {
      throw refuse(`key ${keyId} cannot be read`, cause);
    }
    if (readable.scheme !== key.scheme || signingKeyId(key) !== keyId) {
      throw refuse(`key ${keyId} is not what its id says`);
    }
  }
}

function checkRole(name: string, role: SigningRole | undefined, keys: object): void {
  if (!role || !Array.isArray(role.keyIds)) throw refuse(`the role ${name} is missing`);
  const { keyIds, threshold } = role;
  if (!keyIds.every((keyId) => Object.hasOwn(keys, keyId))) {
    throw refuse(`the role ${name} names a key that is not there`);
  }
  if (new Set(keyIds).size !== keyIds.length) throw refuse(`the role ${name} names a key twice`);
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > keyIds.length) {
    throw refuse(`the role ${name} has a threshold that its keys cannot meet`);
  }
}

/** Two keys to ship: whoever holds the server must not thereby hold a key that signs firmware. */
function checkDirector(root: RootMetadata, directorKeyId: string): void {
  const { director, release, root: own } = root.roles;
  const shared = director.keyIds.find((id) => [...release.keyIds, ...own.keyIds].includes(id));
  if (shared) throw refuse(`key ${shared} is online and must sign neither releases nor roots`);
  if (!director.keyIds.includes(directorKeyId) || director.threshold !== 1) {
    throw refuse(`the role director must be met by the platform's key ${directorKeyId} alone`, {
      directorKeyId,
    });
  }
}

function checkSignable(envelope: Envelope<unknown>): void {
  let text: string;
  try {
    text = canonicalJson(envelope);
  } catch (cause) {
    throw refuse("it holds what cannot be signed", cause);
  }
  if (text.length > LIMITS.manifestBytes) throw refuse("it is too large");
  if (storableJson(envelope) !== JSON.stringify(envelope)) {
    throw refuse("it holds text that is not valid Unicode");
  }
}

function refuse(message: string, cause?: unknown): AppError {
  return new AppError("trust-root-invalid", message, {}, { cause });
}

function unsigned(role: SigningRole, whose: string): AppError {
  return new AppError(
    "signature-invalid",
    `the root lacks ${role.threshold} valid signature(s) by keys of ${whose}`,
    { threshold: role.threshold },
  );
}
