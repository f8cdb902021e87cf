import { membersOf, oidOf, readDer, readMembers, TAG } from "../../kernel/der.ts";

const SIGNED_DATA = "1.2.840.113549.1.7.2";
/** `[0]`, constructed: the content of ContentInfo, and the certificates of SignedData. */
const CONTEXT_0 = 0xa0;

/** The certificates of a certs-only CMS message (RFC 5272 §4.1), in DER, in its order. */
export function certificatesOf(cms: Uint8Array): Buffer[] {
  const [type, content] = membersOf(readDer(cms), TAG.sequence);
  if (oidOf(type) !== SIGNED_DATA) throw new Error("the message holds no signed data");
  const [signedData] = membersOf(content, CONTEXT_0);
  const certificates = membersOf(signedData, TAG.sequence).find(({ tag }) => tag === CONTEXT_0);
  if (!certificates) throw new Error("the message holds no certificates");
  return readMembers(certificates.content).map((certificate) => certificate.raw);
}
