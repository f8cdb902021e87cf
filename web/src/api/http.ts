/** What the API refused or could not do; carries what a person needs to act or to report it. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly traceId: string | undefined;
  /** Where and what, such as the `position` in a query. */
  readonly details: Readonly<Record<string, unknown>>;
  /** What is wrong with which part of what was sent. */
  readonly errors: readonly { path: string; message: string }[];

  constructor(status: number, problem: Record<string, unknown>, options: { cause?: unknown } = {}) {
    super(text(problem.detail) ?? text(problem.title) ?? `The server answered ${status}`, options);
    this.name = "ApiError";
    this.status = status;
    this.code = text(problem.code) ?? (status === 0 ? "unreachable" : `http-${status}`);
    this.title = text(problem.title) ?? "The request failed";
    this.traceId = text(problem.traceId);
    this.details = (problem.details ?? {}) as Record<string, unknown>;
    this.errors = (problem.errors ?? []) as { path: string; message: string }[];
  }
}

export interface RequestOptions {
  query?: Record<string, string | number | boolean | undefined | null>;
  /** Sent as JSON, or as it is when it is a Blob. */
  body?: unknown;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

const REQUEST_TIMEOUT_MS = 30_000;

/** One call of the operators' API with the session's cookie. */
export async function request<T>(
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<T> {
  const { query, body, signal, headers } = options;
  const timeout = AbortSignal.timeout(body instanceof Blob ? 600_000 : REQUEST_TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(`${path}${queryString(query)}`, {
      method,
      credentials: "same-origin",
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      headers: {
        accept: "application/json",
        // A page of another origin cannot set this header without asking first.
        ...(method === "GET" ? {} : { "x-requested-with": "vautn" }),
        ...(body === undefined ? {} : { "content-type": contentType(body) }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: body instanceof Blob ? body : JSON.stringify(body) }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const detail = timeout.aborted
      ? "The platform did not answer in time."
      : "The platform cannot be reached. Check the connection; the page tries again by itself.";
    throw new ApiError(0, { title: "No answer", detail }, { cause: error });
  }
  const text = await response.text();
  const value = parse(text);
  if (!response.ok) throw new ApiError(response.status, (value ?? {}) as Record<string, unknown>);
  return value as T;
}

function contentType(body: unknown): string {
  return body instanceof Blob ? "application/octet-stream" : "application/json";
}

function queryString(query: RequestOptions["query"]): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return text ? `?${text}` : "";
}

function parse(body: string): unknown {
  if (!body) return undefined;
  try {
    return JSON.parse(body);
  } catch {
    // A proxy's error page, for example: the status says enough.
    return undefined;
  }
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value ? value : undefined;
}
