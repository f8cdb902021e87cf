import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { AppError, isAppError } from "../kernel/index.ts";
import {
  addSignature,
  type Envelope,
  type ReleaseManifest,
  type RootMetadata,
  type SigningKey,
  type SigningRole,
  signingKeyId,
  signingKeyOf,
} from "../protocol/index.ts";
import { checkManifest, parseManifest } from "./manifest-check.ts";
import { parseRoot } from "./root-check.ts";

/**
 * The part of the pipeline that runs away from the server, on the machines of the people who hold
 * the keys: nothing here needs a database or a network.
 */

export interface GeneratedKey {
  /** PKCS#8 PEM; encrypted (AES-256, PBKDF2) where a passphrase was given. */
  privateKeyPem: string;
  publicKeyPem: string;
  keyId: string;
}

export function generateSigningKey(options: {
  scheme?: SigningKey["scheme"];
  passphrase?: string | undefined;
}): GeneratedKey {
  const { privateKey, publicKey } =
    options.scheme === "ecdsa-p256-sha256"
      ? generateKeyPairSync("ec", { namedCurve: "prime256v1" })
      : generateKeyPairSync("ed25519");
  const encryption = options.passphrase
    ? { cipher: "aes-256-cbc", passphrase: options.passphrase }
    : {};
  return {
    privateKeyPem: privateKey.export({ type: "pkcs8", format: "pem", ...encryption }) as string,
    publicKeyPem: publicKey.export({ type: "spki", format: "pem" }) as string,
    keyId: signingKeyId(signingKeyOf(publicKey)),
  };
}

/** A private key from PEM; `invalid-content` where it cannot be read or is of another kind. */
export function readSigningKey(pem: string, passphrase?: string): KeyObject {
  try {
    const key = createPrivateKey({
      key: pem,
      format: "pem",
      ...(passphrase ? { passphrase } : {}),
    });
    signingKeyOf(key);
    return key;
  } catch (cause) {
    const message =
      "the private key cannot be read: wrong passphrase, or neither Ed25519 nor P-256";
    throw new AppError("invalid-content", message, {}, { cause });
  }
}

/** The public half, as signed documents name it, from a public or a plain private key in PEM. */
export function readPublicKey(pem: string): SigningKey {
  try {
    return signingKeyOf(createPublicKey(pem));
  } catch (cause) {
    const message = "the public key cannot be read, or is neither Ed25519 nor P-256";
    throw new AppError("invalid-content", message, {}, { cause });
  }
}

export interface RootOptions {
  tenant: string;
  version: number;
  /** ISO 8601. */
  expires: string;
  root: { keys: readonly SigningKey[]; threshold: number };
  release: { keys: readonly SigningKey[]; threshold: number };
  /** The platform's online key: `GET /tenants/{t}/trust/director-key`. */
  director: SigningKey;
}

/** A root document without signatures; each holder of a root key then adds one with `sign`. */
export function createRoot(options: RootOptions): Envelope<RootMetadata> {
  const { tenant, version, expires, root, release, director } = options;
  const all = [...root.keys, ...release.keys, director];
  const roleOf = (keys: readonly SigningKey[], threshold: number): SigningRole => ({
    keyIds: keys.map(signingKeyId),
    threshold,
  });
  return parseRoot({
    signed: {
      _type: "root",
      specVersion: 1,
      version,
      tenant,
      expires,
      keys: Object.fromEntries(all.map((key) => [signingKeyId(key), key])),
      roles: {
        root: roleOf(root.keys, root.threshold),
        release: roleOf(release.keys, release.threshold),
        director: roleOf([director], 1),
      },
    } satisfies RootMetadata,
    signatures: [],
  });
}

export interface ManifestOptions {
  tenant: string;
  product: string;
  version: string;
  hardwareRevisions: readonly string[];
  securityCounter: number;
  minimumSourceVersion: string | null;
  imageName: string;
  /** Milliseconds since the epoch; pass a fixed time (SOURCE_DATE_EPOCH) to build the same twice. */
  createdAtMs: number;
  validityDays: number;
  notes?: string | undefined;
}

/** A manifest without signatures for `image`. The same inputs give the same bytes. */
export async function buildManifest(
  image: AsyncIterable<Uint8Array>,
  options: ManifestOptions,
): Promise<Envelope<ReleaseManifest>> {
  const { sha256, sizeBytes } = await hashImage(image);
  return parseManifest({
    signed: {
      _type: "release",
      specVersion: 1,
      tenant: options.tenant,
      product: options.product,
      version: options.version,
      hardwareRevisions: [...options.hardwareRevisions].sort(),
      securityCounter: options.securityCounter,
      minimumSourceVersion: options.minimumSourceVersion,
      image: { name: options.imageName, sha256, sizeBytes },
      createdAt: new Date(options.createdAtMs).toISOString(),
      expires: new Date(options.createdAtMs + options.validityDays * 86_400_000).toISOString(),
      ...(options.notes ? { notes: options.notes } : {}),
    } satisfies ReleaseManifest,
    signatures: [],
  });
}

/** Adds a signature to a root or a release; what is neither is refused, so nothing is signed blind. */
export function sign(
  envelope: Envelope<unknown>,
  privateKey: KeyObject,
): Envelope<RootMetadata> | Envelope<ReleaseManifest> {
  const type = (envelope?.signed as { _type?: unknown } | null)?._type;
  return type === "root"
    ? addSignature(parseRoot(envelope), privateKey)
    : addSignature(parseManifest(envelope), privateKey);
}

export interface Verification {
  accepted: boolean;
  /** Why not, in the words of the platform's own refusal. */
  reason: string | null;
  signers: string[];
  threshold: number;
}

/** What the platform would say to this release, and whether the image is the one that it names. */
export async function verifyRelease(
  envelope: unknown,
  root: Envelope<RootMetadata>,
  options: { nowMs: number; image?: AsyncIterable<Uint8Array> },
): Promise<Verification> {
  const { signed } = parseRoot(root);
  const { threshold } = signed.roles.release;
  try {
    const facts = { tenantId: signed.tenant, root: signed, nowMs: options.nowMs };
    const { signed: manifest, signatures } = checkManifest(envelope, facts);
    const signers = signatures.map((signature) => signature.keyId);
    const image = options.image && (await hashImage(options.image));
    const same = !image || image.sha256 === manifest.image.sha256;
    const reason = same ? null : `the image has hash ${image.sha256}`;
    return { accepted: same, reason, signers, threshold };
  } catch (error) {
    if (!isAppError(error)) throw error;
    const signers = (error.details.validSigners as string[] | undefined) ?? [];
    return { accepted: false, reason: error.message, signers, threshold };
  }
}

async function hashImage(
  image: AsyncIterable<Uint8Array>,
): Promise<{ sha256: string; sizeBytes: number }> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of image) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { sha256: hash.digest("hex"), sizeBytes };
}
