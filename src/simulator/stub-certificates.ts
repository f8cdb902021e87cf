import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import {
  bits,
  boolean,
  context,
  contextPrimitive,
  integer,
  octets,
  oid,
  sequence,
  time,
} from "../kernel/der.ts";
import { distinguishedName, signatureAlgorithm, toPem } from "../protocol/index.ts";

/** Certificates with no more in them than a device looks at; the platform's own make real ones. */
export interface StubIssuer {
  name: Buffer;
  privateKey: KeyObject;
  pem: string;
}

interface Contents {
  serial: number;
  subject: Buffer;
  /** DER. */
  publicKey: Buffer;
  notBefore: Date;
  notAfter: Date;
  extension: Buffer;
}

const BASIC_CONSTRAINTS = "2.5.29.19";
const ALTERNATIVE_NAMES = "2.5.29.17";
const DAY_MS = 86_400_000;
const YEAR_MS = 365 * 86_400_000;

/** A self-signed authority, or one below `parent`. */
export function makeAuthority(
  commonName: string,
  serial: number,
  nowMs: number,
  parent?: StubIssuer,
): StubIssuer {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const name = distinguishedName("stub", commonName);
  const contents = {
    serial,
    subject: name,
    publicKey: createPublicKey(privateKey).export({ type: "spki", format: "der" }),
    notBefore: new Date(nowMs - YEAR_MS),
    notAfter: new Date(nowMs + 10 * YEAR_MS),
    extension: extension(BASIC_CONSTRAINTS, sequence(boolean(true))),
  };
  return { name, privateKey, pem: certificate(parent ?? { name, privateKey }, contents) };
}

export function makeDeviceCertificate(
  issuer: StubIssuer,
  device: { tenant: string; id: string; publicKey: Buffer; serial: number },
  validity: { notBefore: Date; notAfter: Date },
): string {
  const uri = `spiffe://${device.tenant}.devices.invalid/device/${device.id}`;
  const { serial, publicKey } = device;
  return certificate(issuer, {
    ...{ serial, publicKey, ...validity },
    subject: distinguishedName(device.tenant, `${device.tenant}/${device.id}`),
    extension: extension(ALTERNATIVE_NAMES, sequence(contextPrimitive(6, Buffer.from(uri)))),
  });
}

/** For a server that is reached by these names, in DNS. */
export function makeServerCertificate(
  issuer: StubIssuer,
  server: { names: readonly string[]; addresses: readonly string[]; serial: number; nowMs: number },
): { key: string; certificate: string } {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const alternatives = [
    ...server.names.map((name) => contextPrimitive(2, Buffer.from(name))),
    ...server.addresses.map((address) =>
      contextPrimitive(7, Buffer.from(address.split(".").map(Number))),
    ),
  ];
  const pem = certificate(issuer, {
    serial: server.serial,
    subject: distinguishedName("stub", server.names[0] ?? "server"),
    publicKey: createPublicKey(privateKey).export({ type: "spki", format: "der" }),
    notBefore: new Date(server.nowMs - DAY_MS),
    notAfter: new Date(server.nowMs + YEAR_MS),
    extension: extension(ALTERNATIVE_NAMES, sequence(...alternatives), false),
  });
  const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  return { key, certificate: pem + issuer.pem };
}

function certificate(issuer: { name: Buffer; privateKey: KeyObject }, contents: Contents): string {
  const algorithm = signatureAlgorithm(issuer.privateKey);
  const serial = Buffer.alloc(4);
  serial.writeUInt32BE(contents.serial);
  // RFC 5280 §4.1
  const toBeSigned = sequence(
    context(0, integer(Buffer.from([2]))),
    integer(serial),
    algorithm.identifier,
    issuer.name,
    sequence(time(contents.notBefore), time(contents.notAfter)),
    contents.subject,
    contents.publicKey,
    context(3, sequence(contents.extension)),
  );
  const signed = sequence(toBeSigned, algorithm.identifier, bits(algorithm.sign(toBeSigned)));
  return toPem("CERTIFICATE", signed);
}

function extension(id: string, value: Buffer, critical = true): Buffer {
  // DER has no word for a default (X.690 §11.5).
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));
}
