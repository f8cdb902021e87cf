import type { KeyObject, X509Certificate } from "node:crypto";
import type { IssuedCertificate } from "../../protocol/index.ts";
import type { TlsCredentials } from "../ports.ts";
import { certificatesIn, type Generation, namesIn } from "./generation.ts";
import { RotationFault } from "./rotation-fault.ts";

/**
 * Checks what the platform has issued before anything of it is kept: for our key, in our name, and
 * by an authority under one of the roots that came along. Validity is not looked at: this device's
 * clock may be wrong, and the trial shows whether the platform takes it.
 */
export function checkIssued(
  issued: IssuedCertificate,
  key: KeyObject,
  present: Generation,
): Pick<TlsCredentials, "certificate" | "root"> {
  const [leaf, ...more] = parse(issued.certificate, "certificate");
  const between = parse(issued.chain, "chain");
  const roots = parse(issued.roots, "roots");
  if (!leaf || more.length > 0) throw fault("certificate", "one certificate is expected");
  if (!leaf.checkPrivateKey(key)) throw fault("key", "the certificate is for another key");
  if (namesIn(leaf) !== present.names) throw fault("name", "the certificate is for someone else");
  if (roots.length === 0) throw fault("roots", "the answer names no root");
  for (const root of roots) {
    if (!root.ca || !isSignedBy(root, root)) throw fault("roots", "what is named as root is none");
  }
  const tops = [...roots, ...between.filter((one) => roots.some((root) => isSignedBy(one, root)))];
  if (!tops.some((authority) => isSignedBy(leaf, authority))) {
    throw fault("chain", "the certificate does not lead to a root");
  }
  return { certificate: issued.certificate + issued.chain, root: issued.roots };
}

function isSignedBy(certificate: X509Certificate, authority: X509Certificate): boolean {
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

function parse(pem: string, element: string): X509Certificate[] {
  try {
    return certificatesIn(pem);
  } catch (error) {
    throw fault(element, "the answer cannot be read", error);
  }
}

function fault(element: string, message: string, cause?: unknown): RotationFault {
  return new RotationFault("store", element, message, { isFinal: true, cause });
}
