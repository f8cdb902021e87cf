import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { canonicalJson } from "./canonical-json.ts";

/** A public key as TUF names it (§4.2): Ed25519's 32 bytes in hex, or P-256 as PEM. */
export interface SigningKey {
  keytype: "ed25519" | "ecdsa";
  scheme: "ed25519" | "ecdsa-sha2-nistp256";
  keyval: { public: string };
}

export interface Signature {
  keyid: string;
  /** Hex; of ECDSA the DER of r and s. */
  sig: string;
}

/** A signed document: the signatures are over `canonicalJson(signed)`. */
export interface Envelope<Signed> {
  signed: Signed;
  signatures: Signature[];
}

/** Which keys may sign in a role, and how many of them must. */
export interface SigningRole {
  keyids: string[];
  threshold: number;
}

/** A key that signs wherever it lies: in memory, or in a token that never gives it away. */
export interface Signer {
  readonly key: SigningKey;
  sign(data: Uint8Array): Promise<Uint8Array>;
}

/** Of Ed25519 in a SubjectPublicKeyInfo (RFC 8410 §4); the key's 32 bytes follow. */
const ED25519_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
/** PKCS#8 of an Ed25519 key up to its 32 bytes (RFC 8410 §7). */
const PKCS8_ED25519 = Buffer.from("302e020100300506032b657004220420", "hex");
export const MAX_SIGNATURES = 32;

/** The private key that 32 secret bytes are (RFC 8032 §5.1.5). */
export function ed25519KeyOf(seed: Uint8Array): KeyObject {
  const der = Buffer.concat([PKCS8_ED25519, seed]);
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" });
}

/** Key id: SHA-256 of the key's canonical JSON, in hex (TUF §4.2). */
export function signingKeyId(key: SigningKey): string {
  return createHash("sha256").update(canonicalJson(key)).digest("hex");
}

/** The public half of `key`, as signed documents name it. */
export function signingKeyOf(key: KeyObject): SigningKey {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  if (publicKey.asymmetricKeyType === "ed25519") {
    const der = publicKey.export({ type: "spki", format: "der" });
    const raw = der.subarray(ED25519_PREFIX.length).toString("hex");
    return { keytype: "ed25519", scheme: "ed25519", keyval: { public: raw } };
  }
  if (
    publicKey.asymmetricKeyType === "ec" &&
    publicKey.asymmetricKeyDetails?.namedCurve === "prime256v1"
  ) {
    const pem = publicKey.export({ type: "spki", format: "pem" }) as string;
    return { keytype: "ecdsa", scheme: "ecdsa-sha2-nistp256", keyval: { public: pem } };
  }
  throw new TypeError("signing keys are Ed25519 or P-256");
}

/** The key itself; throws where `key` is none of the two kinds, or is not what it says. */
export function publicKeyOf(key: SigningKey): KeyObject {
  const text = key.keyval.public;
  if (key.keytype === "ed25519" && key.scheme === "ed25519") {
    if (!/^[0-9a-f]{64}$/.test(text)) throw new TypeError("an Ed25519 key has 32 bytes");
    const der = Buffer.concat([ED25519_PREFIX, Buffer.from(text, "hex")]);
    return createPublicKey({ key: der, format: "der", type: "spki" });
  }
  if (key.keytype === "ecdsa" && key.scheme === "ecdsa-sha2-nistp256") {
    const publicKey = createPublicKey({ key: text, format: "pem" });
    if (publicKey.asymmetricKeyDetails?.namedCurve === "prime256v1") return publicKey;
  }
  throw new TypeError("signing keys are Ed25519 or P-256");
}

export function signDocument<Signed>(
  signed: Signed,
  privateKeys: readonly KeyObject[],
): Envelope<Signed> {
  return { signed, signatures: privateKeys.map((key) => signatureBy(key, signed)) };
}

/** One more person's signature; a second one by the same key replaces the first. */
export function addSignature<Signed>(
  envelope: Envelope<Signed>,
  privateKey: KeyObject,
): Envelope<Signed> {
  return withSignature(envelope, signatureBy(privateKey, envelope.signed));
}

/** The same by a key that may lie elsewhere. */
export async function addSignatureOf<Signed>(
  envelope: Envelope<Signed>,
  signer: Signer,
): Promise<Envelope<Signed>> {
  const made = await signer.sign(Buffer.from(canonicalJson(envelope.signed)));
  const sig = Buffer.from(made).toString("hex");
  return withSignature(envelope, { keyid: signingKeyId(signer.key), sig });
}

export function withSignature<Signed>(
  envelope: Envelope<Signed>,
  added: Signature,
): Envelope<Signed> {
  const others = envelope.signatures.filter((signature) => signature.keyid !== added.keyid);
  return { signed: envelope.signed, signatures: [...others, added] };
}

/** A key in memory as a signer. */
export function signerOf(privateKey: KeyObject): Signer {
  return {
    key: signingKeyOf(privateKey),
    sign: async (data) => signBytes(privateKey, data),
  };
}

function signBytes(privateKey: KeyObject, data: Uint8Array): Buffer {
  return sign(privateKey.asymmetricKeyType === "ed25519" ? null : "sha256", data, privateKey);
}

function signatureBy(privateKey: KeyObject, signed: unknown): Signature {
  const bytes = Buffer.from(canonicalJson(signed));
  return {
    keyid: signingKeyId(signingKeyOf(privateKey)),
    sig: signBytes(privateKey, bytes).toString("hex"),
  };
}

/** The ids of distinct keys of `role` that made a valid signature over the document. */
export function validSigners(
  envelope: Envelope<unknown>,
  role: SigningRole,
  keys: Readonly<Record<string, SigningKey>>,
): string[] {
  const bytes = Buffer.from(canonicalJson(envelope.signed));
  const valid = new Map<string, string>();
  for (const { keyid, sig } of envelope.signatures.slice(0, MAX_SIGNATURES)) {
    const key = Object.hasOwn(keys, keyid) ? keys[keyid] : undefined;
    // The id is recomputed: a document that gives one key two ids must not count it twice.
    if (!key || !role.keyids.includes(keyid) || signingKeyId(key) !== keyid) continue;
    // Members that TUF does not know change the id but not the key.
    const material = key.keyval.public;
    if (!valid.has(material) && isValid(key, bytes, sig)) valid.set(material, keyid);
  }
  return [...valid.values()];
}

export function meetsThreshold(
  envelope: Envelope<unknown>,
  role: SigningRole,
  keys: Readonly<Record<string, SigningKey>>,
): boolean {
  return role.threshold >= 1 && validSigners(envelope, role, keys).length >= role.threshold;
}

function isValid(key: SigningKey, bytes: Buffer, sig: string): boolean {
  try {
    const algorithm = key.keytype === "ed25519" ? null : "sha256";
    return verify(algorithm, bytes, publicKeyOf(key), Buffer.from(sig, "hex"));
  } catch {
    return false; // A key or signature that cannot be read is no signature.
  }
}
