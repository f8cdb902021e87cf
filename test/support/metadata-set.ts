import { generateKeyPairSync, type KeyObject } from "node:crypto";
import {
  type Assignment,
  type AssignmentMessage,
  type DeviceFacts,
  type DeviceTrust,
  type Envelope,
  type MetaFile,
  metaFileOf,
  type ReleaseManifest,
  type RootMetadata,
  releaseFileName,
  type SigningRole,
  type SnapshotMetadata,
  signDocument,
  signingKeyId,
  signingKeyOf,
  type TargetsMetadata,
  type TimestampMetadata,
  TUF_VERSION,
} from "../../src/protocol/index.ts";

export const NOW = Date.UTC(2026, 5, 1);
export const LATER = new Date(NOW + 86_400_000).toISOString();
export const SHA = (letter: string) => letter.repeat(64);

const ed25519 = (): KeyObject => generateKeyPairSync("ed25519").privateKey;
const p256 = (): KeyObject => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const keyIdOf = (key: KeyObject) => signingKeyId(signingKeyOf(key));
export const roleOf = (keys: KeyObject[], threshold = 1): SigningRole => ({
  keyids: keys.map(keyIdOf),
  threshold,
});
export const tableOf = (keys: KeyObject[]) =>
  Object.fromEntries(keys.map((key) => [keyIdOf(key), signingKeyOf(key)]));

/** One tenant's people: two of three sign the pump's releases, one signs the valve's. */
export const KEYS = {
  root: [ed25519(), p256()],
  nextRoot: [ed25519(), p256()],
  targets: [ed25519()],
  pump: [ed25519(), p256(), ed25519()],
  valve: [ed25519()],
  snapshot: [ed25519()],
  timestamp: [p256()],
  director: [ed25519()],
  stranger: [ed25519()],
} as const satisfies Record<string, KeyObject[]>;
export type KeyName = keyof typeof KEYS;

/** Everything that a device is shown, before it is signed: cases change it at will. */
export interface MetadataSet {
  trusted: RootMetadata;
  newRoots: { signed: RootMetadata; signers: KeyObject[] }[];
  targets: TargetsMetadata | null;
  snapshot: SnapshotMetadata;
  timestamp: TimestampMetadata;
  release: ReleaseManifest;
  assignment: Omit<Assignment, "release"> & { release?: Assignment["release"] };
  signers: Record<"targets" | "snapshot" | "timestamp" | "release" | "director", KeyObject[]>;
  versions: DeviceTrust["versions"];
  facts: DeviceFacts;
  /** After the snapshot lists its documents, before it is signed; likewise the timestamp. */
  editMeta: ((meta: Record<string, MetaFile>) => void)[];
  editTimestamp: ((meta: MetaFile) => void)[];
  /** What somebody does to the signed release before the director signs, and others after. */
  editRelease?: (release: Envelope<ReleaseManifest>) => void;
  /** What somebody on the way does to the finished message. */
  tamper: ((message: AssignmentMessage) => void)[];
}

