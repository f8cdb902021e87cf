import {
  delegationsFor,
  type Envelope,
  hasBytesOf,
  hasExpired,
  hasNewOnlineKeys,
  isTufRoot,
  isTufSnapshot,
  isTufTargets,
  isTufTimestamp,
  type MetaFile,
  meetsThreshold,
  type RootMetadata,
  rolledBackFile,
  rootFault,
  type SigningKey,
  type SigningRole,
  type SnapshotMetadata,
  type TargetsMetadata,
  type TimestampMetadata,
} from "../../src/protocol/index.ts";

/** Where documents are fetched: the bytes under a name, undefined where there are none. */
export type Repository = (name: string) => Buffer | undefined;

const MAX_ROOTS = 64;
const MAX_ROLES = 32;

/** TUF's client workflow (specification 1.0, §5), role by role, made of the device's own rules. */
export class TufClient {
  root: Envelope<RootMetadata>;
  timestamp: Envelope<TimestampMetadata> | undefined;
  snapshot: Envelope<SnapshotMetadata> | undefined;
  readonly targets = new Map<string, Envelope<TargetsMetadata>>();

  constructor(trusted: Buffer) {
    const root = parse(trusted);
    if (!isTufRoot(root) || !meetsThreshold(root, root.signed.roles.root, root.signed.keys)) {
      throw new Error("the trusted root is not signed by its own keys");
    }
    this.root = root;
  }

  refresh(fetch: Repository, nowMs: number): void {
    this.#updateRoot(fetch);
    if (hasExpired(this.root.signed, nowMs)) throw new Error("root expired");
    this.#updateTimestamp(fetch, nowMs);
    this.#updateSnapshot(fetch, nowMs);
    this.loadTargets(
      "targets",
      this.root.signed.roles.targets,
      this.root.signed.keys,
      fetch,
      nowMs,
    );
  }

  /** §5.6.7: pre-order, depth first; the name of the role that has the path, in visiting order. */
  find(path: string, fetch: Repository, nowMs: number): { found: boolean; visited: string[] } {
    const visited: string[] = [];
    const seen = new Set(["targets"]);
    const stack: { name: string; role: SigningRole; keys: Record<string, SigningKey> }[] = [];
    let current = this.targets.get("targets");
    for (let count = 0; count < MAX_ROLES; count += 1) {
      if (current && path in current.signed.targets) return { found: true, visited };
      const { delegations } = current?.signed ?? {};
      const fitting = current ? delegationsFor(current.signed, path) : [];
      if (fitting.at(-1)?.terminating) stack.length = 0;
      const keys = delegations?.keys ?? {};
      stack.push(...fitting.map((role) => ({ name: role.name, role, keys })).reverse());
      let next = stack.pop();
      while (next && seen.has(next.name)) next = stack.pop();
      if (!next) return { found: false, visited };
      seen.add(next.name);
      visited.push(next.name);
      current = this.loadTargets(next.name, next.role, next.keys, fetch, nowMs);
    }
    return { found: false, visited };
  }

  loadTargets(
    name: string,
    role: SigningRole,
    keys: Record<string, SigningKey>,
    fetch: Repository,
    nowMs: number,
  ): Envelope<TargetsMetadata> {
    const meta = this.snapshot?.signed.meta[`${name}.json`];
    if (!meta) throw new Error(`${name} is not in the snapshot`);
    const bytes = needed(fetch(`${meta.version}.${encodeURIComponent(name)}.json`), name);
    const targets = parse(bytes);
    if (!isTufTargets(targets)) throw new Error(`${name} is no targets document`);
    this.#accept(name, targets, meta, bytes, { role, keys }, nowMs);
    this.targets.set(name, targets);
    return targets;
  }

  #updateRoot(fetch: Repository): void {
    for (let count = 0; count < MAX_ROOTS; count += 1) {
      const bytes = fetch(`${this.root.signed.version + 1}.root.json`);
      if (!bytes) return;
      const next = parse(bytes);
      if (!isTufRoot(next)) throw new Error("no root");
      const fault = rootFault(this.root.signed, next);
      if (fault) throw new Error(fault);
      if (hasNewOnlineKeys(this.root.signed, next.signed)) {
        this.timestamp = undefined;
        this.snapshot = undefined;
      }
      this.root = next;
    }
  }

  #updateTimestamp(fetch: Repository, nowMs: number): void {
    const next = parse(needed(fetch("timestamp.json"), "timestamp"));
    const { roles, keys } = this.root.signed;
    if (!isTufTimestamp(next)) throw new Error("no timestamp");
    if (!meetsThreshold(next, roles.timestamp, keys)) throw new Error("timestamp: signatures");
    const held = this.timestamp?.signed;
    if (held && next.signed.version < held.version) throw new Error("timestamp: rollback");
    if (held && next.signed.version === held.version) {
      if (hasExpired(held, nowMs)) throw new Error("timestamp expired");
      return;
    }
    const before = held?.meta ?? {};
    if (rolledBackFile(before, next.signed.meta)) throw new Error("snapshot: rollback");
    if (hasExpired(next.signed, nowMs)) throw new Error("timestamp expired");
    this.timestamp = next;
  }

  #updateSnapshot(fetch: Repository, nowMs: number): void {
    const meta = needed(this.timestamp?.signed.meta["snapshot.json"], "snapshot");
    const bytes = needed(fetch(`${meta.version}.snapshot.json`), "snapshot");
    const next = parse(bytes);
    if (!isTufSnapshot(next)) throw new Error("no snapshot");
    const lost = rolledBackFile(this.snapshot?.signed.meta ?? {}, next.signed.meta);
    if (lost) throw new Error(`${lost}: rollback`);
    const { roles, keys } = this.root.signed;
    this.#accept("snapshot", next, meta, bytes, { role: roles.snapshot, keys }, nowMs);
    this.snapshot = next;
  }

  #accept(
    name: string,
    envelope: Envelope<{ version: number; expires: string }>,
    meta: MetaFile,
    bytes: Buffer,
    by: { role: SigningRole; keys: Record<string, SigningKey> },
    nowMs: number,
  ): void {
    if (!hasBytesOf(meta, bytes)) throw new Error(`${name}: hash`);
    if (!meetsThreshold(envelope, by.role, by.keys)) throw new Error(`${name}: signatures`);
    if (envelope.signed.version !== meta.version) throw new Error(`${name}: version`);
    if (hasExpired(envelope.signed, nowMs)) throw new Error(`${name} expired`);
  }
}

function parse(bytes: Buffer): unknown {
  return JSON.parse(bytes.toString("utf8"));
}

function needed<Value>(value: Value | undefined, what: string): Value {
  if (value === undefined) throw new Error(`${what} is missing`);
  return value;
}
