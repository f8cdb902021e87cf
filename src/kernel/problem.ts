import { AppError, ERROR_CATALOGUE, type ErrorCode, isAppError } from "./errors.ts";

/** RFC 9457 problem details. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: ErrorCode;
  traceId: string;
  errors?: { path: string; message: string }[];
  details?: Record<string, unknown>;
}

/** What fastify throws for a request that it refuses by itself. */
interface HttpFault {
  code?: string;
  statusCode?: number;
  message?: string;
  validation?: { instancePath?: string; message?: string }[];
  validationContext?: string;
}

/** Anything that was thrown, as the refusal that the caller sees. Unknown errors say nothing. */
export function asAppError(error: unknown): AppError {
  if (isAppError(error)) return error;
  const fault = error as HttpFault | null;
  if (fault?.validation) {
    const errors = fault.validation.map((entry) => ({
      path: `${fault.validationContext ?? "body"}${entry.instancePath ?? ""}`,
      message: entry.message ?? "is not valid",
    }));
    const [first] = errors;
    return new AppError("invalid-request", `${first?.path} ${first?.message}`, {
      errors: errors.slice(0, 20),
    });
  }
  const code = fault?.code ? FASTIFY_CODES[fault.code] : undefined;
  if (code) return new AppError(code, fault?.message ?? "", {}, { cause: error });
  const status = fault?.statusCode ?? 500;
  if (status >= 400 && status < 500) {
    return new AppError("invalid-request", fault?.message ?? "", {}, { cause: error });
  }
  const said = "something went wrong here; the log has it under the trace id";
  return new AppError("internal", said, {}, { cause: error });
}

const FASTIFY_CODES: Record<string, ErrorCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: "payload-too-large",
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "unsupported-media-type",
  FST_ERR_CTP_INVALID_JSON_BODY: "invalid-request",
  FST_ERR_CTP_EMPTY_JSON_BODY: "invalid-request",
};

export function problemOf(error: AppError, traceId: string): Problem {
  const { errors, ...details } = error.details as {
    errors?: { path?: string; field?: string; message: string }[];
  };
  return {
    type: `urn:vautn:problem:${error.code}`,
    title: ERROR_CATALOGUE[error.code].title,
    status: error.status,
    detail: error.message,
    code: error.code,
    traceId,
    ...(errors
      ? {
          errors: errors.map(({ path, field, message }) => ({
            path: path ?? field ?? "",
            message,
          })),
        }
      : {}),
    ...(Object.keys(details).length > 0 ? { details } : {}),
  };
}
