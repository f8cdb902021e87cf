import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import {
  bitsOf,
  contentOf,
  DerError,
  type DerValue,
  membersOf,
  oidOf,
  readDer,
  TAG,
} from "../kernel/der.ts";
import { AppError, LIMITS } from "../kernel/index.ts";
import { OID } from "../protocol/index.ts";
import { type KeyAlgorithm, keyAlgorithmOf } from "./authority-key.ts";
import type { DecryptKey } from "./key-envelope.ts";
import { readRequestedExtensions } from "./requested-extensions.ts";
import { type RequestedName, readRequestedName } from "./requested-name.ts";

/** What a request proves (possession of the key) and asks for (a name); nothing else is used. */
export interface CertificateRequest {
  /** DER of the public key. */
  publicKey: Buffer;
  /** SHA-256 over it, hex. */
  publicKeySha256: string;
  keyAlgorithm: KeyAlgorithm;
  /** Whom the subject asks to be. */
  name: RequestedName;
  /** URIs among the alternative names that it asks for. */
  uris: string[];
  /** For which key one that the platform makes has to be encrypted; undefined: for none. */
  decryptKey: DecryptKey | undefined;
}

/** A public key that may become a device's. */
export interface DeviceKey {
  key: KeyObject;
  algorithm: KeyAlgorithm;
  der: Buffer;
  sha256: string;
}

/**
 * Reads and checks a PKCS#10 request (RFC 2986): PEM, DER or base64 of DER; a P-256 or Ed25519 key;
 * signed by that key. Throws `csr-invalid` with `details.reason`.
 */
export async function readCertificateRequest(
  csr: string | Uint8Array,
): Promise<CertificateRequest> {
  const der = derOf(csr);
  return asRefusal(() => parse(readDer(der)));
}

/** Runs a reader of DER; what it cannot read is refused as `malformed`. */
export async function asRefusal<Result>(read: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw refused("malformed", `the request cannot be read: ${error.message}`);
  }
}

function parse(request: DerValue): CertificateRequest {
  const [information, algorithm, signature, ...more] = membersOf(request, TAG.sequence);
  const [, subject, keyInfo, attributes] = membersOf(information, TAG.sequence);
  if (!information || !keyInfo || more.length > 0) throw new DerError("the parts are not three");
  const key = readDeviceKey(keyInfo.raw);
  assertSignedBy(key, algorithm, information.raw, bitsOf(signature));
  return {
    publicKey: key.der,
    publicKeySha256: key.sha256,
    keyAlgorithm: key.algorithm,
    name: readRequestedName(subject),
    ...(attributes === undefined
      ? { uris: [], decryptKey: undefined }
      : readAttributes(attributes)),
  };
}

function derOf(csr: string | Uint8Array): Buffer {
  if (csr.length > LIMITS.certificateRequestBytes) {
    throw refused("too-large", "the request is larger than the limit");
  }
  // DER starts with the tag of a SEQUENCE; no base64 of one starts with that byte, which is "0".
  if (typeof csr !== "string" && csr[0] === TAG.sequence) return Buffer.from(csr);
  const text = typeof csr === "string" ? csr : Buffer.from(csr).toString("latin1");
  const armoured = /-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([^-]+)-----END /.exec(text)?.[1];
  const base64 = (armoured ?? text).replace(/\s/g, "");
  if (base64 === "" || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) {
    throw refused("malformed", "the request is neither PEM nor DER nor base64");
  }
  return Buffer.from(base64, "base64");
}

/** One encoding of a key only, so that its hash names it (RFC 5480 §2, RFC 8410 §4). */
const USUAL_FORMS = [
  { start: Buffer.from("3059301306072a8648ce3d020106082a8648ce3d03010703420004", "hex"), size: 91 },
  { start: Buffer.from("302a300506032b6570032100", "hex"), size: 44 },
];

/** A subject's public key from its DER; `csr-invalid` (`key`) where it is not one that we certify. */
export function readDeviceKey(der: Buffer): DeviceKey {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: der, format: "der", type: "spki" });
  } catch {
    throw refused("key", "the public key cannot be read");
  }
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined) {
    throw refused("key", `the key must be P-256 or Ed25519, not RSA of ${bits} bits`);
  }
  const algorithm = keyAlgorithmOf(key);
  if (!algorithm) throw refused("key", "the key must be P-256 or Ed25519");
  const isUsual = ({ start, size }: (typeof USUAL_FORMS)[number]) =>
    der.length === size && der.subarray(0, start.length).equals(start);
  if (!USUAL_FORMS.some(isUsual)) throw refused("key", "the public key is not in its usual form");
  return { key, algorithm, der, sha256: createHash("sha256").update(der).digest("hex") };
}

/**
 * Proof of possession: `data` was signed by the very key that is to be certified. Requests are small:
 * to hand one to the thread pool takes longer than the check, which is a tenth of the handshake's.
 */
export function assertSignedBy(
  { key, algorithm }: DeviceKey,
  identifier: DerValue | undefined,
  data: Buffer,
  signature: Buffer,
): void {
  const isEd25519 = algorithm === "ed25519";
  const expected = isEd25519 ? OID.ed25519 : OID.ecdsaWithSha256;
  const isSigned =
    oidOf(membersOf(identifier, TAG.sequence)[0]) === expected &&
    verify(isEd25519 ? null : "sha256", data, key, signature);
  if (!isSigned) throw refused("signature", "the request is not signed by its own key");
}

const EXTENSION_REQUEST = "1.2.840.113549.1.9.14";
/** DecryptKeyIdentifier and AsymmetricDecryptKeyIdentifier (RFC 7030 §4.4.1.1, §4.4.1.2). */
const DECRYPT_KEY: Readonly<Record<string, DecryptKey["kind"]>> = {
  "1.2.840.113549.1.9.16.2.37": "symmetric",
  "1.2.840.113549.1.9.16.2.54": "asymmetric",
};

function readAttributes(attributes: DerValue): Pick<CertificateRequest, "uris" | "decryptKey"> {
  const extensions: DerValue[] = [];
  let decryptKey: DecryptKey | undefined;
  for (const attribute of membersOf(attributes, 0xa0)) {
    const [type, values] = membersOf(attribute, TAG.sequence);
    const name = oidOf(type);
    const kind = DECRYPT_KEY[name];
    if (kind) {
      if (decryptKey) throw refused("encryption", "the request names two keys to encrypt for");
      const [identifier, ...more] = membersOf(values, TAG.set);
      if (more.length > 0) throw new DerError("a key to encrypt for has one identifier");
      decryptKey = { kind, identifier: contentOf(identifier, TAG.octetString) };
    }
    if (name !== EXTENSION_REQUEST) continue;
    extensions.push(...membersOf(membersOf(values, TAG.set)[0], TAG.sequence));
  }
  return { uris: readRequestedExtensions(extensions), decryptKey };
}

function refused(reason: string, message: string): AppError {
  return new AppError("csr-invalid", message, { reason });
}
