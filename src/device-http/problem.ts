import { AppError, ERROR_CATALOGUE, isAppError } from "../kernel/index.ts";

/** The refusals of fastify itself that a client can bring about. */
const FASTIFY_CODES: Record<string, "payload-too-large" | "unsupported-media-type"> = {
  FST_ERR_CTP_BODY_TOO_LARGE: "payload-too-large",
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "unsupported-media-type",
};

/** Anything that was thrown, as the refusal that the device sees. Unknown errors say nothing. */
export function asAppError(error: unknown): AppError {
  if (isAppError(error)) return error;
  const { code, statusCode, message } = error as {
    code?: string;
    statusCode?: number;
    message?: string;
  };
  const known = code ? FASTIFY_CODES[code] : undefined;
  if (known) return new AppError(known, message ?? "", {}, { cause: error });
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new AppError("invalid-request", message ?? "", {}, { cause: error });
  }
  const said = "something went wrong here; the log has it under the trace id";
  return new AppError("internal", said, {}, { cause: error });
}

/** RFC 9457 problem details. */
export function problemOf(error: AppError, traceId: string) {
  return {
    type: `urn:vautn:problem:${error.code}`,
    title: ERROR_CATALOGUE[error.code].title,
    status: error.status,
    detail: error.message,
    code: error.code,
    traceId,
    ...(Object.keys(error.details).length > 0 ? { details: error.details } : {}),
  };
}
