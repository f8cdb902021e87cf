import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import { createRoot, type OnlineKeys } from "../../src/firmware/index.ts";
import {
  type Envelope,
  type ReleaseManifest,
  type RootMetadata,
  signDocument,
  signingKeyOf,
} from "../../src/protocol/index.ts";

export const YEAR_MS = 365 * 86_400_000;

export function makeKey(): KeyObject {
  return generateKeyPairSync("ed25519").privateKey;
}

export function makeOnlineKeys(): OnlineKeys {
  return { director: signingKeyOf(makeKey()), repository: signingKeyOf(makeKey()) };
}

export interface TrustKeys {
  root: KeyObject;
  release: KeyObject[];
}

/** A root for `tenant` that asks for `threshold` of the release keys, signed by its root key. */
export function makeRoot(
  tenant: string,
  keys: TrustKeys,
  online: OnlineKeys,
  options: { version?: number; threshold?: number; expires?: string; signers?: KeyObject[] } = {},
): Envelope<RootMetadata> {
  const { signed } = createRoot({
    tenant,
    version: options.version ?? 1,
    expires: options.expires ?? new Date(Date.now() + YEAR_MS).toISOString(),
    root: { keys: [signingKeyOf(keys.root)], threshold: 1 },
    release: {
      keys: keys.release.map(signingKeyOf),
      threshold: options.threshold ?? keys.release.length,
    },
    online,
  });
  return signDocument(signed, options.signers ?? [keys.root]);
}

export function makeManifest(
  image: Buffer,
  options: Partial<ReleaseManifest> & { tenant: string; version: string },
): ReleaseManifest {
  return {
    _type: "release",
    specVersion: 1,
    product: "hub",
    hardwareRevisions: ["a"],
    securityCounter: 1,
    minimumSourceVersion: null,
    image: {
      name: `hub-${options.version}.bin`,
      sha256: createHash("sha256").update(image).digest("hex"),
      sizeBytes: image.length,
    },
    createdAt: new Date().toISOString(),
    expires: new Date(Date.now() + YEAR_MS).toISOString(),
    ...options,
  };
}
