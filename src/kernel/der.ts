/**
 * The part of DER (ITU-T X.690) that certificates and requests need: values are written as byte
 * strings, and read strictly (one encoding only, bounded depth and count).
 */

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One value: tag, length, content. */
export function tlv(tag: number, ...content: Uint8Array[]): Buffer {
  const size = content.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([header(tag, size), ...content]);
}

export const sequence = (...members: Uint8Array[]): Buffer => tlv(TAG.sequence, ...members);
export const set = (...members: Uint8Array[]): Buffer => tlv(TAG.set, ...members);
export const octets = (content: Uint8Array): Buffer => tlv(TAG.octetString, content);
export const utf8 = (text: string): Buffer => tlv(TAG.utf8String, Buffer.from(text));
export const boolean = (value: boolean): Buffer =>
  tlv(TAG.boolean, Buffer.from([value ? 0xff : 0]));

/** A bit string of whole bytes, or with `unusedBits` at its end. */
export function bits(content: Uint8Array, unusedBits = 0): Buffer {
  return tlv(TAG.bitString, Buffer.from([unusedBits]), content);
}

/** A non-negative integer from its big-endian bytes. */
export function integer(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1;
  const significant = bytes.subarray(start);
  const signed = ((significant[0] ?? 0) & 0x80) !== 0 || significant.length === 0;
  return tlv(TAG.integer, ...(signed ? [Buffer.from([0])] : []), significant);
}

/** An object identifier from its dotted form. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const groups = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      groups.unshift((left & 0x7f) | 0x80);
    }
    bytes.push(...groups);
  }
  return tlv(TAG.oid, Buffer.from(bytes));
}

/** RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050; whole seconds. */
export function time(moment: Date): Buffer {
  const digits = moment.toISOString().replace(/[-:T]|\.\d+/g, "");
  return moment.getUTCFullYear() < 2050
    ? tlv(TAG.utcTime, Buffer.from(digits.slice(2)))
    : tlv(TAG.generalizedTime, Buffer.from(digits));
}

/** A context-specific tag, constructed (explicit tagging, or implicit of a constructed type). */
export function context(number: number, ...content: Uint8Array[]): Buffer {
  return tlv(0xa0 | number, ...content);
}

/** A context-specific tag, primitive (implicit tagging of a primitive type). */
export function contextPrimitive(number: number, content: Uint8Array): Buffer {
  return tlv(0x80 | number, content);
}

export interface DerValue {
  tag: number;
  content: Buffer;
  /** The whole value with its tag and length. */
  raw: Buffer;
}

/** Values that one `readDer` may meet within one parent. */
const MAX_MEMBERS = 1_000;

export class DerError extends Error {}

/** Reads exactly one value that fills `bytes`. */
export function readDer(bytes: Uint8Array): DerValue {
  const values = readMembers(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  if (values.length !== 1) throw new DerError("exactly one value is expected");
  return values[0] as DerValue;
}

/** The members of a constructed value, or of the content of a string that wraps DER. */
export function readMembers(content: Buffer, maximum = MAX_MEMBERS): DerValue[] {
  const values: DerValue[] = [];
  let position = 0;
  while (position < content.length) {
    if (values.length === maximum) throw new DerError("too many values");
    const value = readAt(content, position);
    values.push(value);
    position += value.raw.length;
  }
  return values;
}

/** The members of `value`, which must have the tag; throws `DerError` otherwise. */
export function membersOf(
  value: DerValue | undefined,
  tag: number,
  maximum = MAX_MEMBERS,
): DerValue[] {
  return readMembers(contentOf(value, tag), maximum);
}

export function contentOf(value: DerValue | undefined, tag: number): Buffer {
  if (value?.tag !== tag) throw new DerError(`a value with tag ${tag} is expected`);
  return value.content;
}

/** A moment as `time` writes it. */
export function timeOf(value: DerValue | undefined): Date {
  const text = value?.content.toString("latin1") ?? "";
  // RFC 5280 §4.1.2.5.1: two digits of a year below 50 are of this century.
  const century = value?.tag === TAG.utcTime ? (text < "5" ? "20" : "19") : "";
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(century + text);
  const isTime = value?.tag === TAG.utcTime || value?.tag === TAG.generalizedTime;
  if (!match || !isTime) throw new DerError("a time of UTC is expected");
  const [year = 0, month = 0, ...rest] = match.slice(1).map(Number);
  const [day = 0, hour = 0, minute = 0, second = 0] = rest;
  return new Date(Date.UTC(year, month - 1, day, hour, minute, second));
}

/** The dotted form of an object identifier. */
export function oidOf(value: DerValue | undefined): string {
  const content = contentOf(value, TAG.oid);
  const arcs: number[] = [];
  let arc = 0;
  let groups = 0;
  for (const byte of content) {
    arc = arc * 128 + (byte & 0x7f);
    groups += 1;
    if (groups > 6) throw new DerError("an arc is too large");
    if ((byte & 0x80) !== 0) continue;
    arcs.push(arc);
    arc = 0;
    groups = 0;
  }
  const first = arcs.shift();
  if (first === undefined || groups > 0) throw new DerError("an object identifier ends too early");
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - root * 40, ...arcs].join(".");
}

/** The bytes of a bit string, which must be whole. */
export function bitsOf(value: DerValue | undefined): Buffer {
  const content = contentOf(value, TAG.bitString);
  if (content[0] !== 0) throw new DerError("a bit string of whole bytes is expected");
  return content.subarray(1);
}

function readAt(bytes: Buffer, position: number): DerValue {
  const tag = bytes[position] as number;
  if ((tag & 0x1f) === 0x1f) throw new DerError("tags of several bytes are not expected");
  const first = bytes[position + 1];
  if (first === undefined) throw new DerError("a value ends too early");
  let size = first;
  let start = position + 2;
  if (first >= 0x80) {
    const sizeBytes = first & 0x7f;
    if (sizeBytes < 1 || sizeBytes > 4) throw new DerError("the length is not one of DER");
    if (start + sizeBytes > bytes.length) throw new DerError("a value ends too early");
    size = bytes.readUIntBE(start, sizeBytes);
    start += sizeBytes;
    const shortest = size < 0x80 ? 0 : Math.ceil(Math.log2(size + 1) / 8);
    if (sizeBytes !== shortest) throw new DerError("the length is not in its shortest form");
  }
  if (start + size > bytes.length) throw new DerError("a value ends too early");
  return {
    tag,
    content: bytes.subarray(start, start + size),
    raw: bytes.subarray(position, start + size),
  };
}

/** Tag and length of a value whose content has `size` bytes. */
export function header(tag: number, size: number): Buffer {
  if (size < 0x80) return Buffer.from([tag, size]);
  if (size < 0x100) return Buffer.from([tag, 0x81, size]);
  if (size < 0x1_0000) return Buffer.from([tag, 0x82, size >> 8, size & 0xff]);
  if (size < 0x100_0000) {
    return Buffer.from([tag, 0x83, size >> 16, (size >> 8) & 0xff, size & 0xff]);
  }
  const long = Buffer.from([tag, 0x84, 0, 0, 0, 0]);
  long.writeUInt32BE(size, 2);
  return long;
}
