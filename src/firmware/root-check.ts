import { AppError, LIMITS } from "../kernel/index.ts";
import { storableJson } from "../kernel/storable.ts";
import {
  canonicalJson,
  type Envelope,
  isRootEnvelope,
  isTargetsEnvelope,
  meetsThreshold,
  type RootMetadata,
  rootFault,
  type SigningKey,
  type SigningRole,
  type TargetsMetadata,
  unusableKey,
  validSigners,
} from "../protocol/index.ts";

const MAX_KEYS = 64;
const MAX_DELEGATIONS = 100;
const MAX_VERSION = 0x7fffffff; // PostgreSQL's integer.
const OFFLINE_ROLES = ["root", "targets"] as const;
const ONLINE_ROLES = ["snapshot", "timestamp"] as const;

export interface RootFacts {
  tenantId: string;
  /** The one in force, or null before the first. */
  current: RootMetadata | null;
  /** Ids of the keys that the platform holds, by what they are for. */
  held: { director: readonly string[]; repository: readonly string[] };
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
  assertNext("root", root.version, facts.current?.version);
  if (!meetsThreshold(envelope, root.roles.root, root.keys)) {
    throw unsigned("root", envelope, { ...root.roles.root, keys: root.keys }, "its own root role");
  }
  if (facts.current && rootFault(facts.current, envelope)) {
    const { version, roles, keys } = facts.current;
    throw unsigned("root", envelope, { ...roles.root, keys }, `root version ${version}`);
  }
  checkOnlineKeys(root, facts.held);
  return envelope;
}

/** A root of the right shape with readable keys and roles that can be met; unsigned as yet. */
export function parseRoot(value: unknown): Envelope<RootMetadata> {
  assertType(value, "root");
  if (!isRootEnvelope(value)) {
    throw refuse("it lacks what a root has: tenant, version, expiry, keys, and each of its roles");
  }
  const root = value.signed;
  if (root.version > MAX_VERSION) throw refuse("its version is too large");
  checkKeys(root.keys);
  const roles = { ...root.roles, director: root.director };
  for (const [name, role] of Object.entries(roles)) checkRole(name, role, root.keys);
  checkSignable(value);
  return value;
}

export interface TargetsFacts {
  tenantId: string;
  root: RootMetadata;
  current: TargetsMetadata | null;
  /** Keys that are online must not sign what runs, by whatever way. */
  heldKeyIds: readonly string[];
  nowMs: number;
}

/** Whether `value` may say whose keys sign which products' releases from now on. */
export function checkTargets(value: unknown, facts: TargetsFacts): Envelope<TargetsMetadata> {
  const envelope = parseTargets(value);
  const targets = envelope.signed;
  const { root } = facts;
  if (targets.tenant !== facts.tenantId) throw refuse(`it is for tenant ${targets.tenant}`);
  if (!(Date.parse(targets.expires) > facts.nowMs)) {
    throw refuse(`it expired at ${targets.expires}`);
  }
  assertNext("targets", targets.version, facts.current?.version);
  if (!meetsThreshold(envelope, root.roles.targets, root.keys)) {
    const role = { ...root.roles.targets, keys: root.keys };
    throw unsigned("delegations", envelope, role, `the targets role of root ${root.version}`);
  }
  for (const { name, keyids } of targets.delegations?.roles ?? []) {
    const online = keyids.find((keyid) => facts.heldKeyIds.includes(keyid));
    if (online) throw refuse(`key ${online} is online and must not sign releases (${name})`);
  }
  return envelope;
}

