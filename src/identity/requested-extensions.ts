import {
  boolean,
  contentOf,
  type DerValue,
  membersOf,
  oidOf,
  readDer,
  TAG,
} from "../kernel/der.ts";
import { AppError } from "../kernel/index.ts";
import { CLIENT_AUTH, SERVER_AUTH } from "./certificate-builder.ts";

const KEY_USAGE = "2.5.29.15";
const ALTERNATIVE_NAMES = "2.5.29.17";
const BASIC_CONSTRAINTS = "2.5.29.19";
const EXTENDED_KEY_USAGE = "2.5.29.37";
const SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
const MAX_EXTENSIONS = 20;
const URI_TAG = 0x86;
/** keyCertSign and cRLSign (RFC 5280 §4.2.1.3), bits 5 and 6. */
const AUTHORITY_BITS = 0x06;
/** Requests come from devices that speak TLS both ways; the certificate is a client's all the same. */
const HARMLESS_PURPOSES = [CLIENT_AUTH, SERVER_AUTH];

/**
 * Reads the extensions that a request asks for (the members of `Extensions`, RFC 5280 §4.1). None is
 * ever copied into a certificate. What would make an authority of a device, or name another, is
 * refused rather than left out, so that whoever asked learns of it. Returns the URIs asked for.
 */
export function readRequestedExtensions(extensions: readonly DerValue[]): string[] {
  if (extensions.length > MAX_EXTENSIONS) throw refused("extension", "it asks for too many");
  const seen = new Set<string>();
  const uris: string[] = [];
  for (const extension of extensions) {
    const parts = membersOf(extension, TAG.sequence);
    const type = oidOf(parts[0]);
    // RFC 5280 §4.2: a certificate has no extension twice.
    if (seen.has(type)) throw refused("extension", `it asks twice for extension ${type}`);
    seen.add(type);
    const isCritical = parts.length === 3 && parts[1]?.raw.equals(boolean(true)) === true;
    const value = contentOf(parts.at(-1), TAG.octetString);
    if (type === ALTERNATIVE_NAMES) uris.push(...urisOf(value));
    else check(type, value, isCritical);
  }
  return uris;
}

function check(type: string, value: Buffer, isCritical: boolean): void {
  switch (type) {
    case BASIC_CONSTRAINTS:
      if (membersOf(readDer(value), TAG.sequence).length > 0) {
        throw refused("extension", "a device is no certificate authority");
      }
      return;
    case KEY_USAGE:
      if (((contentOf(readDer(value), TAG.bitString)[1] ?? 0) & AUTHORITY_BITS) !== 0) {
        throw refused("extension", "a device signs no certificates");
      }
      return;
    case EXTENDED_KEY_USAGE:
      for (const purpose of membersOf(readDer(value), TAG.sequence)) {
        if (HARMLESS_PURPOSES.includes(oidOf(purpose))) continue;
        throw refused("extension", `a device's certificate is not for purpose ${oidOf(purpose)}`);
      }
      return;
    case SUBJECT_KEY_IDENTIFIER:
      return;
    default:
      if (isCritical) throw refused("extension", `extension ${type} cannot be granted`);
  }
}

/** Alternative names are read to refuse a request that asks for others than the device's URI. */
function urisOf(value: Buffer): string[] {
  return membersOf(readDer(value), TAG.sequence).map((name) => {
    if (name.tag !== URI_TAG) throw refused("name", "only the device's URI may be asked for");
    return name.content.toString("latin1");
  });
}

function refused(reason: string, message: string): AppError {
  return new AppError("csr-invalid", message, { reason });
}
