import { createHash, type KeyObject } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import {
  createRoot,
  generateSigningKey,
  type OnlineKeys,
  readSigningKey,
} from "../firmware/index.ts";
import {
  type Envelope,
  type ReleaseManifest,
  type RootMetadata,
  signDocument,
  signingKeyOf,
} from "../protocol/index.ts";

const YEAR_MS = 365 * 86_400_000;

/** The keys that a tenant's people keep off the server. */
export interface OfflineKeys {
  root: KeyObject;
  /** Two people; both must sign. */
  release: [KeyObject, KeyObject];
}

export const KEY_FILES = ["root.pem", "release-1.pem", "release-2.pem"] as const;

/**
 * The keys of a tenant of the demo, made at the first call. They lie in the demo's folder, so that
 * whoever plays with it can sign more releases; those of a real fleet never come near the server.
 */
export function offlineKeys(directory: string): OfflineKeys {
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const [root, first, second] = KEY_FILES.map((name) => {
    const file = path.join(directory, name);
    if (!fs.existsSync(file)) {
      const { privateKeyPem } = generateSigningKey({});
      fs.writeFileSync(`${file}.new`, privateKeyPem, { mode: 0o600 });
      fs.renameSync(`${file}.new`, file);
    }
    return readSigningKey(fs.readFileSync(file, "utf8"));
  });
  return { root: root as KeyObject, release: [first as KeyObject, second as KeyObject] };
}

export function hasOfflineKeys(directory: string): boolean {
  return KEY_FILES.every((name) => fs.existsSync(path.join(directory, name)));
}

/** The tenant's trust root: both release keys must sign; the platform's director key assigns. */
export function makeTrustRoot(
  tenant: string,
  keys: OfflineKeys,
  online: OnlineKeys,
): Envelope<RootMetadata> {
  const { signed } = createRoot({
    tenant,
    version: 1,
    expires: new Date(Date.now() + YEAR_MS).toISOString(),
    root: { keys: [signingKeyOf(keys.root)], threshold: 1 },
    release: { keys: keys.release.map(signingKeyOf), threshold: 2 },
    online,
  });
  return signDocument(signed, [keys.root]);
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
