import {
  bits,
  bitsOf,
  context,
  DerError,
  integer,
  membersOf,
  readDer,
  sequence,
  TAG,
} from "../kernel/der.ts";
import { type AuthorityKey, algorithmIdentifier } from "./authority-key.ts";
import { asRefusal, assertSignedBy, readDeviceKey } from "./certificate-request.ts";

/** A certificate request (PKCS#10, RFC 2986) of an authority, signed wherever its key lies. */
export async function certificationRequest(key: AuthorityKey, subject: Buffer): Promise<Buffer> {
  const information = sequence(integer(Buffer.from([0])), subject, key.publicKey, context(0));
  const signature = await key.sign(information);
  return sequence(information, algorithmIdentifier(key.algorithm), bits(signature));
}

/** The public key of an authority's request, which it must have signed; no name in it counts. */
export function readKeyRequest(pem: string): Promise<Buffer> {
  return asRefusal(async () => {
    const base64 = /-----BEGIN CERTIFICATE REQUEST-----([^-]+)-----END /.exec(pem)?.[1];
    if (!base64) throw new DerError("it is no PEM");
    const parts = membersOf(readDer(Buffer.from(base64, "base64")), TAG.sequence);
    const [information, algorithm, signature] = parts;
    const keyInfo = membersOf(information, TAG.sequence)[2];
    if (!information || !keyInfo) throw new DerError("parts are missing");
    // Authorities' keys are of the same kinds as devices'.
    const key = readDeviceKey(keyInfo.raw);
    assertSignedBy(key, algorithm, information.raw, bitsOf(signature));
    return key.der;
  });
}
