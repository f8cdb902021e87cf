/**
 * The one catalogue of refusals: machine-readable code -> HTTP status and title (RFC 9457).
 * A new code is added here, documented by its title, and nowhere else.
 */
export const ERROR_CATALOGUE = {
  "invalid-request": { status: 400, title: "The request is malformed" },
  "invalid-query": { status: 400, title: "The fleet query cannot be understood" },
  "invalid-cursor": { status: 400, title: "The page cursor is not one of ours" },
  "query-too-expensive": { status: 400, title: "The query would cost more than one may" },
  unauthenticated: { status: 401, title: "Sign in first" },
  "invalid-credentials": { status: 401, title: "The credentials are wrong" },
  forbidden: { status: 403, title: "The role does not permit this" },
  "not-found": { status: 404, title: "There is no such thing here" },
  "method-not-allowed": { status: 405, title: "The path exists, the method does not" },
  conflict: { status: 409, title: "The present state does not allow this" },
  "already-exists": { status: 409, title: "It exists already" },
  "precondition-failed": { status: 412, title: "It was changed by someone else meanwhile" },
  "payload-too-large": { status: 413, title: "The payload is larger than the limit" },
  "unsupported-media-type": { status: 415, title: "The content type is not one that fits here" },
  "range-not-satisfiable": { status: 416, title: "The range lies outside the content" },
  "invalid-content": { status: 422, title: "The content is well-formed and wrong" },
  "idempotency-key-reused": {
    status: 422,
    title: "The idempotency key was used for another request",
  },
  "rate-limited": { status: 429, title: "Too many requests" },
  "quota-exceeded": { status: 429, title: "A quota is used up" },
  internal: { status: 500, title: "An error of ours" },
  unavailable: { status: 503, title: "A store is not available at the moment" },
  // Signing in
  "second-factor-needed": {
    status: 401,
    title: "The password is right; a second factor is needed",
  },
  "second-factor-required": { status: 403, title: "Set up a second factor first" },
  "sign-in-again": { status: 403, title: "This needs a fresh sign-in in a browser" },
  "sign-in-refused": { status: 403, title: "The provider's answer lets nobody in" },
  "provider-unavailable": { status: 502, title: "The sign-in provider gives no usable answer" },
  // Identity
  "csr-invalid": { status: 400, title: "The certificate request cannot be accepted" },
  "claim-refused": { status: 403, title: "The claim does not permit this enrolment" },
  "certificate-refused": { status: 403, title: "The client certificate is not accepted" },
  "enrolment-refused": { status: 403, title: "The tenant's policy does not permit this enrolment" },
  // RFC 7030 §4.2.3: not refused, only not decided yet
  "enrolment-pending": { status: 202, title: "A person has to accept this enrolment" },
  "authority-pending": { status: 503, title: "The authority waits for the offline root" },
  "authority-in-use": { status: 409, title: "Certificates of this authority are still in use" },
  // Devices' messages
  "topic-refused": { status: 403, title: "The topic does not belong to this device" },
  "message-invalid": { status: 422, title: "The message does not follow its schema" },
  "message-too-large": { status: 413, title: "The message is larger than the limit" },
  // Firmware
  "trust-root-invalid": { status: 422, title: "The trust root is not valid" },
  "manifest-invalid": { status: 422, title: "The release manifest is not valid" },
  "signature-invalid": { status: 422, title: "The signatures do not meet the threshold" },
  "image-mismatch": { status: 422, title: "The image is not the one that the manifest names" },
  "release-yanked": { status: 409, title: "The release has been withdrawn" },
  "release-incompatible": { status: 422, title: "The release fits no device of the selection" },
  "delta-invalid": { status: 422, title: "The patch does not rebuild its target" },
  "delta-pointless": { status: 422, title: "This kind of patch gains nothing for these images" },
  // Uploads
  "upload-offset": { status: 409, title: "The upload stands at another offset" },
  "upload-gone": { status: 410, title: "The upload has expired or was ended" },
  "upload-locked": { status: 423, title: "Someone else writes to this upload" },
  // tus 1.0 §checksum
  "checksum-mismatch": { status: 460, title: "The bytes do not have the checksum that was sent" },
  "storage-full": { status: 507, title: "There is no room for it" },
  "link-refused": { status: 403, title: "The link permits this to nobody, or not any more" },
  // Rollouts
  "rollout-state": { status: 409, title: "The rollout's state does not allow this" },
  "own-approval": { status: 403, title: "A second person has to approve this" },
  "update-refused": { status: 409, title: "The device refused the update" },
} as const satisfies Record<string, { status: number; title: string }>;

export type ErrorCode = keyof typeof ERROR_CATALOGUE;

/** An expected refusal: something the caller can understand and act upon. */
export class AppError extends Error {
  readonly code: ErrorCode;
  /** Where and what: field paths, limits, ids. Never secrets. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    details: Record<string, unknown> = {},
    options: { cause?: unknown } = {},
  ) {
    super(message, options);
    this.name = "AppError";
    this.code = code;
    this.details = details;
  }

  get status(): number {
    return ERROR_CATALOGUE[this.code].status;
  }
}

export function isAppError(error: unknown, code?: ErrorCode): error is AppError {
  return error instanceof AppError && (code === undefined || error.code === code);
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Programmer errors: states that the code claims cannot be. */
export function assert(condition: unknown, claim: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${claim}`);
}
