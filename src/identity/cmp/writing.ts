import { bits, context, integer, octets, oid, sequence, TAG, tlv, utf8 } from "../../kernel/der.ts";
import { FAILURE, type Failure } from "./failures.ts";
import { CONFIRM_WAIT_TIME, IMPLICIT_CONFIRM } from "./message.ts";

/** What stands in the header of an answer (RFC 4210 §5.1.1). */
export interface AnswerHeader {
  version: number;
  /** DER of GeneralNames. */
  sender: Buffer;
  recipient: Buffer;
  time: Date;
  protectionAlgorithm: Buffer;
  senderKid: Buffer;
  transactionId: Buffer;
  senderNonce: Buffer;
  recipientNonce: Buffer | undefined;
  /** The client need not confirm; or until when it has to. */
  confirmation?: "implicit" | Date | undefined;
}

export function writeHeader(header: AnswerHeader): Buffer {
  const { recipientNonce, confirmation } = header;
  return sequence(
    integer(Buffer.from([header.version])),
    header.sender,
    header.recipient,
    context(0, generalizedTime(header.time)),
    context(1, header.protectionAlgorithm),
    context(2, octets(header.senderKid)),
    context(4, octets(header.transactionId)),
    context(5, octets(header.senderNonce)),
    ...(recipientNonce ? [context(6, octets(recipientNonce))] : []),
    ...(confirmation ? [context(8, sequence(generalInfo(confirmation)))] : []),
  );
}

function generalInfo(confirmation: "implicit" | Date): Buffer {
  return confirmation === "implicit"
    ? sequence(oid(IMPLICIT_CONFIRM), tlv(TAG.null))
    : sequence(oid(CONFIRM_WAIT_TIME), generalizedTime(confirmation));
}

export function writeMessage(
  header: Buffer,
  body: Buffer,
  protection: Buffer,
  extraCertificates: readonly Uint8Array[],
): Buffer {
  return sequence(
    header,
    body,
    context(0, bits(protection)),
    ...(extraCertificates.length > 0 ? [context(1, sequence(...extraCertificates))] : []),
  );
}

export function writeBody(type: number, content: Buffer): Buffer {
  return context(type, content);
}

/** PKIStatus (RFC 4210 §5.2.3) */
export const STATUS = { accepted: 0, rejection: 2, waiting: 3 } as const;

export function writeStatus(
  status: keyof typeof STATUS,
  refusal?: { failure: Failure; text: string },
): Buffer {
  return sequence(
    integer(Buffer.from([STATUS[status]])),
    ...(refusal ? [sequence(utf8(refusal.text)), failureBits(refusal.failure)] : []),
  );
}

/** A named bit string (X.690 §11.2.2): without the zeros that would follow the one bit. */
function failureBits(failure: Failure): Buffer {
  const bit = FAILURE[failure];
  const bytes = Buffer.alloc(Math.floor(bit / 8) + 1);
  bytes[bytes.length - 1] = 0x80 >> (bit % 8);
  return bits(bytes, 7 - (bit % 8));
}

/** CertRepMessage with one answer (RFC 4210 §5.3.4). */
export function writeCertificateAnswer(answer: {
  certReqId: number;
  status: Buffer;
  certificate?: Uint8Array | undefined;
  authorities?: readonly Uint8Array[] | undefined;
}): Buffer {
  const { authorities = [], certificate } = answer;
  const response = sequence(
    signedInteger(answer.certReqId),
    answer.status,
    ...(certificate ? [sequence(context(0, certificate))] : []),
  );
  return sequence(
    ...(authorities.length > 0 ? [context(1, sequence(...authorities))] : []),
    sequence(response),
  );
}

export function writeRevocationAnswer(status: Buffer): Buffer {
  return sequence(sequence(status));
}

export function writePollAnswer(certReqId: number, checkAfterSeconds: number): Buffer {
  const seconds = Buffer.alloc(4);
  seconds.writeUInt32BE(checkAfterSeconds);
  return sequence(sequence(signedInteger(certReqId), integer(seconds)));
}

export function writeError(refusal: { failure: Failure; text: string }): Buffer {
  return sequence(writeStatus("rejection", refusal));
}

export const PKI_CONFIRM = tlv(TAG.null);

/** directoryName (RFC 5280 §4.2.1.6), which is tagged explicitly since a Name is a choice. */
export function directoryName(name: Uint8Array): Buffer {
  return context(4, name);
}

function signedInteger(value: number): Buffer {
  return value < 0 ? tlv(TAG.integer, Buffer.from([value & 0xff])) : integer(Buffer.from([value]));
}

function generalizedTime(moment: Date): Buffer {
  const digits = moment.toISOString().replace(/[-:T]|\.\d+/g, "");
  return tlv(TAG.generalizedTime, Buffer.from(digits));
}
