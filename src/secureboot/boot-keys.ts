import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from "node:crypto";
import {
  bits,
  boolean,
  context,
  integer,
  octets,
  oid,
  sequence,
  set,
  TAG,
  time,
  tlv,
  utf8,
} from "../kernel/der.ts";
import { invalidContent } from "./refusals.ts";
import type { BootSigner } from "./signed-data.ts";

/**
 * The keys of the chain: PK owns the machine and signs KEK, KEK signs what is allowed (`db`) and
 * forbidden (`dbx`), db signs loader and kernel, and `floor` raises the version floors.
 */
export const BOOT_KEY_NAMES = ["PK", "KEK", "db", "floor"] as const;
export type BootKeyName = (typeof BOOT_KEY_NAMES)[number];

/** What firmware in the field verifies; many boards know no other. */
const KEY_BITS = 2048;
const OID = { commonName: "2.5.4.3", sha256WithRsa: "1.2.840.113549.1.1.11" };
const EXTENSION = {
  basicConstraints: "2.5.29.19",
  keyUsage: "2.5.29.15",
  subjectKeyId: "2.5.29.14",
};
const YEAR_MS = 365.25 * 86_400_000;

export interface BootKeyPair {
  /** PKCS#8 PEM; encrypted (AES-256, PBKDF2) where a passphrase was given. */
  privateKeyPem: string;
  certificatePem: string;
}

/** One RSA key with a certificate by itself: firmware compares it and asks no authority. */
export function generateBootKey(options: {
  commonName: string;
  validityYears: number;
  nowMs: number;
  passphrase?: string | undefined;
}): BootKeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: KEY_BITS });
  const encryption = options.passphrase
    ? { cipher: "aes-256-cbc", passphrase: options.passphrase }
    : {};
  const der = selfSigned(privateKey, publicKey, options);
  return {
    privateKeyPem: privateKey.export({ type: "pkcs8", format: "pem", ...encryption }) as string,
    certificatePem: `${new X509Certificate(der).toString()}`,
  };
}

/** A key and its certificate from PEM; `invalid-content` where they cannot be read or do not fit. */
export function readBootSigner(
  pems: { key: string; certificate: string },
  passphrase?: string,
): BootSigner {
  const certificate = readCertificate(pems.certificate);
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pems.key, ...(passphrase ? { passphrase } : {}) });
  } catch (cause) {
    throw invalidContent("the private key cannot be read: is the passphrase right?", cause);
  }
  if (key.asymmetricKeyType !== "rsa") throw invalidContent("Secure Boot keys are RSA keys");
  if (!certificate.checkPrivateKey(key)) {
    throw invalidContent("the certificate is not the one of this private key");
  }
  return { key, certificate };
}

export function readCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw invalidContent("the certificate cannot be read", cause);
  }
}

function selfSigned(
  privateKey: KeyObject,
  publicKey: KeyObject,
  options: { commonName: string; validityYears: number; nowMs: number },
): Buffer {
  const spki = publicKey.export({ type: "spki", format: "der" });
  const algorithm = sequence(oid(OID.sha256WithRsa), tlv(TAG.null));
  const name = sequence(set(sequence(oid(OID.commonName), utf8(options.commonName))));
  const keyId = createHash("sha1").update(spki).digest();
  const extension = (id: string, critical: boolean, value: Buffer) =>
    sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));
  const body = sequence(
    context(0, integer(Buffer.from([2]))),
    integer(randomBytes(16)),
    algorithm,
    name,
    sequence(
      time(new Date(options.nowMs)),
      time(new Date(options.nowMs + options.validityYears * YEAR_MS)),
    ),
    name,
    spki,
    context(
      3,
      sequence(
        extension(EXTENSION.basicConstraints, true, sequence(boolean(true))),
        // digitalSignature, keyCertSign (RFC 5280 §4.2.1.3)
        extension(EXTENSION.keyUsage, true, bits(Buffer.from([0x84]), 2)),
        extension(EXTENSION.subjectKeyId, false, octets(keyId)),
      ),
    ),
  );
  return sequence(body, algorithm, bits(sign("sha256", body, privateKey)));
}
