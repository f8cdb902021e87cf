import { type KeyObject, verify, X509Certificate } from "node:crypto";
import { type DerValue, membersOf, oidOf, TAG } from "../../kernel/der.ts";
import { CmpFault } from "./failures.ts";

/** Signature algorithms of messages: the kind of key and the digest (RFC 9481 §3). */
const SIGNATURES: Record<string, { key: string; digest: string | null }> = {
  "1.2.840.10045.4.3.2": { key: "ec", digest: "sha256" },
  "1.2.840.10045.4.3.3": { key: "ec", digest: "sha384" },
  "1.2.840.10045.4.3.4": { key: "ec", digest: "sha512" },
  "1.3.101.112": { key: "ed25519", digest: null },
  "1.2.840.113549.1.1.11": { key: "rsa", digest: "sha256" },
  "1.2.840.113549.1.1.12": { key: "rsa", digest: "sha384" },
  "1.2.840.113549.1.1.13": { key: "rsa", digest: "sha512" },
};

/** Whether `data` was signed with a certificate's key; `badAlg` where that cannot be told. */
export async function isSigned(
  algorithm: DerValue,
  certificate: X509Certificate,
  data: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  const known = SIGNATURES[oidOf(membersOf(algorithm, TAG.sequence)[0])];
  let key: KeyObject;
  try {
    key = certificate.publicKey;
  } catch {
    throw new CmpFault("badAlg", "the signer's key cannot be read");
  }
  if (!known || key.asymmetricKeyType !== known.key) {
    throw new CmpFault("badAlg", "the message's signature algorithm is not one that is taken");
  }
  return new Promise((resolve) => {
    // What OpenSSL cannot make anything of is no signature.
    verify(known.digest, data, key, signature, (error, isGood) => resolve(!error && isGood));
  });
}

/** RFC 9483 §3.3: the signer's own certificate is the first of those that came along. */
export function signerOf(extraCertificates: readonly Buffer[]): X509Certificate {
  const [first] = extraCertificates;
  if (!first) throw new CmpFault("badMessageCheck", "the signer's certificate did not come along");
  try {
    return new X509Certificate(first);
  } catch {
    throw new CmpFault("badDataFormat", "the signer's certificate cannot be read");
  }
}
