import { generateKeyPairSync, type KeyObject, type webcrypto } from "node:crypto";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

/** A second opinion and an attacker's tool: certificates made by a library, not by our own code. */
export interface ForgedCertificate {
  keyPem: string;
  certificatePem: string;
  certificate: x509.X509Certificate;
  keys: webcrypto.CryptoKeyPair;
}

export interface Forgery {
  /** Its own issuer where absent. */
  issuer?: ForgedCertificate;
  subject: string;
  uris?: string[];
  dns?: string[];
  /** Extended key usage; none where absent. */
  usage?: string[];
  authority?: boolean;
  notBefore?: Date;
  notAfter?: Date;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

export async function forge(forgery: Forgery): Promise<ForgedCertificate> {
  const keys = (await crypto.subtle.generateKey(ALGORITHM, true, [
    "sign",
    "verify",
  ])) as webcrypto.CryptoKeyPair;
  const names = [
    ...(forgery.uris ?? []).map((value) => ({ type: "url" as const, value })),
    ...(forgery.dns ?? []).map((value) => ({ type: "dns" as const, value })),
  ];
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: `40${Buffer.from(crypto.getRandomValues(new Uint8Array(15))).toString("hex")}`,
    subject: forgery.subject,
    issuer: forgery.issuer?.certificate.subject ?? forgery.subject,
    notBefore: forgery.notBefore ?? new Date(Date.now() - 60_000),
    notAfter: forgery.notAfter ?? new Date(Date.now() + 3_600_000),
    signingAlgorithm: ALGORITHM,
    signingKey: (forgery.issuer?.keys ?? keys).privateKey,
    publicKey: keys.publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(forgery.authority ?? false, undefined, true),
      ...(forgery.usage ? [new x509.ExtendedKeyUsageExtension(forgery.usage)] : []),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
  const keyPem = `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString("base64")}\n-----END PRIVATE KEY-----\n`;
  return { keyPem, certificatePem: `${certificate.toString("pem")}\n`, certificate, keys };
}

/** An authority of ours whose key an attacker (or the test) has got hold of. */
export async function stolenAuthority(
  certificatePem: string,
  key: KeyObject,
): Promise<ForgedCertificate> {
  const pkcs8 = key.export({ type: "pkcs8", format: "der" });
  const privateKey = await crypto.subtle.importKey(
    "pkcs8",
    new Uint8Array(pkcs8),
    ALGORITHM,
    true,
    ["sign"],
  );
  const certificate = new x509.X509Certificate(certificatePem);
  const publicKey = await certificate.publicKey.export();
  return {
    keyPem: key.export({ type: "pkcs8", format: "pem" }) as string,
    certificatePem,
    certificate,
    keys: { privateKey, publicKey },
  };
}

export function newKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

export function pemOf(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }) as string;
}
