import { createPublicKey } from "node:crypto";

/** How the DER of a key of these kinds begins: asking OpenSSL for every certificate would cost. */
const PREFIXES = [
  [Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107", "hex"), "ec-p256"],
  [Buffer.from("302a300506032b6570", "hex"), "ed25519"],
] as const;
const CURVES: Record<string, string> = {
  prime256v1: "p256",
  secp384r1: "p384",
  secp521r1: "p521",
};

/** Kind and size of a public key (SubjectPublicKeyInfo in DER): `ec-p256`, `ed25519`, `rsa-2048`. */
export function publicKeyKind(publicKey: Buffer): string {
  for (const [prefix, name] of PREFIXES) {
    if (publicKey.subarray(0, prefix.length).equals(prefix)) return name;
  }
  const key = createPublicKey({ key: publicKey, format: "der", type: "spki" });
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === "ec") {
    return `ec-${CURVES[details?.namedCurve ?? ""] ?? details?.namedCurve ?? "unknown"}`;
  }
  if (details?.modulusLength) return `${key.asymmetricKeyType}-${details.modulusLength}`;
  return key.asymmetricKeyType ?? "unknown";
}