/** A set that every check accepts. */
export function goodSet(): MetadataSet {
  const common = (version: number) => ({
    spec_version: TUF_VERSION,
    version,
    expires: LATER,
    tenant: "acme",
  });
  const all = Object.values(KEYS).flat();
  return {
    trusted: {
      _type: "root",
      ...common(1),
      consistent_snapshot: true,
      keys: tableOf(all),
      roles: {
        root: roleOf([...KEYS.root], 2),
        targets: roleOf([...KEYS.targets]),
        snapshot: roleOf([...KEYS.snapshot]),
        timestamp: roleOf([...KEYS.timestamp]),
      },
      director: roleOf([...KEYS.director]),
    },
    newRoots: [],
    targets: {
      _type: "targets",
      ...common(3),
      targets: {},
      delegations: {
        keys: tableOf([...KEYS.pump, ...KEYS.valve]),
        roles: [
          { name: "pump", ...roleOf([...KEYS.pump], 2), paths: ["pump/*"], terminating: true },
          { name: "valve", ...roleOf([...KEYS.valve]), paths: ["valve/*"], terminating: true },
        ],
      },
    },
    snapshot: { _type: "snapshot", ...common(5), meta: {}, product: "pump" },
    timestamp: {
      _type: "timestamp",
      ...common(9),
      meta: { "snapshot.json": { version: 5 } },
      product: "pump",
    },
    release: {
      _type: "release",
      specVersion: 1,
      tenant: "acme",
      product: "pump",
      version: "1.1.0",
      hardwareRevisions: ["a", "b"],
      securityCounter: 3,
      minimumSourceVersion: "1.0.0",
      image: { name: "pump.bin", sha256: SHA("b"), sizeBytes: 1000 },
      createdAt: new Date(NOW - 86_400_000).toISOString(),
      expires: LATER,
    },
    assignment: {
      _type: "assignment",
      specVersion: 1,
      tenant: "acme",
      device: "pump-1",
      updateId: "u-1",
      sequence: 8,
      action: "install",
      issuedAt: new Date(NOW - 86_400_000).toISOString(),
      expires: LATER,
      allowDowngrade: false,
      artifacts: [
        {
          format: "full",
          url: "https://x/a",
          sha256: SHA("b"),
          sizeBytes: 1000,
          sourceSha256: null,
        },
      ],
      deadlines: { offered: 1, downloading: 1, installing: 1, rebooting: 1, confirming: 1 },
      traceparent: null,
    },
    signers: {
      targets: [...KEYS.targets],
      snapshot: [...KEYS.snapshot],
      timestamp: [...KEYS.timestamp],
      release: [KEYS.pump[0], KEYS.pump[1]],
      director: [...KEYS.director],
    },
    versions: { timestamp: 9, snapshot: 5, targets: 3 },
    facts: {
      tenant: "acme",
      device: "pump-1",
      product: "pump",
      hardwareRevision: "a",
      runningVersion: "1.0.0",
      runningSha256: SHA("a"),
      securityFloor: 3,
      lastSequence: 7,
      slotSizeBytes: 1000,
      trustedTimeMs: NOW,
    },
    editMeta: [],
    editTimestamp: [],
    tamper: [],
  };
}

/** The next root after `set`'s newest, as it would be signed in good order. */
export function addRoot(set: MetadataSet, change: Partial<RootMetadata> = {}) {
  const before = set.newRoots.at(-1)?.signed ?? set.trusted;
  const signed = structuredClone({ ...before, version: before.version + 1, ...change });
  const added = { signed, signers: [...KEYS.root] as KeyObject[] };
  set.newRoots.push(added);
  return added;
}

export interface SignedSet {
  message: AssignmentMessage;
  trust: DeviceTrust;
  facts: DeviceFacts;
}

/** Signs from the release up to the timestamp, each naming the one before. */
export function signSet(set: MetadataSet): SignedSet {
  const release = structuredClone(signDocument(set.release, set.signers.release));
  set.editRelease?.(release);
  const targets = set.targets && signDocument(set.targets, set.signers.targets);
  const meta: Record<string, MetaFile> = { ...set.snapshot.meta };
  if (targets) meta["targets.json"] = metaFileOf(targets, targets.signed.version);
  meta[releaseFileName(release.signed)] = metaFileOf(release, 1);
  for (const edit of set.editMeta) edit(meta);
  const snapshot = signDocument({ ...set.snapshot, meta }, set.signers.snapshot);
  const named = metaFileOf(snapshot, snapshot.signed.version);
  for (const edit of set.editTimestamp) edit(named);
  const timestamp = signDocument(
    { ...set.timestamp, meta: { "snapshot.json": named } },
    set.signers.timestamp,
  );
  const assignment = signDocument(
    { release, ...set.assignment } as Assignment,
    set.signers.director,
  );
  const roots = set.newRoots.map(({ signed, signers }) => signDocument(signed, signers));
  const message = structuredClone({
    ...assignment,
    metadata: { roots, timestamp, snapshot, targets },
  });
  for (const edit of set.tamper) edit(message);
  const root: Envelope<RootMetadata> = signDocument(set.trusted, [...KEYS.root]);
  return { message, trust: { root, versions: set.versions }, facts: set.facts };
}
