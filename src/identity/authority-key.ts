import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { oid, sequence } from "../kernel/der.ts";
import { OID } from "../protocol/index.ts";

/** What certificates are signed with. P-256 is the default; a token (PKCS#11) knows no other. */
export type KeyAlgorithm = "ecdsa-p256" | "ed25519";

/** The key of an authority, wherever it lies: in memory, or in a token that never gives it away. */
export interface AuthorityKey {
  readonly algorithm: KeyAlgorithm;
  /** DER of the public half (SubjectPublicKeyInfo). */
  readonly publicKey: Buffer;
  /** The signature as certificates carry it: DER of r and s, or the 64 bytes of Ed25519. */
  sign(data: Uint8Array): Promise<Buffer>;
}

/** RFC 5758 §3.2 and RFC 8410 §3: neither has parameters. */
const IDENTIFIERS: Record<KeyAlgorithm, Buffer> = {
  "ecdsa-p256": sequence(oid(OID.ecdsaWithSha256)),
  ed25519: sequence(oid(OID.ed25519)),
};

/** How signatures of such a key are announced (AlgorithmIdentifier). */
export function algorithmIdentifier(algorithm: KeyAlgorithm): Buffer {
  return IDENTIFIERS[algorithm];
}

/** Whether a key is one that authorities and devices may have, and which. */
export function keyAlgorithmOf(key: KeyObject): KeyAlgorithm | undefined {
  if (key.asymmetricKeyType === "ed25519") return "ed25519";
  return key.asymmetricKeyDetails?.namedCurve === "prime256v1" ? "ecdsa-p256" : undefined;
}

export function newPrivateKey(algorithm: KeyAlgorithm = "ecdsa-p256"): KeyObject {
  const pair =
    algorithm === "ed25519"
      ? generateKeyPairSync("ed25519")
      : generateKeyPairSync("ec", { namedCurve: "P-256" });
  return pair.privateKey;
}

/** What is longer is hashed and signed in the thread pool; for less the way there takes longer. */
const MAX_INLINE_BYTES = 16 * 1024;

/** A key in memory. */
export function localKey(privateKey: KeyObject): AuthorityKey {
  const algorithm = keyAlgorithmOf(privateKey);
  if (!algorithm) throw new TypeError("keys of authorities are P-256 or Ed25519");
  const digest = algorithm === "ed25519" ? null : "sha256";
  return {
    algorithm,
    publicKey: createPublicKey(privateKey).export({ type: "spki", format: "der" }),
    sign: async (data) =>
      data.length <= MAX_INLINE_BYTES
        ? sign(digest, data, privateKey)
        : new Promise((resolve, reject) => {
            sign(digest, data, privateKey, (error, signature) =>
              error ? reject(error) : resolve(signature),
            );
          }),
  };
}
