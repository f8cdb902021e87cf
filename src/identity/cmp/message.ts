import {
  bitsOf,
  contentOf,
  DerError,
  type DerValue,
  membersOf,
  oidOf,
  readDer,
  readMembers,
  sequence,
  TAG,
} from "../../kernel/der.ts";

/** Types of bodies (RFC 4210 §5.1.2), which are the numbers of their tags. */
export const BODY = {
  ir: 0,
  ip: 1,
  cr: 2,
  cp: 3,
  p10cr: 4,
  kur: 7,
  kup: 8,
  rr: 11,
  rp: 12,
  pkiconf: 19,
  genm: 21,
  genp: 22,
  error: 23,
  certConf: 24,
  pollReq: 25,
  pollRep: 26,
} as const;

/** Object identifiers of generalInfo (RFC 4210 §5.1.1). */
export const IMPLICIT_CONFIRM = "1.3.6.1.5.5.7.4.13";
export const CONFIRM_WAIT_TIME = "1.3.6.1.5.5.7.4.14";

/** A message of the Certificate Management Protocol (RFC 4210 §5.1), not yet believed. */
export interface CmpMessage {
  version: number;
  /** DER of the GeneralNames. */
  sender: Buffer;
  recipient: Buffer;
  messageTime?: Date;
  /** AlgorithmIdentifier */
  protectionAlgorithm?: DerValue;
  senderKid?: Buffer;
  transactionId?: Buffer;
  senderNonce?: Buffer;
  recipientNonce?: Buffer;
  implicitConfirm: boolean;
  /** Number of the body's type, and its value. */
  bodyType: number;
  body: DerValue;
  /** DER of what the protection is over: the sequence of header and body. */
  protectedPart: Buffer;
  protection?: Buffer;
  /** DER of the certificates that came with it. */
  extraCertificates: Buffer[];
}

const MAX_EXTRA_CERTIFICATES = 10;

/** Reads a message; throws `DerError` where it is none. */
export function readMessage(der: Uint8Array): CmpMessage {
  const [header, body, ...rest] = membersOf(readDer(der), TAG.sequence);
  if (!header || !body) throw new DerError("header or body is missing");
  const [version, sender, recipient, ...optional] = membersOf(header, TAG.sequence);
  if (!sender || !recipient) throw new DerError("sender or recipient is missing");
  if ((body.tag & 0xe0) !== 0xa0) throw new DerError("the body is not one of the protocol");
  const [inner, ...more] = readMembers(body.content);
  if (!inner || more.length > 0) throw new DerError("the body must be one value");
  return {
    version: smallInteger(version),
    sender: sender.raw,
    recipient: recipient.raw,
    ...readOptional(optional),
    bodyType: body.tag & 0x1f,
    body: inner,
    protectedPart: sequence(header.raw, body.raw),
    ...readRest(rest),
  };
}

type Optional = Pick<
  CmpMessage,
  | "messageTime"
  | "protectionAlgorithm"
  | "senderKid"
  | "transactionId"
  | "senderNonce"
  | "recipientNonce"
  | "implicitConfirm"
>;

/** The header's optional members are tagged explicitly, each at most once and in order. */
function readOptional(members: readonly DerValue[]): Optional {
  const found: Optional = { implicitConfirm: false };
  let last = -1;
  for (const member of members) {
    const number = member.tag & 0x1f;
    if ((member.tag & 0xe0) !== 0xa0 || number <= last || number > 8) {
      throw new DerError("the header has a member that it cannot have");
    }
    last = number;
    const value = readDer(member.content);
    if (number === 0) found.messageTime = generalizedTime(value);
    else if (number === 1) found.protectionAlgorithm = value;
    else if (number === 2) found.senderKid = contentOf(value, TAG.octetString);
    else if (number === 4) found.transactionId = contentOf(value, TAG.octetString);
    else if (number === 5) found.senderNonce = contentOf(value, TAG.octetString);
    else if (number === 6) found.recipientNonce = contentOf(value, TAG.octetString);
    else if (number === 8) found.implicitConfirm = asksImplicitConfirm(value);
  }
  return found;
}

function asksImplicitConfirm(generalInfo: DerValue): boolean {
  return membersOf(generalInfo, TAG.sequence).some(
    (entry) => oidOf(membersOf(entry, TAG.sequence)[0]) === IMPLICIT_CONFIRM,
  );
}

function readRest(
  members: readonly DerValue[],
): Pick<CmpMessage, "protection" | "extraCertificates"> {
  const found: Pick<CmpMessage, "protection" | "extraCertificates"> = { extraCertificates: [] };
  for (const member of members) {
    const value = readDer(member.content);
    if (member.tag === 0xa0) found.protection = bitsOf(value);
    else if (member.tag === 0xa1) {
      const certificates = membersOf(value, TAG.sequence);
      if (certificates.length > MAX_EXTRA_CERTIFICATES) {
        throw new DerError("too many certificates came with the message");
      }
      found.extraCertificates = certificates.map(({ raw }) => raw);
    } else throw new DerError("the message has a part that it cannot have");
  }
  return found;
}

/** An integer that fits into 32 bits; negative ones count (certReqId is -1 for PKCS#10). */
export function smallInteger(value: DerValue | undefined): number {
  const content = contentOf(value, TAG.integer);
  if (content.length < 1 || content.length > 4) throw new DerError("an integer is out of range");
  return content.readIntBE(0, content.length);
}

function generalizedTime(value: DerValue): Date {
  const text = contentOf(value, TAG.generalizedTime).toString("latin1");
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.\d{1,6})?Z$/.exec(text);
  if (!match) throw new DerError("the time is not one of UTC");
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1)
    .map(Number);
  return new Date(Date.UTC(year, month - 1, day, hour, minute, second));
}
