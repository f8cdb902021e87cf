import type { X509Certificate } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";
import { type DeviceIdentity, distinguishedName, toPem } from "../protocol/index.ts";
import {
  type BuiltCertificate,
  basicConstraints,
  buildCertificate,
  CLIENT_AUTH,
  extendedKeyUsage,
  generalName,
  type Issuer,
  keyIdentifierOf,
  keyUsage,
  SERVER_AUTH,
  subjectAlternativeNames,
  subjectOf,
  tenantNameConstraints,
} from "./certificate-builder.ts";

/** Clocks of devices run behind: a certificate is valid from a little before it was issued. */
export const BACKDATE_MS = 5 * 60_000;

interface Request {
  issuer: Issuer;
  /** DER of the subject's public key. */
  publicKey: Buffer;
  notBefore: Date;
  notAfter: Date;
}

const DAY_MS = 86_400_000;
export const MAX_ROOT_LIFETIME_MS = 20 * 365 * DAY_MS;
const AUTHORITY_LIFETIME_MS = 5 * 365 * DAY_MS;

export interface Validity {
  notBefore: Date;
  notAfter: Date;
}

export function validityFrom(now: number, lifetimeMs: number): Validity {
  return { notBefore: new Date(now - BACKDATE_MS), notAfter: new Date(now + lifetimeMs) };
}

/** The validity of an authority below a root, which it does not outlive. */
export function validityWithin(now: number, rootNotAfter: Date): Validity {
  const validity = validityFrom(now, AUTHORITY_LIFETIME_MS);
  return validity.notAfter < rootNotAfter ? validity : { ...validity, notAfter: rootNotAfter };
}

/** Two authorities may stand below a root: its successor, cross-signed, and one that issues. */
const ROOT_EXTENSIONS = [basicConstraints(2), keyUsage("certificate-authority")];

export function rootCertificate(request: Request): Promise<BuiltCertificate> {
  return buildCertificate({
    ...request,
    subject: request.issuer.name,
    extensions: ROOT_EXTENSIONS,
  });
}

/**
 * A new root as its predecessor signs it (RFC 4210 §4.4, "new with old"): who trusts the old root
 * alone reaches what stands below the new one. PEM.
 */
export async function crossCertificate(
  issuer: Issuer,
  issuerNotAfter: Date,
  { certificate, now }: { certificate: X509Certificate; now: number },
): Promise<string> {
  const notAfter = new Date(Math.min(certificate.validToDate.getTime(), issuerNotAfter.getTime()));
  const { der } = await buildCertificate({
    issuer,
    subject: subjectOf(certificate.raw),
    publicKey: certificate.publicKey.export({ type: "spki", format: "der" }),
    notBefore: new Date(now - BACKDATE_MS),
    notAfter,
    extensions: [basicConstraints(1), keyUsage("certificate-authority")],
  });
  return toPem("CERTIFICATE", der);
}

/** What an authority below the root is to be, whoever signs it. */
export interface AuthorityRecipe {
  subject: Buffer;
  /** The subject for people. */
  name: string;
  extensions: Buffer[];
}

/**
 * The server authority issues for listeners only; a tenant's for its own devices only, which its
 * name constraints make every verifier see.
 */
export function authorityRecipe(
  kind: "tenant" | "server",
  tenantId: string,
  publicKey: Buffer,
  trustDomain: string,
): AuthorityRecipe {
  const mark = keyIdentifierOf(publicKey).toString("hex").slice(0, 8);
  const common = [basicConstraints(0), keyUsage("certificate-authority")];
  const [organization, commonName] =
    kind === "server"
      ? ["Vautn", `Vautn Server CA ${mark}`]
      : [tenantId, `${tenantId} Issuing CA ${mark}`];
  return {
    subject: distinguishedName(organization, commonName),
    name: `O=${organization}, CN=${commonName}`,
    extensions:
      kind === "server"
        ? [...common, extendedKeyUsage(SERVER_AUTH)]
        : [
            ...common,
            extendedKeyUsage(CLIENT_AUTH),
            tenantNameConstraints(tenantId, `${tenantId}.${trustDomain}`),
          ],
  };
}

export function serverCertificate(request: Request, publicHost: string): Promise<BuiltCertificate> {
  const hosts = [...new Set([publicHost, "localhost", "127.0.0.1", "::1"])];
  const extensions = [
    basicConstraints(null),
    keyUsage("digital-signature"),
    extendedKeyUsage(SERVER_AUTH),
    subjectAlternativeNames(hosts.map(hostName)),
  ];
  const subject = distinguishedName("Vautn", publicHost);
  return buildCertificate({ ...request, subject, extensions });
}

/** What every device's certificate says besides its names and keys. */
export const DEVICE_EXTENSIONS = [
  basicConstraints(null),
  keyUsage("digital-signature"),
  extendedKeyUsage(CLIENT_AUTH),
];

export function commonNameOf(identity: DeviceIdentity): string {
  return `${identity.tenantId}/${identity.deviceId}`;
}

function hostName(host: string): Buffer {
  if (isIPv4(host)) return generalName.ip(Buffer.from(host.split(".").map(Number)));
  if (isIPv6(host)) return generalName.ip(ipv6Bytes(host));
  return generalName.dns(host);
}

function ipv6Bytes(address: string): Buffer {
  // The URL parser writes the shortest form and turns embedded IPv4 into hex.
  const text = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = "", tail] = text.split("::");
  const groupsOf = (part: string | undefined) => (part ? part.split(":") : []);
  const before = groupsOf(head);
  const after = groupsOf(tail);
  const zeros = Array<string>(8 - before.length - after.length).fill("0");
  const bytes = Buffer.alloc(16);
  [...before, ...zeros, ...after].forEach((group, index) => {
    bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  });
  return bytes;
}
