import { createHash, randomBytes } from "node:crypto";
import {
  bits,
  bitsOf,
  boolean,
  context,
  contextPrimitive,
  integer,
  membersOf,
  octets,
  oid,
  readDer,
  sequence,
  set,
  TAG,
  time,
  tlv,
} from "../kernel/der.ts";
import { distinguishedName } from "../protocol/index.ts";
import { type AuthorityKey, algorithmIdentifier } from "./authority-key.ts";

/** What a certificate is made from, besides its serial number. */
export interface CertificateRecipe {
  issuer: Issuer;
  /** DER of the subject's name. */
  subject: Buffer;
  /** DER of the subject's public key (SubjectPublicKeyInfo). */
  publicKey: Buffer;
  notBefore: Date;
  notAfter: Date;
  /** DER of each extension besides the two key identifiers. */
  extensions: Buffer[];
}

/** Who signs. */
export interface Issuer {
  /** DER of the issuer's name, byte for byte as its own certificate has it. */
  name: Buffer;
  keyIdentifier: Buffer;
  key: AuthorityKey;
}

export interface BuiltCertificate {
  der: Buffer;
  /** Lower-case hex. */
  serial: string;
}

/** RFC 5280 §4.1.2.1 */
export const VERSION_3 = context(0, integer(Buffer.from([2])));
export const SERIAL_BYTES = 16;

export async function buildCertificate(recipe: CertificateRecipe): Promise<BuiltCertificate> {
  const serial = newSerial();
  const toBeSigned = certificateToBeSigned(recipe, serial);
  return { der: await signed(recipe.issuer, toBeSigned), serial: serial.toString("hex") };
}

/** RFC 5280 §4.1.2.2: positive; and never with leading zeros, so that its hex has one length. */
export function newSerial(): Buffer {
  const serial = randomBytes(SERIAL_BYTES);
  serial[0] = ((serial[0] as number) & 0x3f) | 0x40;
  return serial;
}

/** What is signed of a certificate (TBSCertificate), as this recipe always gives it. */
export function certificateToBeSigned(recipe: CertificateRecipe, serial: Buffer): Buffer {
  const { issuer } = recipe;
  const extensions = sequence(
    ...recipe.extensions,
    extension(OID_EXTENSION.subjectKey, false, octets(keyIdentifierOf(recipe.publicKey))),
    authorityKeyIdentifier(issuer.keyIdentifier),
  );
  return sequence(
    VERSION_3,
    integer(serial),
    algorithmIdentifier(issuer.key.algorithm),
    issuer.name,
    sequence(time(recipe.notBefore), time(recipe.notAfter)),
    recipe.subject,
    recipe.publicKey,
    context(3, extensions),
  );
}

/** A certificate, revocation list or the like: what is signed, the algorithm, the signature. */
export async function signed(issuer: Pick<Issuer, "key">, toBeSigned: Uint8Array): Promise<Buffer> {
  const signature = await issuer.key.sign(toBeSigned);
  return sequence(toBeSigned, algorithmIdentifier(issuer.key.algorithm), bits(signature));
}

export const OID_EXTENSION = { subjectKey: "2.5.29.14", alternativeNames: "2.5.29.17" } as const;

/** RFC 5280 §4.2.1.1: by which key the issuer is found. */
export function authorityKeyIdentifier(keyIdentifier: Uint8Array): Buffer {
  return extension("2.5.29.35", false, sequence(contextPrimitive(0, keyIdentifier)));
}

/** RFC 5280 §4.2.1.2, method 1: SHA-1 over the bits of the public key. It names and protects nothing. */
export function keyIdentifierOf(publicKey: Uint8Array): Buffer {
  const [, key] = membersOf(readDer(publicKey), TAG.sequence);
  return createHash("sha1").update(bitsOf(key)).digest();
}

