import { AppError } from "../kernel/index.ts";
import type { Api } from "./types.ts";

/** How long a caller may take to say what they want, in milliseconds. */
export interface ReadingLimits {
  /** From the first byte of a request's header to its last. */
  headersTimeoutMs: number;
  /** For a body to arrive, images excepted: they may be large and lines slow. */
  bodyTimeoutMs: number;
  /** How long the rest of a body is taken in after its request has been answered. */
  lingerMs: number;
}

export const DEFAULT_READING_LIMITS: ReadingLimits = {
  headersTimeoutMs: 10_000,
  bodyTimeoutMs: 30_000,
  lingerMs: 5_000,
};

/** Ends requests whose body trickles in, so that they cannot hold connections. */
export function boundReading(api: Api, limits: ReadingLimits): void {
  const timers = new WeakMap<object, NodeJS.Timeout>();
  api.addHook("preParsing", async (request, reply, payload) => {
    // These are held to a pace where they are read (`pacedBody`).
    if (/^application\/(offset\+)?octet-stream/.test(request.headers["content-type"] ?? "")) {
      return payload;
    }
    const timer = setTimeout(() => {
      request.raw.destroy(new AppError("invalid-request", "the body took too long to arrive"));
    }, limits.bodyTimeoutMs);
    timers.set(request, timer);
    reply.raw.once("close", () => clearTimeout(timer));
    return payload;
  });
  api.addHook("preValidation", (request, _reply, done) => {
    clearTimeout(timers.get(request));
    done();
  });
  // A caller who is refused before the body is read has no reason to go on sending it.
  api.addHook("onResponse", (request, _reply, done) => {
    const { raw } = request;
    if (!raw.complete) setTimeout(() => raw.complete || raw.destroy(), limits.lingerMs).unref();
    done();
  });
}
