import { createHash } from "node:crypto";
import { canonicalJson } from "./canonical-json.ts";
import type {
  DelegatedRole,
  MetaFile,
  RootMetadata,
  SnapshotMetadata,
  TargetsMetadata,
} from "./metadata.ts";
import { type Envelope, meetsThreshold, type SigningKey, type SigningRole } from "./signing.ts";

/**
 * The rules of TUF's client workflow (specification 1.0, §5), each by itself: the device's verifier
 * applies all of them, and so does the client that the conformance cases are run against.
 */

/** §5.3: why `next` does not follow `current`, or undefined where it does. */
export function rootFault(current: RootMetadata, next: Envelope<RootMetadata>): string | undefined {
  const { version } = next.signed;
  if (version !== current.version + 1) {
    return `root ${version} does not follow root ${current.version}`;
  }
  if (!meetsThreshold(next, current.roles.root, current.keys)) {
    return `root ${version} lacks ${current.roles.root.threshold} signature(s) of root ${current.version}`;
  }
  if (!meetsThreshold(next, next.signed.roles.root, next.signed.keys)) {
    return `root ${version} lacks ${next.signed.roles.root.threshold} signature(s) of its own keys`;
  }
  return undefined;
}

/**
 * §5.3.11: after the online keys have changed, versions that were signed with the old ones count no
 * more: a thief may have run them up.
 */
export function hasNewOnlineKeys(before: RootMetadata, after: RootMetadata): boolean {
  return (["snapshot", "timestamp"] as const).some((name) =>
    rolesDiffer(before.roles[name], after.roles[name]),
  );
}

function rolesDiffer(left: SigningRole, right: SigningRole): boolean {
  const keyids = ({ keyids }: SigningRole) => [...keyids].sort().join();
  return left.threshold !== right.threshold || keyids(left) !== keyids(right);
}

/** §5.3.10, §5.4.4, §5.5.6, §5.6.5. A date that cannot be read is NaN: expired. */
export function hasExpired(signed: { expires: string }, nowMs: number): boolean {
  return !(Date.parse(signed.expires) > nowMs);
}

/** §5.5.2, §5.5.4, §5.6.2: whether a document is the one that another names. */
export function isNamedBy(
  meta: MetaFile | undefined,
  envelope: Envelope<{ version?: unknown }>,
  bytes = Buffer.from(canonicalJson(envelope)),
): boolean {
  if (!meta || meta.version !== envelope.signed.version) return false;
  return hasBytesOf(meta, bytes);
}

/** Whether these are the bytes; a hash that is of no known kind is none that agrees. */
export function hasBytesOf(meta: MetaFile, bytes: Uint8Array): boolean {
  if (meta.length !== undefined && meta.length !== bytes.length) return false;
  return Object.entries(meta.hashes ?? {}).every(
    ([algorithm, hash]) =>
      (algorithm === "sha256" || algorithm === "sha512") &&
      createHash(algorithm).update(bytes).digest("hex") === hash,
  );
}

/** §5.5.5: a document that was there before has gone, or is older now; its name, or undefined. */
export function rolledBackFile(
  before: Readonly<Record<string, MetaFile>>,
  after: SnapshotMetadata["meta"],
): string | undefined {
  return Object.entries(before).find(
    ([name, { version }]) => !((after[name]?.version ?? 0) >= version),
  )?.[0];
}

/** Who signs the releases of a path: the first delegation that fits, or the targets role itself. */
export function releaseRole(
  root: RootMetadata,
  targets: TargetsMetadata | null,
  path: string,
): { role: SigningRole; keys: Readonly<Record<string, SigningKey>>; name: string } {
  const delegation = delegationsFor(targets, path)[0];
  return delegation && targets?.delegations
    ? { role: delegation, keys: targets.delegations.keys, name: delegation.name }
    : { role: root.roles.targets, keys: root.keys, name: "targets" };
}

/** §5.6.7: the delegations that a path fits, in their order, none behind a terminating one. */
export function delegationsFor(
  targets: Pick<TargetsMetadata, "delegations"> | null,
  path: string,
): DelegatedRole[] {
  const fitting = (targets?.delegations?.roles ?? []).filter((role) =>
    role.paths.some((pattern) => matchesPattern(pattern, path)),
  );
  const end = fitting.findIndex((role) => role.terminating);
  return end < 0 ? fitting : fitting.slice(0, end + 1);
}

/** §4.5: `*` and `?` as in a shell, neither of them over a slash. */
export function matchesPattern(pattern: string, path: string): boolean {
  const patternParts = pattern.split("/");
  const parts = path.split("/");
  return (
    patternParts.length === parts.length &&
    patternParts.every((part, index) => matchesPart(part, parts[index] ?? ""))
  );
}

/** Greedy with one way back, so that the time is bounded by the product of the lengths. */
function matchesPart(pattern: string, text: string): boolean {
  let at = 0;
  let star = -1;
  let resumeAt = 0;
  for (let position = 0; position < text.length; ) {
    const expected = pattern[at];
    if (expected === "*") {
      star = at;
      resumeAt = position;
      at += 1;
    } else if (expected !== undefined && (expected === "?" || expected === text[position])) {
      at += 1;
      position += 1;
    } else if (star >= 0) {
      at = star + 1;
      resumeAt += 1;
      position = resumeAt;
    } else return false;
  }
  return /^\**$/.test(pattern.slice(at));
}
