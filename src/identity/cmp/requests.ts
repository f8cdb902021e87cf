import {
  bitsOf,
  contentOf,
  DerError,
  type DerValue,
  membersOf,
  oidOf,
  readDer,
  readMembers,
  TAG,
} from "../../kernel/der.ts";
import { AppError } from "../../kernel/index.ts";
import { assertSignedBy, type CertificateRequest, readDeviceKey } from "../certificate-request.ts";
import { readRequestedExtensions } from "../requested-extensions.ts";
import { readRequestedName } from "../requested-name.ts";
import { smallInteger } from "./message.ts";

/** One request in an `ir`, `cr` or `kur`. */
export interface CertificateMessage {
  certReqId: number;
  request: CertificateRequest;
  /** Serial (hex) of the certificate that a `kur` says it updates. */
  oldSerial?: string;
}

const OLD_CERTIFICATE_ID = "1.3.6.1.5.5.7.5.1.5";
const SIGNATURE_POP = 0xa1;

/**
 * Reads CertReqMessages (RFC 4211 §3): exactly one, whose proof of possession is a signature by the
 * key itself. Throws `DerError`, or `csr-invalid` with `details.reason`.
 */
export async function readCertificateMessage(body: DerValue): Promise<CertificateMessage> {
  const [message, ...others] = membersOf(body, TAG.sequence);
  // RFC 9483 §4.1.1: one request a message.
  if (!message || others.length > 0) throw refused("count", "exactly one request is expected");
  const [certRequest, pop] = membersOf(message, TAG.sequence);
  const [id, template, controls] = membersOf(certRequest, TAG.sequence);
  if (!certRequest) throw new DerError("the request is missing");
  const fields = readTemplate(template);
  if (!fields.key) throw refused("key", "the template has no public key");
  const key = readDeviceKey(fields.key);
  // RFC 4211 §4.1: without poposkInput the signature is over the request itself.
  if (pop?.tag !== SIGNATURE_POP) {
    throw refused("signature", "possession of the key must be proved by a signature");
  }
  const [algorithm, signature, ...more] = readMembers(pop.content);
  if (more.length > 0) throw refused("signature", "the proof of possession is of another form");
  assertSignedBy(key, algorithm, certRequest.raw, bitsOf(signature));
  const oldSerial = readOldSerial(controls);
  return {
    certReqId: smallInteger(id),
    request: {
      publicKey: key.der,
      publicKeySha256: key.sha256,
      keyAlgorithm: key.algorithm,
      name: fields.subject === undefined ? {} : readRequestedName(fields.subject),
      uris: readRequestedExtensions(fields.extensions),
      decryptKey: undefined,
    },
    ...(oldSerial === undefined ? {} : { oldSerial }),
  };
}

interface Template {
  serial?: string;
  subject?: DerValue;
  /** DER of the SubjectPublicKeyInfo. */
  key?: Buffer;
  extensions: DerValue[];
}

/** CertTemplate (RFC 4211 §5), whose members are tagged implicitly, but for the names. */
function readTemplate(template: DerValue | undefined): Template {
  const found: Template = { extensions: [] };
  for (const member of membersOf(template, TAG.sequence)) {
    if (member.tag === 0x81) found.serial = hexOf(member.content);
    else if (member.tag === 0xa5) found.subject = readDer(member.content);
    else if (member.tag === 0xa6) {
      // The bytes of the value are those of the SEQUENCE, but for the tag.
      found.key = Buffer.from(member.raw);
      found.key[0] = TAG.sequence;
    } else if (member.tag === 0xa9) found.extensions = readMembers(member.content);
  }
  return found;
}

function readOldSerial(controls: DerValue | undefined): string | undefined {
  if (!controls) return undefined;
  for (const control of membersOf(controls, TAG.sequence)) {
    const [type, certificateId] = membersOf(control, TAG.sequence);
    if (oidOf(type) !== OLD_CERTIFICATE_ID) continue;
    return hexOf(contentOf(membersOf(certificateId, TAG.sequence)[1], TAG.integer));
  }
  return undefined;
}

/** One certificate to be revoked, and why (CRLReason, RFC 5280 §5.3.1). */
export interface RevocationMessage {
  serial: string;
  reason: number;
}

const REASON_CODE = "2.5.29.21";
const ENUMERATED = 0x0a;

/** Reads RevReqContent (RFC 4210 §5.3.9): exactly one certificate. */
export function readRevocation(body: DerValue): RevocationMessage {
  const [details, ...others] = membersOf(body, TAG.sequence);
  if (!details || others.length > 0) throw refused("count", "exactly one certificate is expected");
  const [template, extensions] = membersOf(details, TAG.sequence);
  const { serial } = readTemplate(template);
  if (serial === undefined) throw refused("serial", "the certificate's serial number is missing");
  let reason = 0;
  for (const extension of extensions ? membersOf(extensions, TAG.sequence) : []) {
    const parts = membersOf(extension, TAG.sequence);
    if (oidOf(parts[0]) !== REASON_CODE) continue;
    reason = contentOf(readDer(contentOf(parts.at(-1), TAG.octetString)), ENUMERATED)[0] ?? 0;
  }
  return { serial, reason };
}

/** What a client says of the certificate that it was given. */
export interface Confirmation {
  certHash: Buffer;
  certReqId: number;
  accepted: boolean;
}

/** Reads CertConfirmContent (RFC 4210 §5.3.18); none at all means that all are rejected. */
export function readConfirmation(body: DerValue): Confirmation | undefined {
  const [status, ...others] = membersOf(body, TAG.sequence);
  if (others.length > 0) throw refused("count", "exactly one certificate is expected");
  if (!status) return undefined;
  const [hash, id, ...more] = membersOf(status, TAG.sequence);
  const info = more.find((member) => member.tag === TAG.sequence);
  const code = info ? smallInteger(membersOf(info, TAG.sequence)[0]) : 0;
  return {
    certHash: contentOf(hash, TAG.octetString),
    certReqId: smallInteger(id),
    // RFC 4210 §5.2.3: accepted, or granted with changes that the client can live with
    accepted: code === 0 || code === 1,
  };
}

/** certReqId of PollReqContent (RFC 4210 §5.3.22). */
export function readPoll(body: DerValue): number {
  const [first] = membersOf(body, TAG.sequence);
  return smallInteger(membersOf(first, TAG.sequence)[0]);
}

/** A serial number as we write it: hex without the byte that keeps it positive. */
function hexOf(content: Buffer): string {
  const hex = content.toString("hex").replace(/^(?:00)+(?=..)/, "");
  return hex.toLowerCase();
}

function refused(reason: string, message: string): AppError {
  return new AppError("csr-invalid", message, { reason });
}
