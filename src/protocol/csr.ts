import { createPublicKey, type KeyObject, sign } from "node:crypto";
import { bits, context, integer, oid, sequence, set, utf8 } from "../kernel/der.ts";

/** Object identifiers that requests and certificates share. */
export const OID = {
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  ed25519: "1.3.101.112",
} as const;

/**
 * A certificate request (PKCS#10, RFC 2986) in DER for a P-256 or Ed25519 key, with the subject
 * `O=<organization>, CN=<commonName>`.
 */
export function createCertificateRequest(options: {
  privateKey: KeyObject;
  commonName: string;
  organization: string;
}): Buffer {
  const { privateKey } = options;
  const algorithm = signatureAlgorithm(privateKey);
  const information = sequence(
    integer(Buffer.from([0])),
    distinguishedName(options.organization, options.commonName),
    createPublicKey(privateKey).export({ type: "spki", format: "der" }),
    context(0),
  );
  return sequence(information, algorithm.identifier, bits(algorithm.sign(information)));
}

/** `O=<organization>, CN=<commonName>` as two relative names of UTF-8 strings. */
export function distinguishedName(organization: string, commonName?: string): Buffer {
  const part = (type: string, text: string) => set(sequence(oid(type), utf8(text)));
  return sequence(
    part(OID.organization, organization),
    ...(commonName === undefined ? [] : [part(OID.commonName, commonName)]),
  );
}

/** How a P-256 or Ed25519 key signs, and the identifier that says so (RFC 5758, RFC 8410). */
export function signatureAlgorithm(privateKey: KeyObject): {
  identifier: Buffer;
  sign(data: Uint8Array): Buffer;
} {
  if (privateKey.asymmetricKeyType === "ed25519") {
    return {
      identifier: sequence(oid(OID.ed25519)),
      sign: (data) => sign(null, data, privateKey),
    };
  }
  if (privateKey.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw new TypeError("keys of certificates are P-256 or Ed25519");
  }
  return {
    identifier: sequence(oid(OID.ecdsaWithSha256)),
    sign: (data) => sign("sha256", data, privateKey),
  };
}

/** DER in PEM (RFC 7468). */
export function toPem(
  label: "CERTIFICATE" | "CERTIFICATE REQUEST" | "X509 CRL",
  der: Uint8Array,
): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
