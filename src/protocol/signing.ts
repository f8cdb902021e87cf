import { createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { canonicalJson } from "./canonical-json.ts";

/** A public key as signed documents name it. `value` is the SubjectPublicKeyInfo in base64. */
export interface SigningKey {
  scheme: "ed25519" | "ecdsa-p256-sha256";
  value: string;
}

export interface Signature {
  keyId: string;
  /** Base64. */
  signature: string;
}

/** A signed document: the signatures are over `canonicalJson(signed)`. */
export interface Envelope<Signed> {
  signed: Signed;
  signatures: Signature[];
}

/** Which keys may sign in a role, and how many of them must. */
export interface SigningRole {
  keyIds: string[];
  threshold: number;
}

/** Key id: SHA-256 of the key's canonical JSON, in hex. */
export function signingKeyId(key: SigningKey): string {
  return createHash("sha256").update(canonicalJson(key)).digest("hex");
}

/** The public half of `key`, as signed documents name it. */
export function signingKeyOf(key: KeyObject): SigningKey {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  const value = publicKey.export({ type: "spki", format: "der" }).toString("base64");
  if (publicKey.asymmetricKeyType === "ed25519") return { scheme: "ed25519", value };
  if (
    publicKey.asymmetricKeyType === "ec" &&
    publicKey.asymmetricKeyDetails?.namedCurve === "prime256v1"
  ) {
    return { scheme: "ecdsa-p256-sha256", value };
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
  const added = signatureBy(privateKey, envelope.signed);
  const others = envelope.signatures.filter((signature) => signature.keyId !== added.keyId);
  return { signed: envelope.signed, signatures: [...others, added] };
}

function signatureBy(privateKey: KeyObject, signed: unknown): Signature {
  const key = signingKeyOf(privateKey);
  const bytes = Buffer.from(canonicalJson(signed));
  const algorithm = key.scheme === "ed25519" ? null : "sha256";
  return {
    keyId: signingKeyId(key),
    signature: sign(algorithm, bytes, privateKey).toString("base64"),
  };
}

const MAX_SIGNATURES = 32;

/** The ids of distinct keys of `role` that made a valid signature over the document. */
export function validSigners(
  envelope: Envelope<unknown>,
  role: SigningRole,
  keys: Readonly<Record<string, SigningKey>>,
): string[] {
  const bytes = Buffer.from(canonicalJson(envelope.signed));
  const valid = new Set<string>();
  for (const { keyId, signature } of envelope.signatures.slice(0, MAX_SIGNATURES)) {
    const key = Object.hasOwn(keys, keyId) ? keys[keyId] : undefined;
    // The id is recomputed: a root that names one key by two ids must not count it twice.
    if (!key || !role.keyIds.includes(keyId) || signingKeyId(key) !== keyId) continue;
    if (isValid(key, bytes, signature)) valid.add(keyId);
  }
  return [...valid];
}

export function meetsThreshold(
  envelope: Envelope<unknown>,
  role: SigningRole,
  keys: Readonly<Record<string, SigningKey>>,
): boolean {
  return role.threshold >= 1 && validSigners(envelope, role, keys).length >= role.threshold;
}

function isValid(key: SigningKey, bytes: Buffer, signature: string): boolean {
  try {
    const publicKey = createPublicKey({
      key: Buffer.from(key.value, "base64"),
      format: "der",
      type: "spki",
    });
    const algorithm = key.scheme === "ed25519" ? null : "sha256";
    return verify(algorithm, bytes, publicKey, Buffer.from(signature, "base64"));
  } catch {
    return false; // A key or signature that cannot be read is no signature.
  }
}
