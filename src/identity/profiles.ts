import { isIPv4, isIPv6 } from "node:net";
import { type DeviceIdentity, distinguishedName } from "../protocol/index.ts";
import {
  type BuiltCertificate,
  basicConstraints,
  buildCertificate,
  CLIENT_AUTH,
  extendedKeyUsage,
  generalName,
  type Issuer,
  keyUsage,
  SERVER_AUTH,
  subjectAlternativeNames,
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

export function rootCertificate(request: Request): Promise<BuiltCertificate> {
  const extensions = [basicConstraints(1), keyUsage("certificate-authority")];
  return buildCertificate({ ...request, subject: request.issuer.name, extensions });
}

/** Issues for listeners only: its certificates are good for servers and nothing else. */
export function serverAuthorityCertificate(
  request: Request,
  name: Buffer,
): Promise<BuiltCertificate> {
  const extensions = [
    basicConstraints(0),
    keyUsage("certificate-authority"),
    extendedKeyUsage(SERVER_AUTH),
  ];
  return buildCertificate({ ...request, subject: name, extensions });
}

/** Issues for the devices of one tenant only, which its name constraints make every verifier see. */
export function tenantAuthorityCertificate(
  request: Request,
  name: Buffer,
  tenant: { id: string; trustDomain: string },
): Promise<BuiltCertificate> {
  const extensions = [
    basicConstraints(0),
    keyUsage("certificate-authority"),
    extendedKeyUsage(CLIENT_AUTH),
    tenantNameConstraints(tenant.id, `${tenant.id}.${tenant.trustDomain}`),
  ];
  return buildCertificate({ ...request, subject: name, extensions });
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
