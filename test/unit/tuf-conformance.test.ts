import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, expect, it } from "vitest";
import { type Envelope, metaFileOf, signDocument } from "../../src/protocol/index.ts";
import { roleOf, tableOf } from "../support/metadata-set.ts";
import { TufClient } from "../support/tuf-client.ts";

/**
 * The cases of theupdateframework/tuf-conformance, by the names that they have there, told again for
 * a client that is made of the device's rules. Not taken over: what is about a client's command line,
 * files and requests (`basic_refresh_requests`, `metadata_bytes_match`, `artifact_cache`, the static
 * repositories, which are others' data), target files (`file_download`: a release is no target
 * file here), and RSA keys (`keytype_and_scheme[rsa]`: releases are signed with Ed25519 or P-256).
 */
const NOW = Date.UTC(2026, 5, 1);
const DAY = 86_400_000;
const at = (days: number) => new Date(NOW + days * DAY).toISOString();
const ROLES = ["root", "timestamp", "snapshot", "targets"] as const;
type Role = (typeof ROLES)[number];
type Signed = { version: number; expires: string } & Record<string, unknown>;

const newKey = (): KeyObject => generateKeyPairSync("ed25519").privateKey;

class Repository {
  readonly files = new Map<string, Buffer>();
  readonly signers: Record<string, KeyObject[]> = {};
  readonly signed: Record<string, Signed> = {};
  hashes = false;

  constructor() {
    for (const role of ROLES) this.signers[role] = [newKey()];
    const base = (_type: string) => ({
      _type,
      spec_version: "1.0.31",
      version: 0,
      expires: at(30),
    });
    const roles = Object.fromEntries(ROLES.map((role) => [role, roleOf(this.signers[role] ?? [])]));
    const keys = tableOf(ROLES.flatMap((role) => this.signers[role] ?? []));
    this.signed.root = { ...base("root"), consistent_snapshot: true, keys, roles };
    this.signed.targets = { ...base("targets"), targets: {} };
    this.signed.snapshot = { ...base("snapshot"), meta: {} };
    this.signed.timestamp = { ...base("timestamp"), meta: {} };
    this.publish(...ROLES.toReversed());
  }

  get root() {
    return this.signed.root as unknown as {
      keys: Record<string, unknown>;
      roles: Record<string, { keyids: string[]; threshold: number }>;
      expires: string;
    };
  }

  fetch = (name: string) => this.files.get(name);

  /** Signs the next version of each, and names it in the one above. */
  publish(...names: string[]): void {
    const order = [
      "root",
      ...Object.keys(this.signed).filter((name) => !(ROLES as readonly string[]).includes(name)),
      "targets",
      "snapshot",
      "timestamp",
    ];
    for (const name of order.filter((each) => names.includes(each))) {
      const signed = this.signed[name] as Signed;
      signed.version += 1;
      this.put(name, signDocument(structuredClone(signed), this.signers[name] ?? []));
    }
  }

  put(name: string, envelope: Envelope<Signed>): void {
    const bytes = Buffer.from(JSON.stringify(envelope));
    const { version } = envelope.signed;
    const encoded = encodeURIComponent(name);
    this.files.set(name === "timestamp" ? "timestamp.json" : `${version}.${encoded}.json`, bytes);
    const above =
      name === "snapshot" ? "timestamp" : name === "root" || name === "timestamp" ? "" : "snapshot";
    if (!above) return;
    const meta = (this.signed[above] as Signed).meta as Record<string, object>;
    const sha256 = metaFileOf(envelope, version);
    meta[`${name}.json`] = this.hashes
      ? { ...sha256, length: bytes.length, hashes: { sha256: hashOf(bytes) } }
      : { version };
  }

  setRole(role: Role, keys: KeyObject[], threshold = 1, signers = keys): void {
    this.root.keys = { ...this.root.keys, ...tableOf(keys) };
    this.root.roles[role] = roleOf(keys, threshold);
    this.signers[role] = signers;
  }

  edit(file: string, change: (envelope: Envelope<Signed>) => void): void {
    const envelope = JSON.parse((this.files.get(file) as Buffer).toString());
    change(envelope);
    this.files.set(file, Buffer.from(JSON.stringify(envelope)));
  }
}

