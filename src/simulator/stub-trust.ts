import { generateKeyPairSync, type KeyObject } from "node:crypto";
import type { Clock } from "../kernel/index.ts";
import {
  type Envelope,
  type MetadataBundle,
  metaFileOf,
  type ReleaseManifest,
  type RootMetadata,
  releaseFileName,
  type SigningRole,
  type SnapshotMetadata,
  signDocument,
  signingKeyId,
  signingKeyOf,
  TUF_VERSION,
} from "../protocol/index.ts";

const DAY_MS = 86_400_000;

/** The keys of a tenant that is simulated, and the metadata that they sign. */
export class StubTrust {
  readonly releaseKeys: KeyObject[];
  readonly director: KeyObject;
  readonly roots: Envelope<RootMetadata>[];
  readonly #tenant: string;
  readonly #clock: Clock;
  readonly #repository: KeyObject;
  readonly #meta = new Map<string, SnapshotMetadata["meta"]>();
  #version = 0;

  constructor(options: { tenant: string; clock: Clock }) {
    this.#tenant = options.tenant;
    this.#clock = options.clock;
    const makeKey = () => generateKeyPairSync("ed25519").privateKey;
    const rootKey = makeKey();
    this.director = makeKey();
    this.#repository = makeKey();
    this.releaseKeys = [makeKey(), makeKey()];
    this.roots = [this.#signRoot(rootKey)];
  }

  /** What a device needs to judge `release`; without one, a cancellation for `product`. */
  bundle(release: Envelope<ReleaseManifest> | null, product: string): MetadataBundle {
    const of = release?.signed.product ?? product;
    const meta = this.#meta.get(of) ?? {};
    if (release) meta[releaseFileName(release.signed)] = metaFileOf(release, 1);
    this.#meta.set(of, meta);
    this.#version += 1;
    const common = {
      spec_version: TUF_VERSION,
      version: this.#version,
      expires: new Date(this.#clock.now() + DAY_MS).toISOString(),
      tenant: this.#tenant,
      product: of,
    };
    const online = [this.#repository];
    const snapshot = signDocument(
      { _type: "snapshot" as const, ...common, meta: structuredClone(meta) },
      online,
    );
    const named = { "snapshot.json": metaFileOf(snapshot, this.#version) };
    const timestamp = signDocument({ _type: "timestamp" as const, ...common, meta: named }, online);
    return { roots: this.roots, timestamp, snapshot, targets: null };
  }

  #signRoot(rootKey: KeyObject): Envelope<RootMetadata> {
    const all = [rootKey, this.director, this.#repository, ...this.releaseKeys].map(signingKeyOf);
    const role = (keys: KeyObject[], threshold = 1): SigningRole => ({
      keyids: keys.map((key) => signingKeyId(signingKeyOf(key))),
      threshold,
    });
    const online = role([this.#repository]);
    return signDocument<RootMetadata>(
      {
        _type: "root",
        spec_version: TUF_VERSION,
        version: 1,
        expires: new Date(this.#clock.now() + 365 * DAY_MS).toISOString(),
        consistent_snapshot: true,
        keys: Object.fromEntries(all.map((key) => [signingKeyId(key), key])),
        roles: {
          root: role([rootKey]),
          targets: role(this.releaseKeys, 2),
          snapshot: online,
          timestamp: online,
        },
        tenant: this.#tenant,
        director: role([this.director]),
      },
      [rootKey],
    );
  }
}
