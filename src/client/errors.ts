interface Problem {
  code?: string;
  detail?: string;
  title?: string;
  traceId?: string;
  errors?: { path: string; message: string }[];
}

/** The API's own refusal: problem details of RFC 9457. */
export class ApiRefusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly traceId: string | undefined;

  constructor(status: number, problem: Problem) {
    const detail = problem.detail || problem.title || `the platform answered ${status}`;
    const errors = problem.errors ?? [];
    // A single fault is mostly what the sentence says already.
    const isSaid = errors.length === 1 && errors.every(({ message }) => detail.includes(message));
    const fields = isSaid ? [] : errors.map(({ path, message }) => `\n  ${path}: ${message}`);
    super(`${detail}${fields.join("")}`);
    this.name = "ApiRefusal";
    this.status = status;
    this.code = problem.code ?? `http-${status}`;
    this.traceId = problem.traceId;
  }
}

/** Nobody answers at the platform's address, or somebody whose certificate is not to be trusted. */
export class PlatformUnreachable extends Error {
  readonly isUntrusted: boolean;
  /** Why by its code (ECONNREFUSED, CERT_HAS_EXPIRED), or in words where there is none. */
  readonly why: string;

  constructor(url: string, cause: unknown) {
    const inner = (cause as { cause?: { code?: string; message?: string } }).cause;
    const why = inner?.code ?? inner?.message ?? (cause as Error).message;
    super(`${url} does not answer (${why})`, { cause });
    this.name = "PlatformUnreachable";
    this.why = why;
    this.isUntrusted = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(why);
  }
}
