import "reflect-metadata";
import { webcrypto } from "node:crypto";
import type tls from "node:tls";
import * as x509 from "@peculiar/x509";
import { AppError } from "../../src/kernel/index.ts";
import { deviceUri, parseDeviceUri } from "../../src/protocol/index.ts";

const TRUST_DOMAIN = "devices.test.internal";
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const YEAR_MS = 365 * 86_400_000;
const crypto = webcrypto as unknown as Crypto;
x509.cryptoProvider.set(crypto);

export interface Credentials {
  key: string;
  cert: string;
  ca: string;
}

export interface TestPki {
  root: string;
  server: Credentials;
  /** A device's key and chain; `days` below zero make it expired. */
  device(tenantId: string, deviceId: string, options?: { days?: number }): Promise<Credentials>;
}

interface Authority {
  certificate: x509.X509Certificate;
  keys: webcrypto.CryptoKeyPair;
}

/** A root, a server certificate and tenants' issuing CAs, made for one test file and forgotten. */
export async function createTestPki(): Promise<TestPki> {
  const root = await authority("CN=Test Root");
  const tenants = new Map<string, Promise<Authority>>();
  const server = await leaf(root, "CN=localhost", [
    new x509.SubjectAlternativeNameExtension([
      { type: "dns", value: "localhost" },
      { type: "ip", value: "127.0.0.1" },
    ]),
  ]);
  const rootPem = root.certificate.toString("pem");
  return {
    root: rootPem,
    server: { ...server, ca: rootPem },
    async device(tenantId, deviceId, { days = 90 } = {}) {
      const issuing = tenants.get(tenantId) ?? authority(`O=${tenantId}, CN=CA`, root);
      tenants.set(tenantId, issuing);
      const issuer = await issuing;
      const uri = deviceUri({ tenantId, deviceId }, TRUST_DOMAIN);
      const subject = `O=${tenantId}, CN=${tenantId}/${deviceId}`;
      const extensions = [new x509.SubjectAlternativeNameExtension([{ type: "url", value: uri }])];
      const { key, cert } = await leaf(issuer, subject, extensions, days);
      return { key, cert: `${cert}\n${issuer.certificate.toString("pem")}`, ca: rootPem };
    },
  };
}

/** Who a test certificate names: what the identity module does, without its register. */
export function peerOf(socket: tls.TLSSocket) {
  const certificate = socket.getPeerX509Certificate();
  const uri = /URI:([^,]+)/.exec(certificate?.subjectAltName ?? "")?.[1] ?? "";
  const device = parseDeviceUri(uri, TRUST_DOMAIN);
  if (!certificate || !device) throw new AppError("certificate-refused", "no device's certificate");
  return {
    ...device,
    serial: certificate.serialNumber.toLowerCase(),
    notAfter: new Date(certificate.validTo),
  };
}

async function authority(name: string, issuer?: Authority): Promise<Authority> {
  const keys = (await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as never;
  const { publicKey, privateKey } = keys as webcrypto.CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.create({
    subject: name,
    issuer: issuer?.certificate.subject ?? name,
    notBefore: new Date(Date.now() - YEAR_MS),
    notAfter: new Date(Date.now() + YEAR_MS),
    publicKey,
    signingKey: issuer?.keys.privateKey ?? privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, issuer ? 0 : 1, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  return { certificate, keys };
}

async function leaf(
  issuer: Authority,
  subject: string,
  extensions: x509.Extension[],
  days = 90,
): Promise<{ key: string; cert: string }> {
  const keys = (await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as never;
  const { publicKey, privateKey } = keys as webcrypto.CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.create({
    subject,
    issuer: issuer.certificate.subject,
    notBefore: new Date(Date.now() - 10 * 86_400_000),
    notAfter: new Date(Date.now() + days * 86_400_000),
    publicKey,
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [new x509.BasicConstraintsExtension(false), ...extensions],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", privateKey));
  return {
    key: x509.PemConverter.encode(pkcs8, "PRIVATE KEY"),
    cert: certificate.toString("pem"),
  };
}