import { createHash } from "node:crypto";

const hashOf = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const begin = () => {
  const repo = new Repository();
  return { repo, client: new TufClient(repo.fetch("1.root.json") as Buffer) };
};
const versions = ({ root, timestamp, snapshot, targets }: TufClient) => ({
  root: root.signed.version,
  timestamp: timestamp?.signed.version,
  snapshot: snapshot?.signed.version,
  targets: targets.get("targets")?.signed.version,
});

describe("tuf-conformance", () => {
  const refuses = (client: TufClient, repo: Repository, why: RegExp, days = 0) =>
    expect(() => client.refresh(repo.fetch, NOW + days * DAY)).toThrow(why);
  const accepts = (client: TufClient, repo: Repository, days = 0) =>
    client.refresh(repo.fetch, NOW + days * DAY);

  it("basic_refresh_trusted_data, metadata hashes", () => {
    for (const hashes of [false, true]) {
      const { repo, client } = begin();
      repo.hashes = hashes;
      repo.publish("targets", "snapshot", "timestamp");
      accepts(client, repo);
      expect(versions(client)).toEqual({ root: 1, timestamp: 2, snapshot: 2, targets: 2 });
    }
  });

  it("invalid_initial_root, unsigned_initial_root", () => {
    const { repo } = begin();
    repo.edit("1.root.json", ({ signatures }) => {
      signatures[0]!.sig = "00".repeat(64);
    });
    expect(() => new TufClient(repo.fetch("1.root.json") as Buffer)).toThrow(/not signed/);
    repo.edit("1.root.json", ({ signed }) => {
      delete (signed as { version?: number }).version;
    });
    expect(() => new TufClient(repo.fetch("1.root.json") as Buffer)).toThrow(/not signed/);
  });

  it.each(ROLES)("unsigned_metadata[%s], url_and_metadata_version_mismatch", (role) => {
    const { repo, client } = begin();
    repo.signers[role] = [];
    repo.publish(...ROLES);
    refuses(client, repo, /lacks|signatures/);
    if (role === "timestamp") return;
    const other = begin();
    other.repo.publish(...ROLES);
    other.repo.edit(`2.${role}.json`, (envelope) => {
      const signed = { ...envelope.signed, version: 3 };
      Object.assign(envelope, signDocument(signed, other.repo.signers[role] ?? []));
    });
    refuses(other.client, other.repo, /version|follow/);
  });

  it("timestamp_content_changes", () => {
    const { repo, client } = begin();
    accepts(client, repo);
    const held = client.timestamp;
    repo.edit("timestamp.json", (envelope) => {
      const meta = { "snapshot.json": { version: 100 } };
      Object.assign(
        envelope,
        signDocument({ ...envelope.signed, meta }, repo.signers.timestamp ?? []),
      );
    });
    accepts(client, repo);
    expect(client.timestamp).toBe(held);
  });

  it.each(["targets", "snapshot"])("%s_hash_mismatch, %s_404", (role) => {
    for (const spoil of ["hash", "absent"]) {
      const { repo, client } = begin();
      repo.hashes = true;
      repo.publish("targets", "snapshot", "timestamp");
      accepts(client, repo);
      repo.publish("targets", "snapshot", "timestamp");
      if (spoil === "absent") repo.files.delete(`3.${role}.json`);
      else
        repo.files.set(
          `3.${role}.json`,
          Buffer.concat([repo.files.get(`3.${role}.json`) as Buffer, Buffer.from(" ")]),
        );
      refuses(client, repo, /hash|missing/);
      expect(versions(client)[role as "targets"]).toBe(2);
    }
  });

  it("timestamp_404, incorrect_metadata_type", () => {
    const { repo, client } = begin();
    const { snapshot } = repo.signed;
    repo.put(
      "timestamp",
      signDocument(
        { ...snapshot, meta: { "snapshot.json": { version: 1 } } } as Signed,
        repo.signers.timestamp ?? [],
      ),
    );
    refuses(client, repo, /no timestamp/);
    repo.files.delete("timestamp.json");
    refuses(client, repo, /timestamp is missing/);
  });

  it("custom_fields, deprecated_keyid_hash_algorithms", () => {
    const { repo, client } = begin();
    Object.assign(repo.root, { "custom-field": "value" });
    Object.assign(repo.root.roles.root as object, { "another-field": "value" });
    repo.publish("root");
    accepts(client, repo);
    expect(client.root.signed.version).toBe(2);
  });

  it("root_expired, timestamp_expired, snapshot_expired, targets_expired", () => {
    for (const role of ROLES) {
      const { repo, client } = begin();
      accepts(client, repo);
      (repo.signed[role] as Signed).expires = at(-1);
      repo.publish(...ROLES);
      refuses(client, repo, /expired/);
      expect(versions(client).root).toBe(2);
      if (role !== "root") expect(versions(client)[role]).toBe(1);
    }
  });

  it("expired_local_root, expired_local_timestamp, faketime", () => {
    const { repo, client } = begin();
    repo.root.expires = at(7);
    repo.publish("root");
    accepts(client, repo);
    refuses(client, repo, /root expired/, 8);
    repo.root.expires = at(21);
    (repo.signed.timestamp as Signed).expires = at(21);
    repo.publish(...ROLES);
    accepts(client, repo, 18);
  });

  it("snapshot_does_not_meet_threshold, snapshot_has_too_few_keys", () => {
    const { repo, client } = begin();
    const keys = [newKey(), newKey(), newKey()];
    repo.setRole("snapshot", keys, 3);
    repo.publish(...ROLES);
    accepts(client, repo);
    repo.signers.snapshot = keys.slice(0, 2);
    repo.publish("targets", "snapshot", "timestamp");
    refuses(client, repo, /signatures/);
    const other = begin();
    other.repo.setRole("snapshot", keys, 6);
    other.repo.publish(...ROLES);
    refuses(other.client, other.repo, /signatures/);
    expect(other.client.root.signed.version).toBe(2);
  });

  it("duplicate_keys, duplicate_sig_keyids", () => {
    const { repo, client } = begin();
    const key = newKey();
    repo.setRole("snapshot", [key], 2);
    const role = repo.root.roles.snapshot as { keyids: string[] };
    role.keyids = [role.keyids[0] as string, role.keyids[0] as string];
    repo.publish(...ROLES);
    refuses(client, repo, /no root/);
    const other = begin();
    other.repo.edit("1.snapshot.json", ({ signatures }) => {
      signatures.push({ ...signatures[0]! });
    });
    refuses(other.client, other.repo, /no snapshot/);
  });

  it.each(["ed25519", "ec"] as const)("keytype_and_scheme[%s]", (kind) => {
    const { repo, client } = begin();
    const key =
      kind === "ec" ? generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey : newKey();
    const [first] = repo.signers.root as [KeyObject];
    repo.setRole("root", [first, key], 2);
    repo.publish("root");
    accepts(client, repo);
    repo.publish("root");
    repo.edit("3.root.json", ({ signatures }) => {
      const [, second] = signatures;
      second!.sig = "b6".repeat(64);
    });
    refuses(client, repo, /lacks/);
    expect(client.root.signed.version).toBe(2);
  });

  it("invalid_sig_in_valid_metadata", () => {
    for (const sig of ["00".repeat(64), ""]) {
      const { repo, client } = begin();
      const [good] = repo.signers.timestamp as [KeyObject];
      repo.setRole("timestamp", [good, newKey()], 1);
      repo.publish(...ROLES);
      repo.edit("timestamp.json", ({ signatures }) => {
        signatures[1]!.sig = sig;
      });
      accepts(client, repo);
    }
  });

  it("new_timestamp_version_rollback, snapshot_rollback, targets_rollback, targets_role_removal", () => {
    for (const role of ["timestamp", "snapshot", "targets"] as const) {
      const { repo, client } = begin();
      repo.publish("targets", "snapshot", "timestamp");
      accepts(client, repo);
      (repo.signed[role] as Signed).version = 0;
      const above = { targets: ["snapshot", "timestamp"], snapshot: ["timestamp"], timestamp: [] }[
        role
      ];
      repo.publish(role, ...above);
      refuses(client, repo, /rollback/);
      expect(versions(client)[role]).toBe(2);
    }
    const { repo, client } = begin();
    const meta = (repo.signed.snapshot as Signed).meta as Record<string, unknown>;
    meta["delegated.json"] = { version: 1 };
    repo.publish("snapshot", "timestamp");
    accepts(client, repo);
    delete meta["delegated.json"];
    repo.publish("snapshot", "timestamp");
    refuses(client, repo, /delegated.json: rollback/);
  });

  it("targets_, new_snapshot_ and new_timestamp_fast_forward_recovery", () => {
    for (const role of ["targets", "snapshot", "timestamp"] as const) {
      const { repo, client } = begin();
      (repo.signed[role] as Signed).version = 99;
      repo.publish("targets", "snapshot", "timestamp");
      accepts(client, repo);
      expect(versions(client)[role]).toBe(100);
      for (const online of ["snapshot", "timestamp"] as const) repo.setRole(online, [newKey()]);
      (repo.signed[role] as Signed).version = 0;
      repo.publish(...ROLES);
      accepts(client, repo);
      expect(versions(client)[role]).toBe(1);
    }
  });

  const sets = Array.from({ length: 10 }, newKey);
  type Version = [keys: number[], threshold: number, signers: number[]];
  const rotations: [string, Version[], boolean][] = [
    [
      "1-of-1-key-rotation",
      [
        [[1], 1, [1]],
        [[2], 1, [2, 1]],
        [[2], 1, [2]],
      ],
      true,
    ],
    [
      "unused-signatures",
      [
        [[1], 1, [3, 1, 4]],
        [[2], 1, [3, 2, 1, 4]],
        [[2], 1, [3, 2, 4]],
      ],
      true,
    ],
    [
      "3-of-5-different-keycombos",
      [
        [[0, 1, 2, 3, 4], 3, [0, 2, 4]],
        [[0, 1, 2, 3, 4], 3, [0, 4, 1]],
        [[0, 1, 2, 3, 4], 3, [0, 1, 3]],
      ],
      true,
    ],
    [
      "3-of-5-one-key-rotated",
      [
        [[0, 1, 2, 3, 4], 3, [0, 2, 4]],
        [[0, 1, 3, 4, 5], 3, [0, 4, 1]],
      ],
      true,
    ],
    [
      "3-of-5-all-rotated",
      [
        [[0, 1, 2, 3, 4], 3, [0, 2, 4]],
        [[5, 6, 7, 8, 9], 3, [0, 2, 4, 5, 6, 7]],
        [[5, 6, 7, 8, 9], 3, [5, 6, 7]],
      ],
      true,
    ],
    [
      "threshold-increase",
      [
        [[1, 2, 3], 1, [1]],
        [[1, 2, 3], 2, [1, 2]],
      ],
      true,
    ],
    [
      "threshold-decrease",
      [
        [[1, 2, 3], 2, [1, 2]],
        [[1, 2, 3], 1, [1, 2]],
        [[1, 2, 3], 1, [1]],
      ],
      true,
    ],
    [
      "1-of-2-to-2-of-2",
      [
        [[1], 1, [1]],
        [[1, 2], 2, [1, 2]],
      ],
      true,
    ],
    [
      "fail-not-signed-with-old-key",
      [
        [[1], 1, [1]],
        [[2], 1, [2, 3, 4]],
      ],
      false,
    ],
    [
      "fail-not-signed-with-new-key",
      [
        [[1], 1, [1]],
        [[2], 1, [1, 3, 4]],
      ],
      false,
    ],
    [
      "fail-not-3-new-keys",
      [
        [[0, 1, 2, 3, 4], 3, [0, 2, 4]],
        [[0, 1, 3, 4, 5], 3, [0, 2, 4]],
      ],
      false,
    ],
    [
      "fail-not-3-old-keys",
      [
        [[0, 1, 2, 3, 4], 3, [0, 2, 4]],
        [[0, 1, 3, 4, 5], 3, [0, 4, 5]],
      ],
      false,
    ],
    [
      "fail-new-threshold",
      [
        [[1, 2, 3], 1, [1]],
        [[1, 2, 3], 2, [2]],
      ],
      false,
    ],
    [
      "fail-old-threshold",
      [
        [[1, 2, 3], 2, [1, 2]],
        [[1, 2, 3], 1, [1]],
      ],
      false,
    ],
  ];
  it.each(rotations)("root_rotation[%s]", (_, steps, isGood) => {
    const repo = new Repository();
    const pick = (numbers: number[]) => numbers.map((number) => sets[number] as KeyObject);
    (repo.signed.root as Signed).version = 0;
    for (const [keys, threshold, signers] of steps) {
      repo.setRole("root", pick(keys), threshold, pick(signers));
      repo.publish("root");
    }
    const client = new TufClient(repo.fetch("1.root.json") as Buffer);
    if (isGood) accepts(client, repo);
    else refuses(client, repo, /lacks/);
    expect(client.root.signed.version).toBe(isGood ? steps.length : steps.length - 1);
  });

  const graphs: [
    string,
    [from: string, to: string, paths?: string[], terminating?: boolean][],
    string[],
  ][] = [
    ["basic-delegation", [["targets", "A"]], ["A"]],
    [
      "single-level",
      [
        ["targets", "A"],
        ["targets", "B"],
      ],
      ["A", "B"],
    ],
    [
      "two-level",
      [
        ["targets", "A"],
        ["targets", "B"],
        ["B", "C"],
      ],
      ["A", "B", "C"],
    ],
    [
      "two-level-DFS",
      [
        ["targets", "A"],
        ["targets", "B"],
        ["A", "C"],
        ["A", "D"],
      ],
      ["A", "C", "D", "B"],
    ],
    [
      "three-level-DFS",
      [
        ["targets", "A"],
        ["targets", "B"],
        ["A", "C"],
        ["C", "D"],
      ],
      ["A", "C", "D", "B"],
    ],
    [
      "two-level-terminating",
      [
        ["targets", "A"],
        ["targets", "B"],
        ["A", "C", ["*"], true],
        ["A", "D"],
      ],
      ["A", "C"],
    ],
    [
      "three-level-terminating",
      [
        ["targets", "A"],
        ["targets", "B"],
        ["A", "C", ["*"], true],
        ["C", "D"],
      ],
      ["A", "C", "D"],
    ],
    [
      "not-matching-paths",
      [
        ["targets", "A", ["*.py"]],
        ["targets", "B"],
        ["A", "C"],
      ],
      ["B"],
    ],
    [
      "three-level-not-matching",
      [
        ["targets", "A"],
        ["targets", "B"],
        ["A", "C", ["*.py"]],
        ["C", "D"],
      ],
      ["A", "B"],
    ],
    [
      "cyclic-graph",
      [
        ["targets", "A"],
        ["targets", "B"],
        ["B", "C"],
        ["C", "D"],
        ["D", "B"],
      ],
      ["A", "B", "C", "D"],
    ],
    [
      "two-roles-to-a-third",
      [
        ["targets", "A"],
        ["targets", "B"],
        ["B", "C"],
        ["A", "C"],
      ],
      ["A", "C", "B"],
    ],
    [
      "different-paths",
      [
        ["targets", "A"],
        ["targets", "B"],
        ["B", "C"],
        ["A", "C", ["*.py"]],
      ],
      ["A", "B", "C"],
    ],
  ];
  it.each(graphs)("graph_traversal[%s]", (_, edges, expected) => {
    const { repo, client } = begin();
    const key = newKey();
    for (const [from, to, paths = ["*"], terminating = false] of edges) {
      repo.signers[to] = [key];
      repo.signed[to] ??= {
        _type: "targets",
        spec_version: "1.0.31",
        version: 0,
        expires: at(30),
        targets: {},
      };
      const holder = repo.signed[from] as { delegations?: { keys: object; roles: object[] } };
      holder.delegations ??= { keys: tableOf([key]), roles: [] };
      holder.delegations.roles.push({ name: to, ...roleOf([key]), paths, terminating });
    }
    repo.publish(...Object.keys(repo.signed).filter((name) => name !== "root"));
    accepts(client, repo);
    expect(client.find("missingpath", repo.fetch, NOW)).toEqual({
      found: false,
      visited: expected,
    });
  });
});