/** DER of the subject of a certificate. */
export function subjectOf(certificate: Uint8Array): Buffer {
  const [toBeSigned] = membersOf(readDer(certificate), TAG.sequence);
  const subject = membersOf(toBeSigned, TAG.sequence)[5];
  if (!subject) throw new Error("a certificate without a subject");
  return subject.raw;
}

function extension(type: string, critical: boolean, value: Uint8Array): Buffer {
  return sequence(oid(type), ...(critical ? [boolean(true)] : []), octets(value));
}

/** Basic constraints of an authority (with its path length) or of an end entity. */
export function basicConstraints(pathLength: number | null): Buffer {
  const members = pathLength === null ? [] : [boolean(true), integer(Buffer.from([pathLength]))];
  return extension("2.5.29.19", true, sequence(...members));
}

/** RFC 5280 §4.2.1.3: a device signs handshakes, an authority signs certificates and CRLs. */
export function keyUsage(usage: "digital-signature" | "certificate-authority"): Buffer {
  const value =
    usage === "digital-signature" ? bits(Buffer.from([0x80]), 7) : bits(Buffer.from([0x06]), 1);
  return extension("2.5.29.15", true, value);
}

export const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
export const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";

export function extendedKeyUsage(purpose: string): Buffer {
  return extension("2.5.29.37", false, sequence(oid(purpose)));
}

/** RFC 6960 §4.2.2.2.1: the signer of answers is not itself asked about. */
export function ocspNoCheck(): Buffer {
  return extension("1.3.6.1.5.5.7.48.1.5", false, tlv(TAG.null));
}

export function subjectAlternativeNames(names: Buffer[]): Buffer {
  return extension(OID_EXTENSION.alternativeNames, false, sequence(...names));
}

/** General names (RFC 5280 §4.2.1.6). */
export const generalName = {
  email: (text: string) => contextPrimitive(1, Buffer.from(text, "latin1")),
  dns: (text: string) => contextPrimitive(2, Buffer.from(text, "latin1")),
  directory: (name: Buffer) => context(4, name),
  uri: (text: string) => contextPrimitive(6, Buffer.from(text, "latin1")),
  ip: (bytes: Uint8Array) => contextPrimitive(7, bytes),
};

const EVERY_IPV4 = Buffer.alloc(8);
const EVERY_IPV6 = Buffer.alloc(32);

/**
 * Critical name constraints of a tenant's authority: URIs of the one host, names that begin with
 * the one organisation, and no name of another kind at all.
 */
export function tenantNameConstraints(tenantId: string, uriHost: string): Buffer {
  const permitted = [
    generalName.uri(uriHost),
    generalName.directory(distinguishedName(tenantId)),
    // Verifiers disagree on what an empty e-mail constraint excludes; a reserved domain
    // (RFC 2606 §2) as the only one permitted says it to all of them.
    generalName.email(".invalid"),
  ];
  const excluded = [generalName.dns(""), generalName.ip(EVERY_IPV4), generalName.ip(EVERY_IPV6)];
  const value = sequence(
    context(0, ...permitted.map((base) => sequence(base))),
    context(1, ...excluded.map((base) => sequence(base))),
  );
  return extension("2.5.29.30", true, value);
}

/** A degenerate SignedData (RFC 5652 §5, RFC 7030 §4.1.3): certificates and nothing signed. */
export function certsOnlyPkcs7(certificates: readonly string[]): Buffer {
  const signedData = sequence(
    integer(Buffer.from([1])),
    set(),
    sequence(oid("1.2.840.113549.1.7.1")),
    context(0, ...certificates.flatMap(pemToDers)),
    set(),
  );
  return sequence(oid("1.2.840.113549.1.7.2"), context(0, signedData));
}

/** DER of every certificate in a PEM text. */
export function pemToDers(pem: string): Buffer[] {
  const blocks = pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/g);
  return [...blocks].map((block) => Buffer.from(block[1] as string, "base64"));
}
