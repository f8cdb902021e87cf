import {
  boolean,
  context,
  contextPrimitive,
  integer,
  octets,
  oid,
  sequence,
  TAG,
  time,
  tlv,
} from "../kernel/der.ts";
import { algorithmIdentifier } from "./authority-key.ts";
import { authorityKeyIdentifier, generalName, type Issuer, signed } from "./certificate-builder.ts";

/** A certificate that is no longer good, as a list names it. */
export interface CrlEntry {
  /** Hex. */
  serial: string;
  revokedAt: Date;
  /** RFC 5280 §5.3.1. */
  code: number;
}

export interface CrlRecipe {
  issuer: Issuer;
  /** RFC 5280 §5.2.3: rises with each list of the authority. */
  number: number;
  /** Of the full list that a delta list is to be read with. */
  baseNumber?: number | undefined;
  thisUpdate: Date;
  nextUpdate: Date;
  entries: readonly CrlEntry[];
  /** Where the delta lists for this one are found. */
  freshestUrl?: string | undefined;
}

const VERSION_2 = integer(Buffer.from([1]));
/** RFC 5280 §4.1.2.2: serials have at most 20 bytes; ours have 16, other authorities' may be longer. */
const MAX_SERIAL_BYTES = 32;
/** Tag and length, the serial with its sign byte, a generalized time, one extension. */
const MAX_ENTRY_BYTES = 2 + (2 + MAX_SERIAL_BYTES + 1) + 17 + 14;

/**
 * A certificate revocation list (RFC 5280 §5) in DER. The entries are written one after the other
 * into one buffer: they are alike, and there may be a hundred thousand of them.
 */
export async function buildCrl(recipe: CrlRecipe): Promise<Buffer> {
  const { issuer, entries, number, baseNumber, freshestUrl } = recipe;
  const extensions = [
    authorityKeyIdentifier(issuer.keyIdentifier),
    extension("2.5.29.20", integerOf(number)),
    // RFC 5280 §5.2.4: critical, so that nobody takes a delta for the whole.
    ...(baseNumber === undefined ? [] : [extension("2.5.29.27", integerOf(baseNumber), true)]),
    ...(freshestUrl === undefined ? [] : [extension("2.5.29.46", distributionPoint(freshestUrl))]),
  ];
  const toBeSigned = sequence(
    VERSION_2,
    algorithmIdentifier(issuer.key.algorithm),
    issuer.name,
    time(recipe.thisUpdate),
    time(recipe.nextUpdate),
    // RFC 5280 §5.1.2.6: absent, not empty, where nothing is revoked.
    ...(entries.length === 0 ? [] : [sequence(writeEntries(entries))]),
    context(0, sequence(...extensions)),
  );
  return signed(issuer, toBeSigned);
}

function writeEntries(entries: readonly CrlEntry[]): Buffer {
  const buffer = Buffer.allocUnsafe(entries.length * MAX_ENTRY_BYTES);
  let end = 0;
  let second = Number.NaN;
  let moment: Buffer = Buffer.alloc(0);
  for (const { serial, revokedAt, code } of entries) {
    const entrySecond = Math.floor(revokedAt.getTime() / 1_000);
    // Revocations come in bulk: many have the same second.
    if (entrySecond !== second) {
      second = entrySecond;
      moment = time(revokedAt);
    }
    end = writeEntry(buffer, end, serial, moment, code);
  }
  return buffer.subarray(0, end);
}

function writeEntry(
  buffer: Buffer,
  start: number,
  serial: string,
  moment: Buffer,
  code: number,
): number {
  const digits = serial.length % 2 === 0 ? serial : `0${serial}`;
  const serialBytes = digits.length / 2;
  if (serialBytes < 1 || serialBytes > MAX_SERIAL_BYTES) throw new RangeError("not a serial");
  let at = start + 4;
  // A positive number whose first bit is set needs a zero before it.
  const isSigned = Number.parseInt(digits.slice(0, 2), 16) >= 0x80;
  if (isSigned) {
    buffer[at] = 0;
    at += 1;
  }
  at += buffer.write(digits, at, serialBytes, "hex");
  buffer[start + 2] = TAG.integer;
  buffer[start + 3] = serialBytes + (isSigned ? 1 : 0);
  at += moment.copy(buffer, at);
  // RFC 5280 §5.3.1: the reason is left out where it would say unspecified.
  if (code !== 0) {
    at += REASON_EXTENSION.copy(buffer, at);
    buffer[at - 1] = code;
  }
  buffer[start] = TAG.sequence;
  buffer[start + 1] = at - start - 2;
  return at;
}

/** The extensions of an entry with the one that gives its reason; the last byte is the code. */
const REASON_EXTENSION = sequence(extension("2.5.29.21", tlv(TAG.enumerated, Buffer.from([0]))));

function extension(type: string, value: Uint8Array, critical = false): Buffer {
  return sequence(oid(type), ...(critical ? [boolean(true)] : []), octets(value));
}

/** CRLDistributionPoints with one URL (RFC 5280 §4.2.1.13). */
export function distributionPoint(url: string): Buffer {
  return sequence(sequence(context(0, context(0, generalName.uri(url)))));
}

function integerOf(value: number): Buffer {
  const hex = value.toString(16);
  return integer(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex"));
}

/** DER of AuthorityInfoAccess (RFC 5280 §4.2.2.1) that names an OCSP responder. */
export function ocspAccess(url: string): Buffer {
  const place = contextPrimitive(6, Buffer.from(url, "latin1"));
  return sequence(sequence(oid("1.3.6.1.5.5.7.48.1"), place));
}
