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
  addSignatureOf,
  type Envelope,
  type ReleaseFile,
  type ReleaseManifest,
  type RootMetadata,
  releaseFileName,
  releaseRole,
  type Signer,
  type SigningKey,
  type SigningRole,
  signingKeyId,
  signingKeyOf,
  type TargetsMetadata,
  TUF_VERSION,
} from "../protocol/index.ts";
import { checkManifest, parseManifest } from "./manifest-check.ts";
import type { OnlineKeys } from "./online-keys.ts";
import { parseRoot, parseTargets } from "./root-check.ts";

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
    options.scheme === "ecdsa-sha2-nistp256"
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
  /** Who signs releases that are not delegated, and delegations (TUF's targets role). */
  release: { keys: readonly SigningKey[]; threshold: number };
  /** The platform's keys: `GET /tenants/{t}/trust/online-keys`. */
  online: OnlineKeys;
}

/** A root document without signatures; each holder of a root key then adds one with `sign`. */
export function createRoot(options: RootOptions): Envelope<RootMetadata> {
  const { tenant, version, expires, root, release, online } = options;
  const all = [...root.keys, ...release.keys, online.director, online.repository];
  const repository = roleOf([online.repository], 1);
  return parseRoot({
    signed: {
      _type: "root",
      spec_version: TUF_VERSION,
      version,
      expires,
      consistent_snapshot: true,
      keys: keyTable(all),
      roles: {
        root: roleOf(root.keys, root.threshold),
        targets: roleOf(release.keys, release.threshold),
        snapshot: repository,
        timestamp: repository,
      },
      tenant,
      director: roleOf([online.director], 1),
    } satisfies RootMetadata,
    signatures: [],
  });
}

export interface Delegation {
  name: string;
  /** Products, or patterns of `<product>/<version>`. */
  products: readonly string[];
  keys: readonly SigningKey[];
  threshold: number;
}

/** Who signs the releases of which products; the holders of the targets role sign this. */
export function createTargets(options: {
  tenant: string;
  version: number;
  expires: string;
  delegations: readonly Delegation[];
}): Envelope<TargetsMetadata> {
  const { tenant, version, expires, delegations } = options;
  return parseTargets({
    signed: {
      _type: "targets",
      spec_version: TUF_VERSION,
      version,
      expires,
      targets: {},
      delegations: {
        keys: keyTable(delegations.flatMap(({ keys }) => keys)),
        roles: delegations.map(({ name, products, keys, threshold }) => ({
          name,
          ...roleOf(keys, threshold),
          paths: products.map((product) => (product.includes("/") ? product : `${product}/*`)),
          terminating: true,
        })),
      },
      tenant,
    } satisfies TargetsMetadata,
    signatures: [],
  });
}

function roleOf(keys: readonly SigningKey[], threshold: number): SigningRole {
  return { keyids: keys.map(signingKeyId), threshold };
}

function keyTable(keys: readonly SigningKey[]): Record<string, SigningKey> {
  return Object.fromEntries(keys.map((key) => [signingKeyId(key), key]));
}

export interface ManifestFacts {
  tenant: string;
  product: string;
  version: string;
  hardwareRevisions: readonly string[];
  securityCounter: number;
  minimumSourceVersion: string | null;
  /** Milliseconds since the epoch; pass a fixed time (SOURCE_DATE_EPOCH) to build the same twice. */
  createdAtMs: number;
  validityDays: number;
  notes?: string | undefined;
  components?: ReleaseManifest["components"];
  sbom?: ReleaseManifest["sbom"] | null;
  provenance?: ReleaseManifest["provenance"] | null;
}

export type ManifestOptions = ManifestFacts & { imageName: string };

/** A manifest without signatures for `image`. The same inputs give the same bytes. */
export async function buildManifest(
  image: AsyncIterable<Uint8Array>,
  options: ManifestOptions,
): Promise<Envelope<ReleaseManifest>> {
  const hashed = await hashContent(image);
  return assembleManifest({ ...options, image: { name: options.imageName, ...hashed } });
}

export function assembleManifest(
  facts: ManifestFacts & { image: ReleaseFile },
): Envelope<ReleaseManifest> {
  const { image, components = [], sbom, provenance, notes } = facts;
  return parseManifest({
    signed: {
      _type: "release",
      specVersion: 1,
      tenant: facts.tenant,
      product: facts.product,
      version: facts.version,
      hardwareRevisions: [...facts.hardwareRevisions].sort(),
      securityCounter: facts.securityCounter,
      minimumSourceVersion: facts.minimumSourceVersion,
      image,
      ...(components.length > 0 ? { components } : {}),
      createdAt: new Date(facts.createdAtMs).toISOString(),
      expires: new Date(facts.createdAtMs + facts.validityDays * 86_400_000).toISOString(),
      ...(notes ? { notes } : {}),
      ...(sbom ? { sbom } : {}),
      ...(provenance ? { provenance } : {}),
    } satisfies ReleaseManifest,
    signatures: [],
  });
}

/** Adds a signature; a document of no known kind is refused, so that nothing is signed blind. */
export function sign(envelope: Envelope<unknown>, privateKey: KeyObject): Signable {
  return addSignature<Signable["signed"]>(parseSignable(envelope), privateKey) as Signable;
}

/** The same with a key that may lie in a token. */
export async function signWith(envelope: Envelope<unknown>, signer: Signer): Promise<Signable> {
  return (await addSignatureOf<Signable["signed"]>(parseSignable(envelope), signer)) as Signable;
}

/** A key in a token (PKCS#11) as one that signs documents. */
export function tokenSigner(token: {
  publicKey: Buffer;
  sign(data: Uint8Array): Promise<Uint8Array>;
}): Signer {
  const key = createPublicKey({ key: token.publicKey, format: "der", type: "spki" });
  return { key: signingKeyOf(key), sign: (data) => token.sign(data) };
}

export type Signable =
  | Envelope<RootMetadata>
  | Envelope<TargetsMetadata>
  | Envelope<ReleaseManifest>;

/** A document that people sign, of whichever kind; anything else is refused. */
export function parseSignable(envelope: Envelope<unknown>): Signable {
  const type = (envelope?.signed as { _type?: unknown } | null)?._type;
  if (type === "root") return parseRoot(envelope);
  return type === "targets" ? parseTargets(envelope) : parseManifest(envelope);
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
  options: {
    nowMs: number;
    image?: AsyncIterable<Uint8Array>;
    targets?: Envelope<TargetsMetadata> | null;
  },
): Promise<Verification> {
  const { signed } = parseRoot(root);
  const targets = options.targets ? parseTargets(options.targets).signed : null;
  const path = releaseFileName(parseManifest(envelope).signed);
  const { threshold } = releaseRole(signed, targets, path).role;
  try {
    const facts = { tenantId: signed.tenant, root: signed, targets, nowMs: options.nowMs };
    const { signed: manifest, signatures } = checkManifest(envelope, facts);
    const signers = signatures.map((signature) => signature.keyid);
    const image = options.image && (await hashContent(options.image));
    const same = !image || image.sha256 === manifest.image.sha256;
    const reason = same ? null : `the image has hash ${image.sha256}`;
    return { accepted: same, reason, signers, threshold };
  } catch (error) {
    if (!isAppError(error)) throw error;
    const signers = (error.details.validSigners as string[] | undefined) ?? [];
    return { accepted: false, reason: error.message, signers, threshold };
  }
}

export async function hashContent(
  content: AsyncIterable<Uint8Array>,
): Promise<{ sha256: string; sizeBytes: number }> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of content) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { sha256: hash.digest("hex"), sizeBytes };
}
