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
import { type DeviceIdentity, isDeviceId, isTenantId, OID } from "../protocol/index.ts";
import { keyAlgorithmOf } from "./authority-key.ts";

/** What a request proves (possession of the key) and asks for (a name); nothing else is used. */
export interface CertificateRequest {
  /** DER of the public key. */
  publicKey: Buffer;
  /** SHA-256 over it, hex. */
  publicKeySha256: string;
  /** The device that the common name `<tenant>/<device>` asks to be. */
  identity: DeviceIdentity;
  /** URIs among the alternative names that it asks for. */
  uris: string[];
}

/**
 * Reads and checks a PKCS#10 request (RFC 2986): PEM, DER or base64 of DER; a P-256 or Ed25519 key;
 * signed by that key. Throws `csr-invalid` with `details.reason`.
 */
export async function readCertificateRequest(
  csr: string | Uint8Array,
): Promise<CertificateRequest> {
  const der = derOf(csr);
  try {
    return await parse(der);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw refused("malformed", `the request cannot be read: ${error.message}`);
  }
}

async function parse(der: Buffer): Promise<CertificateRequest> {
  const [information, algorithm, signature] = membersOf(readDer(der), TAG.sequence);
  const [, subject, keyInfo, attributes] = membersOf(information, TAG.sequence);
  if (!information || !keyInfo) throw new DerError("parts are missing");
  const key = publicKeyOf(keyInfo);
  const algorithmOid = oidOf(membersOf(algorithm, TAG.sequence)[0]);
  if (!(await isSignedBy(key, algorithmOid, information.raw, bitsOf(signature)))) {
    throw refused("signature", "the request is not signed by its own key");
  }
  return {
    publicKey: keyInfo.raw,
    publicKeySha256: createHash("sha256").update(keyInfo.raw).digest("hex"),
    identity: identityOf(subject),
    uris: attributes === undefined ? [] : requestedUris(attributes),
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

function publicKeyOf(keyInfo: DerValue): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: keyInfo.raw, format: "der", type: "spki" });
  } catch {
    throw refused("key", "the public key cannot be read");
  }
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined) {
    throw refused("key", `the key must be P-256 or Ed25519, not RSA of ${bits} bits`);
  }
  if (!keyAlgorithmOf(key)) throw refused("key", "the key must be P-256 or Ed25519");
  const { raw } = keyInfo;
  const isUsual = ({ start, size }: (typeof USUAL_FORMS)[number]) =>
    raw.length === size && raw.subarray(0, start.length).equals(start);
  if (!USUAL_FORMS.some(isUsual)) throw refused("key", "the public key is not in its usual form");
  return key;
}

/** The check takes longer than issuing does: it runs in the thread pool. */
async function isSignedBy(
  key: KeyObject,
  algorithm: string,
  data: Buffer,
  signature: Buffer,
): Promise<boolean> {
  const isEd25519 = keyAlgorithmOf(key) === "ed25519";
  if (algorithm !== (isEd25519 ? OID.ed25519 : OID.ecdsaWithSha256)) return false;
  return new Promise((resolve, reject) => {
    verify(isEd25519 ? null : "sha256", data, key, signature, (error, isGood) =>
      error ? reject(error) : resolve(isGood),
    );
  });
}

const TEXT_TAGS: readonly number[] = [TAG.utf8String, TAG.printableString];

function identityOf(subject: DerValue | undefined): DeviceIdentity {
  const texts = new Map<string, string>();
  for (const relative of membersOf(subject, TAG.sequence)) {
    for (const attribute of membersOf(relative, TAG.set)) {
      const [type, value] = membersOf(attribute, TAG.sequence);
      const name = oidOf(type);
      if (name !== OID.commonName && name !== OID.organization) continue;
      if (texts.has(name)) throw refused("name", "the subject names someone twice");
      if (!value || !TEXT_TAGS.includes(value.tag)) throw refused("name", "the subject is no text");
      texts.set(name, value.content.toString("utf8"));
    }
  }
  const [tenantId, deviceId, ...rest] = texts.get(OID.commonName)?.split("/") ?? [];
  if (!isTenantId(tenantId) || !isDeviceId(deviceId) || rest.length > 0) {
    throw refused("name", "the common name must be <tenant>/<device>");
  }
  if ((texts.get(OID.organization) ?? tenantId) !== tenantId) {
    throw refused("name", "the organisation and the common name differ in the tenant");
  }
  return { tenantId, deviceId };
}

const EXTENSION_REQUEST = "1.2.840.113549.1.9.14";
const ALTERNATIVE_NAMES = "2.5.29.17";
const URI_TAG = 0x86;

/** Alternative names are never copied; they are read to refuse a request that asks for others. */
function requestedUris(attributes: DerValue): string[] {
  const uris: string[] = [];
  for (const attribute of membersOf(attributes, 0xa0)) {
    const [type, values] = membersOf(attribute, TAG.sequence);
    if (oidOf(type) !== EXTENSION_REQUEST) continue;
    for (const extension of membersOf(membersOf(values, TAG.set)[0], TAG.sequence)) {
      const parts = membersOf(extension, TAG.sequence);
      if (oidOf(parts[0]) !== ALTERNATIVE_NAMES) continue;
      const names = readDer(contentOf(parts.at(-1), TAG.octetString));
      for (const name of membersOf(names, TAG.sequence)) {
        if (name.tag !== URI_TAG) throw refused("name", "only the device's URI may be asked for");
        uris.push(name.content.toString("latin1"));
      }
    }
  }
  return uris;
}

function refused(reason: string, message: string): AppError {
  return new AppError("csr-invalid", message, { reason });
}
