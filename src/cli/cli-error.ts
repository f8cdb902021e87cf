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

/** The API's own refusal: problem details of RFC 9457. */
export class ApiRefusal extends CliError {
  readonly status: number;
  readonly code: string;
  readonly traceId: string | undefined;

  constructor(
    status: number,
    problem: {
      code?: string;
      detail?: string;
      title?: string;
      traceId?: string;
      errors?: { path: string; message: string }[];
    },
  ) {
    const fields = (problem.errors ?? []).map(({ path, message }) => `\n  ${path} ${message}`);
    const detail = problem.detail || problem.title || `the platform answered ${status}`;
    const next = NEXT_STEPS[problem.code ?? ""];
    super(`${detail}${fields.length > 1 ? fields.join("") : ""}`, next ? { next } : {});
    this.name = "ApiRefusal";
    this.status = status;
    this.code = problem.code ?? `http-${status}`;
    this.traceId = problem.traceId;
  }
}

const NEXT_STEPS: Record<string, string> = {
  unauthenticated: "sign in with: vautn login URL",
  "invalid-credentials": "check e-mail and password, then: vautn login URL",
  forbidden: "ask an administrator of the tenant for a role that includes this",
  "rate-limited": "wait a minute, then try again",
  unavailable: "see which store is down with: vautn doctor",
};
