import {
  bits,
  contentOf,
  context,
  contextPrimitive,
  DerError,
  type DerValue,
  membersOf,
  octets,
  oid,
  oidOf,
  readDer,
  readMembers,
  sequence,
  TAG,
  tlv,
} from "../kernel/der.ts";
import { algorithmIdentifier } from "./authority-key.ts";
import type { OcspSigner } from "./ocsp-signers.ts";
import type { IssuerHash } from "./published-authorities.ts";

/** RFC 6960 §4.2.1: answers without a signature. */
export const OCSP_ERROR = {
  malformedRequest: 1,
  internalError: 2,
  tryLater: 3,
  unauthorized: 6,
} as const;
export type OcspError = (typeof OCSP_ERROR)[keyof typeof OCSP_ERROR];

/** Certificates that one request may ask for. */
export const MAX_CERTIFICATES = 20;
/** RFC 8954 §2.1: a nonce has 1 to 32 bytes. */
const MAX_NONCE_BYTES = 32;
const MAX_EXTENSIONS = 10;
const NONCE = "1.3.6.1.5.5.7.48.1.2";

const HASH_OIDS: Record<string, IssuerHash> = {
  "1.3.14.3.2.26": "sha1",
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
};

/** A certificate that is asked for. */
export interface CertificateId {
  /** DER, for the answer to repeat. */
  raw: Buffer;
  /** Hashes of the issuer's name and key, joined, hex; undefined for a hash that we do not know. */
  issuer: string | undefined;
  /** Lower-case hex. */
  serial: string;
}

export interface OcspRequest {
  certificates: CertificateId[];
  /** The extension's value as it came, to be repeated. */
  nonce: Buffer | undefined;
}

/** Reads a request (RFC 6960 §4.1.1); throws `DerError` for what is not one. Its signature, which may
 * be there, says nothing that matters to us. */
export function readOcspRequest(der: Uint8Array): OcspRequest {
  const [toBeSigned] = membersOf(readDer(der), TAG.sequence);
  const parts = membersOf(toBeSigned, TAG.sequence);
  const tagged = new Map(parts.filter(({ tag }) => tag >= 0xa0).map((part) => [part.tag, part]));
  const [list, more] = parts.filter(({ tag }) => tag < 0xa0);
  if (more) throw new DerError("a request has one list");
  const requests = membersOf(list, TAG.sequence);
  if (requests.length < 1 || requests.length > MAX_CERTIFICATES) {
    throw new DerError(`a request asks for 1 to ${MAX_CERTIFICATES} certificates`);
  }
  return { certificates: requests.map(readCertificateId), nonce: nonceOf(tagged.get(0xa2)) };
}

function readCertificateId(request: DerValue): CertificateId {
  const [id, extensions] = membersOf(request, TAG.sequence);
  for (const extension of extensionsIn(extensions)) assertIgnorable(extension);
  const [algorithm, name, key, serial] = membersOf(id, TAG.sequence);
  const hash = HASH_OIDS[oidOf(membersOf(algorithm, TAG.sequence)[0])];
  const nameHash = contentOf(name, TAG.octetString);
  const keyHash = contentOf(key, TAG.octetString);
  const number = contentOf(serial, TAG.integer);
  if (!id || number.length < 1 || number.length > 33) throw new DerError("not a serial number");
  return {
    raw: id.raw,
    issuer: hash && nameHash.toString("hex") + keyHash.toString("hex"),
    // The zero before a first bit that is set belongs to the encoding.
    serial: (number[0] === 0 ? number.subarray(1) : number).toString("hex"),
  };
}

function extensionsIn(tagged: DerValue | undefined): DerValue[] {
  if (!tagged) return [];
  const [list] = readMembers(tagged.content);
  const found = membersOf(list, TAG.sequence);
  if (found.length > MAX_EXTENSIONS) throw new DerError("too many extensions");
  return found;
}

/** RFC 6960 §4.4: what is critical and unknown must not be answered. */
function assertIgnorable(extension: DerValue): void {
  if (membersOf(extension, TAG.sequence).length === 3) {
    throw new DerError("an extension that is critical and not known");
  }
}

function nonceOf(extensions: DerValue | undefined): Buffer | undefined {
  let nonce: Buffer | undefined;
  for (const extension of extensionsIn(extensions)) {
    const members = membersOf(extension, TAG.sequence);
    if (oidOf(members[0]) !== NONCE) {
      assertIgnorable(extension);
      continue;
    }
    nonce = contentOf(members.at(-1), TAG.octetString);
    const { length } = contentOf(readDer(nonce), TAG.octetString);
    if (length < 1 || length > MAX_NONCE_BYTES) throw new DerError("a nonce has 1 to 32 bytes");
  }
  return nonce;
}

/** What is said of one certificate. */
export type CertificateAnswer =
  | { id: CertificateId; status: "good" }
  | { id: CertificateId; status: "unknown" }
  | { id: CertificateId; status: "revoked"; revokedAt: Date; code: number };

/** A signed answer (RFC 6960 §4.2.1), with the certificates by which its signer may sign. */
export async function ocspResponse(
  { signer, chain }: OcspSigner,
  answers: readonly CertificateAnswer[],
  times: { producedAt: Date; nextUpdate: Date },
  nonce: Buffer | undefined,
): Promise<Buffer> {
  const { producedAt, nextUpdate } = times;
  const singles = answers.map((answer) =>
    sequence(
      answer.id.raw,
      statusOf(answer),
      generalizedTime(producedAt),
      context(0, generalizedTime(nextUpdate)),
    ),
  );
  const data = sequence(
    // The responder is named by its key (byKey): names of successors may be alike.
    context(2, octets(signer.keyIdentifier)),
    generalizedTime(producedAt),
    sequence(...singles),
    ...(nonce ? [context(1, sequence(sequence(oid(NONCE), octets(nonce))))] : []),
  );
  const signature = bits(await signer.key.sign(data));
  const algorithm = algorithmIdentifier(signer.key.algorithm);
  const basic = sequence(data, algorithm, signature, context(0, sequence(...chain)));
  const body = sequence(oid("1.3.6.1.5.5.7.48.1.1"), octets(basic));
  return sequence(enumerated(0), context(0, body));
}

export function ocspError(error: OcspError): Buffer {
  return sequence(enumerated(error));
}

function statusOf(answer: CertificateAnswer): Buffer {
  if (answer.status === "good") return contextPrimitive(0, Buffer.alloc(0));
  if (answer.status === "unknown") return contextPrimitive(2, Buffer.alloc(0));
  const { revokedAt, code } = answer;
  const reason = code === 0 ? [] : [context(0, enumerated(code))];
  return context(1, generalizedTime(revokedAt), ...reason);
}

function enumerated(value: number): Buffer {
  return tlv(TAG.enumerated, Buffer.from([value]));
}

/** RFC 6960 §4.2.2.1: always in the long form, unlike certificates. */
function generalizedTime(moment: Date): Buffer {
  const digits = moment.toISOString().replace(/[-:T]|\.\d+/g, "");
  return tlv(TAG.generalizedTime, Buffer.from(digits));
}
