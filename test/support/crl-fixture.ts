import { X509Certificate } from "node:crypto";
import { localKey, newPrivateKey } from "../../src/identity/authority-key.ts";
import { type Issuer, keyIdentifierOf } from "../../src/identity/certificate-builder.ts";
import { rootCertificate } from "../../src/identity/profiles.ts";
import { distinguishedName, toPem } from "../../src/protocol/index.ts";

/** An authority for one test, with its certificate. */
export async function createTestIssuer(
  algorithm: "ecdsa-p256" | "ed25519" = "ecdsa-p256",
): Promise<{ issuer: Issuer; pem: string; certificate: X509Certificate }> {
  const key = localKey(newPrivateKey(algorithm));
  const name = distinguishedName("Test", "Test CA");
  const issuer = { name, keyIdentifier: keyIdentifierOf(key.publicKey), key };
  const { der } = await rootCertificate({
    issuer,
    publicKey: key.publicKey,
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 86_400_000),
  });
  return { issuer, pem: toPem("CERTIFICATE", der), certificate: new X509Certificate(der) };
}
