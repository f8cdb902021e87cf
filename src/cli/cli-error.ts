import { ApiRefusal, PlatformUnreachable } from "../client/index.ts";

/** Exit statuses: done, failed, used wrongly. */
export const EXIT = { done: 0, failed: 1, misuse: 2 } as const;

/** Something that the person at the terminal can act on; `next` says how. */
export class CliError extends Error {
  readonly exitStatus: number;
  readonly next: string | undefined;

  constructor(
    message: string,
    options: { next?: string; exitStatus?: number; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "CliError";
    this.next = options.next;
    this.exitStatus = options.exitStatus ?? EXIT.failed;
  }
}

/** The command was called in a way that cannot be meant. */
export function misuse(message: string, next?: string): CliError {
  return new CliError(message, { exitStatus: EXIT.misuse, ...(next ? { next } : {}) });
}

/** What the person can do about it, for errors that do not say so themselves. */
export function nextStepOf(error: unknown): string | undefined {
  if (error instanceof CliError) return error.next;
  if (error instanceof ApiRefusal) return NEXT_STEPS[error.code];
  if (!(error instanceof PlatformUnreachable)) return undefined;
  const { why } = error;
  if (/CERT_(HAS_EXPIRED|NOT_YET_VALID)/.test(why)) {
    return "set this machine's clock, or renew the platform's certificate";
  }
  if (/ALTNAME/.test(why)) return "call the platform by a name that its certificate is for";
  return error.isUntrusted
    ? "name the CA of its certificate: VAUTN_CA=/path/to/ca.pem"
    : "start the platform with: vautn up; or name another with VAUTN_URL";
}

const NEXT_STEPS: Record<string, string> = {
  unauthenticated: "sign in with: vautn login URL",
  "invalid-credentials": "check e-mail and password (or the token), then: vautn login URL",
  forbidden: "ask an administrator of the tenant for a role that includes this",
  "own-approval": "have somebody else whose role includes it run the same command",
  "rate-limited": "wait a minute, then try again",
  unavailable: "see which store is down with: vautn doctor",
};
