import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import {
  type Envelope,
  type ReleaseManifest,
  type RootMetadata,
  type SigningKey,
  signDocument,
  signingKeyId,
  signingKeyOf,
} from "../protocol/index.ts";

const YEAR_MS = 365 * 86_400_000;

/** The keys that a tenant's people keep off the server: here, in this process's memory. */
export interface OfflineKeys {
  root: KeyObject;
  /** Two people; both must sign. */
  release: [KeyObject, KeyObject];
}

export function makeOfflineKeys(): OfflineKeys {
  const key = () => generateKeyPairSync("ed25519").privateKey;
  return { root: key(), release: [key(), key()] };
}

/** The tenant's trust root: both release keys must sign; the platform's director key assigns. */
export function makeTrustRoot(
  tenant: string,
  keys: OfflineKeys,
  director: SigningKey,
): Envelope<RootMetadata> {
  const root = signingKeyOf(keys.root);
  const release = keys.release.map(signingKeyOf);
  const all = [root, ...release, director];
  return signDocument<RootMetadata>(
    {
      _type: "root",
      specVersion: 1,
      version: 1,
      tenant,
      expires: new Date(Date.now() + YEAR_MS).toISOString(),
      keys: Object.fromEntries(all.map((key) => [signingKeyId(key), key])),
      roles: {
        root: { keyIds: [signingKeyId(root)], threshold: 1 },
        release: { keyIds: release.map(signingKeyId), threshold: 2 },
        director: { keyIds: [signingKeyId(director)], threshold: 1 },
      },
    },
    [keys.root],
  );
}

/** A signed manifest for `image`, as `vautn firmware build` and `sign` make it. */
export function signRelease(
  tenant: string,
  version: string,
  image: Buffer,
  hardwareRevisions: string[],
  keys: OfflineKeys,
): Envelope<ReleaseManifest> {
  return signDocument<ReleaseManifest>(
    {
      _type: "release",
      specVersion: 1,
      tenant,
      product: "hub",
      version,
      hardwareRevisions,
      securityCounter: 1,
      minimumSourceVersion: null,
      image: {
        name: `hub-${version}.bin`,
        sha256: createHash("sha256").update(image).digest("hex"),
        sizeBytes: image.length,
      },
      createdAt: new Date().toISOString(),
      expires: new Date(Date.now() + YEAR_MS).toISOString(),
    },
    keys.release,
  );
}
