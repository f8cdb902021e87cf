import { DerError } from "../../kernel/der.ts";
import { AppError, isAppError } from "../../kernel/index.ts";

/** Bits of PKIFailureInfo (RFC 4210 §5.2.3). */
export const FAILURE = {
  badAlg: 0,
  badMessageCheck: 1,
  badRequest: 2,
  badTime: 3,
  badCertId: 4,
  badDataFormat: 5,
  wrongAuthority: 6,
  badPOP: 9,
  certRevoked: 10,
  certConfirmed: 11,
  badRecipientNonce: 13,
  unacceptedExtension: 16,
  badSenderNonce: 18,
  badCertTemplate: 19,
  signerNotTrusted: 20,
  transactionIdInUse: 21,
  unsupportedVersion: 22,
  notAuthorized: 23,
  systemUnavail: 24,
  systemFailure: 25,
  duplicateCertReq: 26,
} as const;

export type Failure = keyof typeof FAILURE;

/** A message that cannot be answered with what it asks for; becomes an error message. */
export class CmpFault extends Error {
  readonly failure: Failure;

  constructor(failure: Failure, message: string) {
    super(message);
    this.failure = failure;
  }
}

const BY_REASON: Record<string, Failure> = {
  malformed: "badDataFormat",
  "too-large": "badDataFormat",
  signature: "badPOP",
  key: "badAlg",
  name: "badCertTemplate",
  extension: "unacceptedExtension",
  "key-in-use": "duplicateCertReq",
  "key-revoked": "duplicateCertReq",
  serial: "badCertId",
  revoked: "certRevoked",
};

const BY_CODE: Record<string, Failure> = {
  "csr-invalid": "badRequest",
  "certificate-refused": "signerNotTrusted",
  "claim-refused": "notAuthorized",
  "enrolment-refused": "notAuthorized",
  "invalid-credentials": "badMessageCheck",
  unauthenticated: "notAuthorized",
  forbidden: "notAuthorized",
  "quota-exceeded": "notAuthorized",
  "not-found": "wrongAuthority",
  "authority-pending": "systemUnavail",
  "rate-limited": "systemUnavail",
  unavailable: "systemUnavail",
};

/** The failure that a refusal is in this protocol, and what is said about it. */
export function failureOf(error: unknown): { failure: Failure; text: string } {
  if (error instanceof CmpFault) return { failure: error.failure, text: error.message };
  if (error instanceof DerError) return { failure: "badDataFormat", text: error.message };
  if (!isAppError(error)) return { failure: "systemFailure", text: "an error of the platform" };
  const { reason, step } = error.details;
  // A claim that was revoked is no certificate that was.
  const byReason = error.code === "claim-refused" ? undefined : BY_REASON[String(reason)];
  const failure = byReason ?? BY_CODE[error.code] ?? "systemFailure";
  const where = typeof step === "string" ? ` (refused at step: ${step})` : "";
  return { failure, text: error.status < 500 ? `${error.message}${where}` : error.message };
}

/** Whether the platform, and not the client, is at fault. */
export function isInternal(error: unknown): boolean {
  if (error instanceof CmpFault || error instanceof DerError) return false;
  return !(error instanceof AppError) || error.code === "internal";
}