/** Delegations of the right shape; nothing is said about their signatures. */
export function parseTargets(value: unknown): Envelope<TargetsMetadata> {
  assertType(value, "targets");
  if (!isTargetsEnvelope(value)) throw refuse("it lacks what a targets document has");
  const { delegations, targets, version } = value.signed;
  if (version > MAX_VERSION) throw refuse("its version is too large");
  if (Object.keys(targets).length > 0) {
    throw refuse("releases are documents of their own: `targets` stays empty");
  }
  const roles = delegations?.roles ?? [];
  if (roles.length > MAX_DELEGATIONS) throw refuse(`it has more than ${MAX_DELEGATIONS} roles`);
  checkKeys(delegations?.keys ?? {});
  for (const role of roles) {
    checkRole(role.name, role, delegations?.keys ?? {});
    // A product has one role that decides: which one is plain from the order.
    if (!role.terminating) throw refuse(`the role ${role.name} must be terminating`);
    if (role.paths.length === 0) throw refuse(`the role ${role.name} has no paths`);
  }
  checkSignable(value);
  return value;
}

function assertType(value: unknown, type: string): void {
  const signed = (value as Envelope<{ _type?: unknown }> | null)?.signed;
  if (typeof signed !== "object" || signed === null) {
    throw refuse("it is no envelope with `signed` and `signatures`");
  }
  if (signed._type !== type) throw refuse(`its type is not "${type}"`);
}

function assertNext(what: string, version: number, current = 0): void {
  const expected = current + 1;
  if (version === expected) return;
  throw new AppError("conflict", `the next version of the ${what} is ${expected}`, {
    expectedVersion: expected,
    actualVersion: version,
  });
}

function checkKeys(keys: Readonly<Record<string, SigningKey>>): void {
  if (Object.keys(keys).length > MAX_KEYS) throw refuse(`it names more than ${MAX_KEYS} keys`);
  const unusable = unusableKey(keys);
  if (unusable) throw refuse(`key ${unusable} cannot be read, or is not what its id says`);
  const material = Object.values(keys).map((key) => key.keyval.public);
  if (new Set(material).size !== material.length) throw refuse("it names one key by two ids");
}

function checkRole(name: string, role: SigningRole, keys: object): void {
  const { keyids, threshold } = role;
  if (!keyids.every((keyid) => Object.hasOwn(keys, keyid))) {
    throw refuse(`the role ${name} names a key that is not there`);
  }
  if (threshold > keyids.length) {
    throw refuse(`the role ${name} has a threshold that its keys cannot meet`);
  }
}

/** Two keys to ship: whoever holds the server must not thereby hold a key that signs firmware. */
function checkOnlineKeys(root: RootMetadata, held: RootFacts["held"]): void {
  const online = [...held.director, ...held.repository];
  for (const name of OFFLINE_ROLES) {
    const shared = root.roles[name].keyids.find((keyid) => online.includes(keyid));
    if (shared) throw refuse(`key ${shared} is online and must sign neither releases nor roots`);
  }
  const wanted = [
    ["director", root.director, held.director],
    ...ONLINE_ROLES.map((name) => [name, root.roles[name], held.repository] as const),
  ] as const;
  for (const [name, role, ids] of wanted) {
    const [only, second] = role.keyids;
    if (!only || second || role.threshold !== 1 || !ids.includes(only)) {
      throw refuse(`the role ${name} must be met by a key of the platform's alone`, { held: ids });
    }
  }
}

function checkSignable(envelope: Envelope<unknown>): void {
  let text: string;
  try {
    text = canonicalJson(envelope);
  } catch (cause) {
    throw refuse("it holds what cannot be signed", {}, cause);
  }
  if (text.length > LIMITS.manifestBytes) throw refuse("it is too large");
  if (storableJson(envelope) !== JSON.stringify(envelope)) {
    throw refuse("it holds text that is not valid Unicode");
  }
}

function refuse(message: string, details: Record<string, unknown> = {}, cause?: unknown): AppError {
  return new AppError("trust-root-invalid", message, details, { cause });
}

function unsigned(
  what: string,
  envelope: Envelope<unknown>,
  role: SigningRole & { keys: Readonly<Record<string, SigningKey>> },
  whose: string,
): AppError {
  const { threshold } = role;
  const valid = validSigners(envelope, role, role.keys).length;
  return new AppError(
    "signature-invalid",
    `the ${what} has ${valid} of the ${threshold} valid signatures by keys of ${whose} that it needs`,
    { threshold, valid },
  );
}
