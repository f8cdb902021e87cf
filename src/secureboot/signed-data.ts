import { createHash, type KeyObject, sign, type X509Certificate } from "node:crypto";
import {
  context,
  integer,
  membersOf,
  octets,
  oid,
  readDer,
  readMembers,
  sequence,
  set,
  TAG,
  tlv,
} from "../kernel/der.ts";

const OID = {
  signedData: "1.2.840.113549.1.7.2",
  data: "1.2.840.113549.1.7.1",
  contentType: "1.2.840.113549.1.9.3",
  messageDigest: "1.2.840.113549.1.9.4",
  sha256: "2.16.840.1.101.3.4.2.1",
  rsaEncryption: "1.2.840.113549.1.1.1",
} as const;

const NULL = tlv(TAG.null);
const SHA256 = sequence(oid(OID.sha256), NULL);

/** A key of the chain with its certificate. */
export interface BootSigner {
  key: KeyObject;
  certificate: X509Certificate;
}

/**
 * PKCS#7 SignedData (RFC 2315 §9) by one RSA key with SHA-256, version 1 as Authenticode and UEFI
 * ask for it. There is no signing time in it: the same input gives the same bytes.
 *
 * `content` is signed together with its type where it is given along; a detached one is signed as
 * it is, without attributes (UEFI 2.10 §8.2.2).
 */
export function signedData(
  signer: BootSigner,
  content: { type: string; value: Buffer } | { detached: Buffer },
): Buffer {
  const certificate = Buffer.from(signer.certificate.raw);
  const embedded = "type" in content;
  const attributes = embedded ? signedAttributes(content.type, content.value) : undefined;
  // RFC 2315 §9.3: the attributes are signed as a SET, and written with an implicit tag.
  const message = attributes ? set(...attributes) : (content as { detached: Buffer }).detached;
  const signerInfo = sequence(
    integer(Buffer.from([1])),
    issuerAndSerial(certificate),
    SHA256,
    ...(attributes ? [context(0, ...attributes)] : []),
    sequence(oid(OID.rsaEncryption), NULL),
    octets(sign("sha256", message, signer.key)),
  );
  return sequence(
    integer(Buffer.from([1])),
    set(SHA256),
    embedded ? sequence(oid(content.type), context(0, content.value)) : sequence(oid(OID.data)),
    context(0, certificate),
    set(signerInfo),
  );
}

/** SignedData as a ContentInfo. */
export function contentInfo(signed: Buffer): Buffer {
  return sequence(oid(OID.signedData), context(0, signed));
}

function signedAttributes(type: string, value: Buffer): Buffer[] {
  // The digest is over the value without its tag and length (RFC 2315 §9.3).
  const digest = createHash("sha256").update(readDer(value).content).digest();
  return [
    sequence(oid(OID.contentType), set(oid(type))),
    sequence(oid(OID.messageDigest), set(octets(digest))),
  ];
}

/** Issuer and serial number out of a certificate (RFC 5280 §4.1). */
function issuerAndSerial(certificate: Buffer): Buffer {
  const [body] = membersOf(readDer(certificate), TAG.sequence);
  const fields = readMembers((body as { content: Buffer }).content);
  const serialAt = fields[0]?.tag === 0xa0 ? 1 : 0;
  const serial = fields[serialAt];
  const issuer = fields[serialAt + 2];
  if (!serial || !issuer) throw new Error("the certificate has no issuer");
  return sequence(issuer.raw, serial.raw);
}
