import "reflect-metadata";
import { randomBytes, webcrypto } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import path from "node:path";
import * as x509 from "@peculiar/x509";

const LIFETIME_MS = 10 * 365 * 86_400_000;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

export interface ServerCertificate {
  keyPem: string;
  certificatePem: string;
  /** What agents are given as the cache's `root`. */
  file: string;
}

/**
 * The certificate that the cache shows. Where none is configured it makes one for itself: agents
 * name it in their configuration, and it vouches for nothing but this cache.
 */
export async function serverCertificate(
  directory: string,
  host: string,
): Promise<ServerCertificate> {
  const keyFile = path.join(directory, "cache-key.pem");
  const file = path.join(directory, "cache-certificate.pem");
  if (!existsSync(file) || !existsSync(keyFile)) {
    const made = await make(host);
    await writeFile(keyFile, made.keyPem, { mode: 0o600 });
    await writeFile(file, made.certificatePem, { mode: 0o644 });
  }
  const [keyPem, certificatePem] = await Promise.all([
    readFile(keyFile, "utf8"),
    readFile(file, "utf8"),
  ]);
  return { keyPem, certificatePem, file };
}

async function make(host: string): Promise<{ keyPem: string; certificatePem: string }> {
  x509.cryptoProvider.set(webcrypto as never);
  const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, [
    "sign",
    "verify",
  ])) as webcrypto.CryptoKeyPair;
  const now = Date.now();
  const name = isIP(host)
    ? { type: "ip" as const, value: host }
    : { type: "dns" as const, value: host };
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomBytes(15).toString("hex"),
    name: `CN=${host}`,
    notBefore: new Date(now - 3_600_000),
    notAfter: new Date(now + LIFETIME_MS),
    keys: keys as never,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.1"]),
      new x509.SubjectAlternativeNameExtension([name]),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  const base64 = pkcs8.toString("base64").replace(/.{64}/g, "$&\n");
  return {
    keyPem: `-----BEGIN PRIVATE KEY-----\n${base64}\n-----END PRIVATE KEY-----\n`,
    certificatePem: `${certificate.toString("pem")}\n`,
  };
}
