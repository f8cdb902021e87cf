import type { X509Certificate } from "node:crypto";
import {
  contentOf,
  DerError,
  type DerValue,
  membersOf,
  oidOf,
  readDer,
  TAG,
} from "../kernel/der.ts";
import { OID } from "../protocol/index.ts";
import { CLIENT_AUTH } from "./certificate-builder.ts";
import type { CertificateFields, MappingField } from "./registered-mapping.ts";

const SUBJECT_FIELDS: Record<string, MappingField> = {
  [OID.commonName]: "cn",
  [OID.organization]: "o",
  "2.5.4.11": "ou",
  "2.5.4.5": "serialNumber",
};
const TEXT_TAGS: readonly number[] = [TAG.utf8String, TAG.printableString, TAG.ia5String];
const KEY_USAGE = "2.5.29.15";
const ALTERNATIVE_NAMES = "2.5.29.17";
const EXTENDED_KEY_USAGE = "2.5.29.37";
const URI_TAG = 0x86;
const DNS_TAG = 0x82;
const MAX_VALUE_LENGTH = 256;

/** Signatures of certificates that are believed: nothing that goes by SHA-1 or MD5. */
const SIGNATURES = new Set([
  "1.2.840.10045.4.3.2",
  "1.2.840.10045.4.3.3",
  "1.2.840.10045.4.3.4",
  "1.3.101.112",
  "1.2.840.113549.1.1.11",
  "1.2.840.113549.1.1.12",
  "1.2.840.113549.1.1.13",
]);
const CURVES = new Set(["prime256v1", "secp384r1", "secp521r1"]);
const MIN_RSA_BITS = 2_048;

/** What our rules need of a certificate that somebody else wrote. */
export interface ForeignCertificate {
  /** DER of the name of who issued it. */
  issuer: Buffer;
  /** DER of its own name. */
  subject: Buffer;
  fields: CertificateFields;
  /** Bits of the key usage; undefined where it has none. */
  keyUsage: number | undefined;
  /** Extended key usages; undefined where it has none. */
  purposes: string[] | undefined;
  signatureAlgorithm: string;
}

/** Reads a certificate; throws `DerError` where it is not as RFC 5280 says. */
export function readForeign(der: Uint8Array): ForeignCertificate {
  const [toBeSigned, algorithm] = membersOf(readDer(der), TAG.sequence);
  const members = membersOf(toBeSigned, TAG.sequence);
  // Without the version (RFC 5280 §4.1.2.1) it is of the first, and has no extensions.
  const start = members[0]?.tag === 0xa0 ? 1 : 0;
  const [, , issuer, , subject] = members.slice(start);
  if (!issuer || !subject) throw new DerError("names are missing");
  const fields: Record<MappingField, string[]> = {
    cn: [],
    ou: [],
    o: [],
    serialNumber: [],
    uri: [],
    dns: [],
  };
  readSubject(subject, fields);
  const found: ForeignCertificate = {
    issuer: issuer.raw,
    subject: subject.raw,
    fields,
    keyUsage: undefined,
    purposes: undefined,
    signatureAlgorithm: oidOf(membersOf(algorithm, TAG.sequence)[0]),
  };
  const last = members.at(-1);
  if (last?.tag === 0xa3) readExtensions(last, found, fields);
  return found;
}

function readSubject(subject: DerValue, fields: Record<MappingField, string[]>): void {
  for (const relative of membersOf(subject, TAG.sequence)) {
    for (const attribute of membersOf(relative, TAG.set)) {
      const [type, value] = membersOf(attribute, TAG.sequence);
      const field = SUBJECT_FIELDS[oidOf(type)];
      if (!field || !value) continue;
      if (!TEXT_TAGS.includes(value.tag)) throw new DerError(`${field} is no text`);
      fields[field].push(textOf(value));
    }
  }
}

function readExtensions(
  wrapped: DerValue,
  found: ForeignCertificate,
  fields: Record<MappingField, string[]>,
): void {
  for (const extension of membersOf(readDer(wrapped.content), TAG.sequence)) {
    const parts = membersOf(extension, TAG.sequence);
    const value = contentOf(parts.at(-1), TAG.octetString);
    const type = oidOf(parts[0]);
    if (type === KEY_USAGE) {
      found.keyUsage = contentOf(readDer(value), TAG.bitString)[1] ?? 0;
    } else if (type === EXTENDED_KEY_USAGE) {
      found.purposes = membersOf(readDer(value), TAG.sequence).map(oidOf);
    } else if (type === ALTERNATIVE_NAMES) {
      for (const name of membersOf(readDer(value), TAG.sequence)) {
        if (name.tag === URI_TAG) fields.uri.push(textOf(name));
        else if (name.tag === DNS_TAG) fields.dns.push(textOf(name));
      }
    }
  }
}

function textOf(value: DerValue): string {
  if (value.content.length > MAX_VALUE_LENGTH) throw new DerError("a name is too long");
  return value.content.toString("utf8");
}

const DIGITAL_SIGNATURE = 0x80;
const KEY_CERT_SIGN = 0x04;
const ANY_PURPOSE = "2.5.29.37.0";

/** What is wrong with a device's certificate of somebody else's authority, whatever it says. */
export function leafProblem(
  certificate: X509Certificate,
  foreign: ForeignCertificate,
): "wrong-usage" | "weak" | undefined {
  const { keyUsage, purposes } = foreign;
  if (certificate.ca) return "wrong-usage";
  if (keyUsage !== undefined && (keyUsage & DIGITAL_SIGNATURE) === 0) return "wrong-usage";
  // RFC 5280 §4.2.1.12: without the extension a key is for any purpose.
  const mayBeClient = [CLIENT_AUTH, ANY_PURPOSE].some((one) => purposes?.includes(one));
  if (purposes && !mayBeClient) return "wrong-usage";
  return isStrong(certificate, foreign) ? undefined : "weak";
}

/** What is wrong with a certificate as that of an authority. */
export function authorityProblem(
  certificate: X509Certificate,
  foreign: ForeignCertificate,
): string | undefined {
  if (!certificate.ca) return "it is not that of an authority (CA:TRUE is missing)";
  if (foreign.keyUsage !== undefined && (foreign.keyUsage & KEY_CERT_SIGN) === 0) {
    return "its key usage does not let it sign certificates";
  }
  if (!isStrong(certificate, foreign)) return "its key or signature is too weak";
  return undefined;
}

function isStrong(certificate: X509Certificate, { signatureAlgorithm }: ForeignCertificate) {
  if (!SIGNATURES.has(signatureAlgorithm)) return false;
  const { asymmetricKeyType, asymmetricKeyDetails } = certificate.publicKey;
  if (asymmetricKeyType === "ed25519") return true;
  if (asymmetricKeyType === "rsa")
    return (asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_RSA_BITS;
  return asymmetricKeyType === "ec" && CURVES.has(asymmetricKeyDetails?.namedCurve ?? "");
}
