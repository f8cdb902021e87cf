import { octets, oid, sequence } from "../kernel/der.ts";
import { distributionPoint, ocspAccess } from "./crl.ts";

/** Where an authority's list is found below the public URL of the devices' HTTPS. */
export function crlUrl(publicUrl: string, authorityId: string): string {
  return `${publicUrl}/crl/${authorityId}.crl`;
}

export function deltaCrlUrl(publicUrl: string, authorityId: string): string {
  return `${publicUrl}/crl/${authorityId}-delta.crl`;
}

export function ocspUrl(publicUrl: string): string {
  return `${publicUrl}/ocsp`;
}

/**
 * What a certificate says of where its standing is published: the list of its authority (RFC 5280
 * §4.2.1.13) and the responder (§4.2.2.1).
 */
export function revocationExtensions(publicUrl: string, authorityId: string): Buffer[] {
  return [
    sequence(oid("2.5.29.31"), octets(distributionPoint(crlUrl(publicUrl, authorityId)))),
    sequence(oid("1.3.6.1.5.5.7.1.1"), octets(ocspAccess(ocspUrl(publicUrl)))),
  ];
}
